//! Our own look at a qcow2 header, before any driver sees the image.
//!
//! Offsets are those of QEMU's `docs/interop/qcow2.rst`, section "Header".

use std::ffi::OsString;
use std::fs::File;
use std::io;

use super::compressed::Compression;
use super::extensions::Extensions;
use super::features::{self, check_readable};
use super::mapping::Entries;
use crate::block::system;
use crate::block::{Error, ErrorKind, Operation, Result};

/// Bytes of a version 3 header up to `compression_type`, with its padding.
const HEADER_LEN: usize = 112;

/// Bytes of the part that every version 3 header has, and of a version 2 header.
const V3_LEN: u32 = 104;
const V2_LEN: u32 = 72;

/// The longest name of a backing file, in bytes.
const MAX_BACKING_NAME: u32 = 1023;

/// Refcounts of 2^6 bits are the widest that there are.
const MAX_REFCOUNT_ORDER: u32 = 6;

/// With subclusters a cluster has at least 2^14 bytes.
const MIN_EXTENDED_CLUSTER: u64 = 1 << 14;

/// "QFI\xfb" at offset 0.
const MAGIC: u32 = 0x5146_49fb;

/// QEMU refuses larger L1 tables (`QCOW_MAX_L1_SIZE`, 32 MiB), so no image in
/// use has one, and we allocate no more than that for a hostile one.
const MAX_L1_TABLE: u64 = 32 * 1024 * 1024;

/// As above for the refcount table (`QCOW_MAX_REFTABLE_SIZE`, 8 MiB).
const MAX_REFCOUNT_TABLE: u64 = 8 * 1024 * 1024;

/// What the header of a qcow2 image says, as far as it decides whether we open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Qcow2Header {
    /// 2 or 3.
    pub version: u32,
    /// Size of the disk in bytes.
    pub size: u64,
    /// Bytes per cluster.
    pub cluster_size: u64,
    /// Whether another image lies below this one.
    pub has_backing_file: bool,
    /// How many internal snapshots there are.
    pub snapshots: u32,
    /// Feature bits that a writer that does not know them must clear, for example that of
    /// persistent dirty bitmaps.
    pub autoclear_features: u64,
    /// Zero if it is not encrypted.
    crypt_method: u32,
    /// Feature bits that a reader has to know.
    incompatible_features: u64,
    /// Bytes of the L1 table and of the refcount table.
    l1_table: u64,
    refcount_table: u64,
    /// Where the L1 table is.
    l1_offset: u64,
    /// The name of the backing file: where it is, and its bytes.
    backing_offset: u64,
    backing_len: u32,
    /// Bytes of the header.
    header_len: u32,
    compression_type: u8,
}

/// A header and what belongs to it.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) header: Qcow2Header,
    pub(super) extensions: Extensions,
    pub(super) backing_file: Option<OsString>,
}

impl Head {
    /// Reads the header of an image that we can read; all that belongs to it is in the first cluster.
    pub(super) fn read(file: &File) -> Result<Self> {
        let header = Qcow2Header::read(file)?;
        let cluster = usize::try_from(header.cluster_size).unwrap_or(usize::MAX);
        let head = Self::parse(header, &start_of(file, cluster)?)?;
        head.header.check_readable(&head.extensions)?;
        Ok(head)
    }

    fn parse(header: Qcow2Header, cluster: &[u8]) -> Result<Self> {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let (name, len) = (at(header.backing_offset), at(header.backing_len.into()));
        let backing_file = match header.has_backing_file {
            false => None,
            true => Some(
                name.checked_add(len)
                    .and_then(|end| cluster.get(name..end))
                    .filter(|_| header.backing_len <= MAX_BACKING_NAME)
                    .ok_or_else(|| {
                        invalid("the name of its backing file is not where one can be")
                    })?,
            ),
        };
        let end = if header.has_backing_file {
            name
        } else {
            cluster.len()
        };
        let behind = cluster.get(at(header.header_len.into())..end);
        Ok(Self {
            header,
            extensions: Extensions::parse(behind.unwrap_or_default())?,
            backing_file: backing_file.map(system::name),
        })
    }
}

/// The first bytes of a file, up to its end.
fn start_of(file: &File, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut there = 0;
    while let Some(rest) = bytes.get_mut(there..).filter(|rest| !rest.is_empty()) {
        match system::read_at(file, rest, there as u64) {
            Ok(0) => break,
            Ok(read) => there = there.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::from_io(Operation::Open, error)),
        }
    }
    bytes.truncate(there);
    Ok(bytes)
}

impl Qcow2Header {
    /// The header of an image, whether or not we can read the image itself.
    pub(crate) fn read(file: &File) -> Result<Self> {
        Self::fields(&start_of(file, HEADER_LEN)?)
    }

    /// Read the header at the beginning of an image and refuse what we cannot read truly.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidFormat`] if it is not a qcow2 header or its values are impossible,
    /// [`ErrorKind::Unsupported`] if the image is encrypted, marked corrupt or needs a feature
    /// that the driver lacks.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let header = Self::fields(bytes)?;
        let head = Head::parse(header, bytes)?;
        header.check_readable(&head.extensions)?;
        Ok(header)
    }

    /// Refuses an image that we cannot read truly.
    fn check_readable(&self, extensions: &Extensions) -> Result<()> {
        check_encryption(self.crypt_method)?;
        check_readable(self.incompatible_features, extensions)?;
        self.compression()?;
        if self.has_subclusters() && self.cluster_size < MIN_EXTENDED_CLUSTER {
            return Err(invalid(
                "extended L2 entries, with clusters that are too small",
            ));
        }
        self.check_tables()
    }

    /// Refuses an image that our writer would harm.
    pub(super) fn check_writable(&self) -> Result<()> {
        features::check_writable(self.incompatible_features)
    }

    /// How its compressed clusters are compressed.
    pub(super) fn compression(&self) -> Result<Compression> {
        let marked = self.incompatible_features & features::COMPRESSION != 0;
        match (marked, self.compression_type) {
            (false, 0) => Ok(Compression::Deflate),
            (true, 1) => Ok(Compression::Zstd),
            (true, kind @ 2..) => Err(unsupported(format!(
                "its clusters are compressed in an unknown way ({kind}); convert it with a `qemu-img convert` that knows it"
            ))),
            _ => Err(invalid("its type of compression does not fit its features")),
        }
    }

    /// Whether its L2 entries are extended.
    pub(super) const fn has_subclusters(&self) -> bool {
        self.incompatible_features & features::EXTENDED_L2 != 0
    }

    /// Whether its clusters are in another file.
    pub(super) const fn has_data_file(&self) -> bool {
        self.incompatible_features & features::DATA_FILE != 0
    }

    /// Where the entry of the L1 table is for an L2 table, of which each tells of `reach` bytes.
    pub(super) fn l1_entry(&self, offset: u64, reach: u64) -> u64 {
        let number = offset.checked_div(reach).unwrap_or(0);
        self.l1_offset.saturating_add(number.saturating_mul(8))
    }

    /// Whether the image is a disk and nothing besides: no backing file, encryption, snapshots, bitmaps or
    /// features that a writer has to know.
    #[cfg(unix)]
    pub(crate) fn is_plain(&self) -> bool {
        !self.has_backing_file
            && self.crypt_method == 0
            && self.snapshots == 0
            && self.incompatible_features == 0
            && self.autoclear_features == 0
    }

    /// How the entries of its L2 tables are to be read.
    pub(super) const fn entries(&self) -> Entries {
        Entries::new(
            self.cluster_size.trailing_zeros(),
            self.has_subclusters(),
            self.has_data_file(),
        )
    }

    fn fields(bytes: &[u8]) -> Result<Self> {
        let field = Fields(bytes);
        if field.u32(0)? != MAGIC {
            return Err(invalid("there is no qcow2 magic"));
        }
        let version = field.u32(4)?;
        let (incompatible, autoclear) = match version {
            2 => (0, 0),
            3 => (field.u64(72)?, field.u64(88)?),
            _ => return Err(unsupported(format!("qcow2 version {version}"))),
        };
        let (refcount_order, header_len) = match version {
            2 => (4, V2_LEN),
            _ => (field.u32(96)?, field.u32(100)?),
        };
        if refcount_order > MAX_REFCOUNT_ORDER {
            return Err(invalid(format!("refcounts of 2^{refcount_order} bits")));
        }
        let cluster_bits = field.u32(20)?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(invalid(format!("clusters of 2^{cluster_bits} bytes")));
        }
        let cluster_size = 1_u64 << cluster_bits;
        let is_long_enough = version == 2 || header_len >= V3_LEN;
        if !is_long_enough || u64::from(header_len) > cluster_size {
            return Err(invalid(format!("a header of {header_len} bytes")));
        }
        // A shorter header has none, which is the default.
        let compression_type = match header_len > V3_LEN {
            true => field.bytes::<1>(104)?[0],
            false => 0,
        };
        let (l1_entries, refcount_table_clusters) = (field.u32(36)?, field.u32(56)?);
        Ok(Self {
            version,
            size: field.u64(24)?,
            cluster_size,
            has_backing_file: field.u64(8)? != 0,
            snapshots: field.u32(60)?,
            autoclear_features: autoclear,
            crypt_method: field.u32(32)?,
            incompatible_features: incompatible,
            l1_table: u64::from(l1_entries).saturating_mul(8),
            refcount_table: u64::from(refcount_table_clusters).saturating_mul(cluster_size),
            l1_offset: field.u64(40)?,
            backing_offset: field.u64(8)?,
            backing_len: field.u32(16)?,
            header_len,
            compression_type,
        })
    }

    fn check_tables(&self) -> Result<()> {
        let (l1, refcounts) = (self.l1_table, self.refcount_table);
        if l1 > MAX_L1_TABLE {
            return Err(invalid(format!("an L1 table of {l1} bytes")));
        }
        if refcounts > MAX_REFCOUNT_TABLE {
            return Err(invalid(format!("a refcount table of {refcounts} bytes")));
        }
        if !self.l1_offset.is_multiple_of(self.cluster_size) {
            return Err(invalid("the L1 table does not begin where one can"));
        }
        let reach = self.entries().reach();
        if self.size.div_ceil(reach) > l1 / 8 {
            return Err(invalid("the L1 table is too small for the disk"));
        }
        Ok(())
    }

    /// Bytes of the tables that are in the writer's memory whenever the image is open.
    pub(super) fn tables_in_memory(&self) -> u64 {
        self.l1_table.saturating_add(self.refcount_table)
    }
}

/// `crypt_method` at offset 32. The driver would hand out the ciphertext as if it were the disk.
fn check_encryption(method: u32) -> Result<()> {
    let name = match method {
        0 => return Ok(()),
        1 => "AES",
        2 => "LUKS",
        _ => "an unknown cipher",
    };
    Err(unsupported(format!(
        "the image is encrypted with {name}; decrypt a copy with `qemu-img convert` first"
    )))
}

/// Big-endian numbers at fixed offsets.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&self, at: usize) -> Result<u32> {
        self.bytes(at).map(u32::from_be_bytes)
    }

    fn u64(&self, at: usize) -> Result<u64> {
        self.bytes(at).map(u64::from_be_bytes)
    }

    fn bytes<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        let rest = self.0.get(at..).and_then(<[u8]>::first_chunk);
        rest.copied()
            .ok_or_else(|| invalid("the header is cut off"))
    }
}

fn invalid(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidFormat, Operation::Open).because(why)
}

fn unsupported(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, Operation::Open).because(why)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A version 3 header as `qemu-img create` writes it for 1 GiB.
    fn header() -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        put(&mut bytes, 0, &MAGIC.to_be_bytes());
        put(&mut bytes, 4, &3_u32.to_be_bytes());
        put(&mut bytes, 20, &16_u32.to_be_bytes());
        put(&mut bytes, 24, &(1_u64 << 30).to_be_bytes());
        put(&mut bytes, 36, &2_u32.to_be_bytes());
        put(&mut bytes, 56, &1_u32.to_be_bytes());
        put(&mut bytes, 96, &4_u32.to_be_bytes());
        put(&mut bytes, 100, &112_u32.to_be_bytes());
        bytes
    }

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..][..value.len()].copy_from_slice(value);
    }

    fn refusal(at: usize, value: &[u8]) -> ErrorKind {
        let mut bytes = header();
        put(&mut bytes, at, value);
        Qcow2Header::parse(&bytes)
            .expect_err("must be refused")
            .kind()
    }

    #[test]
    fn a_plain_header_is_read() {
        let header = Qcow2Header::parse(&header()).expect("is valid");
        assert_eq!(
            (header.version, header.size, header.cluster_size),
            (3, 1 << 30, 65536)
        );
        assert!(!header.has_backing_file);
    }

    #[test]
    fn what_does_not_concern_a_reader_is_passed_over() {
        let with = |at, value: &[u8]| {
            let mut bytes = header();
            put(&mut bytes, at, value);
            Qcow2Header::parse(&bytes)
        };
        // Dirty refcounts, and all compatible and autoclear features.
        with(72, &1_u64.to_be_bytes()).expect("dirty");
        with(80, &u64::MAX.to_be_bytes()).expect("compatible");
        with(88, &u64::MAX.to_be_bytes()).expect("autoclear");
        for order in 0..=6_u32 {
            with(96, &order.to_be_bytes()).expect("refcounts");
        }
    }

    #[test]
    fn an_unknown_feature_is_called_by_its_name_in_the_image() {
        let mut bytes = header();
        put(&mut bytes, 72, &(1_u64 << 9).to_be_bytes());
        bytes.extend(0x6803_f857_u32.to_be_bytes());
        bytes.extend(48_u32.to_be_bytes());
        bytes.extend([0, 9]);
        bytes.extend(b"quantum\x1b");
        bytes.resize(HEADER_LEN + 8 + 48, 0);
        let error = Qcow2Header::parse(&bytes).expect_err("is unknown");
        assert!(error.to_string().contains("bit 9 (quantum?)"), "{error}");
    }

    #[test]
    fn each_damage_is_refused_as_what_it_is() {
        use ErrorKind::{InvalidFormat, Unsupported};
        assert_eq!(refusal(0, b"QFI\0"), InvalidFormat);
        assert_eq!(refusal(4, &4_u32.to_be_bytes()), Unsupported);
        assert_eq!(refusal(20, &8_u32.to_be_bytes()), InvalidFormat);
        assert_eq!(refusal(20, &22_u32.to_be_bytes()), InvalidFormat);
        assert_eq!(refusal(32, &1_u32.to_be_bytes()), Unsupported);
        assert_eq!(refusal(32, &2_u32.to_be_bytes()), Unsupported);
        assert_eq!(refusal(36, &u32::MAX.to_be_bytes()), InvalidFormat);
        assert_eq!(refusal(56, &129_u32.to_be_bytes()), InvalidFormat);
        assert_eq!(refusal(36, &1_u32.to_be_bytes()), InvalidFormat);
        assert_eq!(refusal(40, &512_u64.to_be_bytes()), InvalidFormat);
        assert_eq!(refusal(96, &7_u32.to_be_bytes()), InvalidFormat);
        for length in [0, 72, 103, 65537, u32::MAX] {
            assert_eq!(refusal(100, &length.to_be_bytes()), InvalidFormat);
        }
        // A type of compression without its bit, and a bit without its type.
        assert_eq!(refusal(104, &[1]), InvalidFormat);
        assert_eq!(refusal(72, &(1_u64 << 3).to_be_bytes()), InvalidFormat);
        for bit in [1].into_iter().chain(5..64) {
            assert_eq!(
                refusal(72, &(1_u64 << bit).to_be_bytes()),
                Unsupported,
                "bit {bit}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_follows_the_magic_is_read_or_refused(rest in any::<[u8; 140]>(), cut in 0..=144_usize) {
            let bytes = [&MAGIC.to_be_bytes()[..], &rest].concat();
            if let Ok(header) = Qcow2Header::parse(&bytes[..cut]) {
                prop_assert!((2..=3).contains(&header.version));
                prop_assert!((512..=2 << 20).contains(&header.cluster_size));
            }
        }
    }

    #[test]
    fn a_header_cut_off_anywhere_is_refused() {
        let header = header();
        for len in 0..105 {
            assert!(Qcow2Header::parse(&header[..len]).is_err(), "{len} bytes");
        }
    }
}
