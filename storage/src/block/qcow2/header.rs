//! Our own look at a qcow2 header, before any driver sees the image.
//!
//! Offsets are those of QEMU's `docs/interop/qcow2.rst`, section "Header".

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::block::{Error, ErrorKind, Operation, Result};

/// Bytes of the fixed part of a version 3 header.
const HEADER_LEN: usize = 104;

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
}

impl Qcow2Header {
    /// The header of an image, whether or not we can read the image itself.
    pub(crate) fn read(file: &File) -> Result<Self> {
        let mut bytes = [0; HEADER_LEN];
        let mut there = 0;
        while let Some(rest) = bytes.get_mut(there..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, there as u64) {
                Ok(0) => break,
                Ok(read) => there = there.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from_io(Operation::Open, error)),
            }
        }
        Self::fields(bytes.get(..there).unwrap_or_default())
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
        header.check_readable()?;
        Ok(header)
    }

    /// Refuses an image that we cannot read truly.
    pub(super) fn check_readable(&self) -> Result<()> {
        check_encryption(self.crypt_method)?;
        check_incompatible_features(self.incompatible_features)?;
        check_tables(self.l1_table, self.refcount_table)
    }

    /// Whether the image is a disk and nothing besides: no backing file, encryption, snapshots, bitmaps or
    /// features that a writer has to know.
    pub(crate) fn is_plain(&self) -> bool {
        !self.has_backing_file
            && self.crypt_method == 0
            && self.snapshots == 0
            && self.incompatible_features == 0
            && self.autoclear_features == 0
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
        let cluster_bits = field.u32(20)?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(invalid(format!("clusters of 2^{cluster_bits} bytes")));
        }
        let cluster_size = 1_u64 << cluster_bits;
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
        })
    }

    /// Bytes of the tables that are in memory whenever the image is open.
    pub(super) fn tables_in_memory(&self, writable: bool) -> u64 {
        let refcounts = if writable { self.refcount_table } else { 0 };
        self.l1_table.saturating_add(refcounts)
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

/// The bits at offset 72. Bit 0, dirty refcounts, does not concern readers.
fn check_incompatible_features(features: u64) -> Result<()> {
    const FEATURES: [(u64, &str); 4] = [
        (
            1 << 1,
            "the image is marked corrupt; repair it with `qemu-img check -r all`",
        ),
        (1 << 2, "its data is in an external file"),
        (
            1 << 3,
            "its clusters are not compressed with zlib; convert it with `qemu-img convert`",
        ),
        (
            1 << 4,
            "it has extended L2 entries; convert it with `qemu-img convert`",
        ),
    ];
    for (bit, reason) in FEATURES {
        if features & bit != 0 {
            return Err(unsupported(reason));
        }
    }
    match features >> FEATURES.len() >> 1 {
        0 => Ok(()),
        _ => Err(unsupported(format!(
            "unknown incompatible features {features:#x}"
        ))),
    }
}

fn check_tables(l1_table: u64, refcount_table: u64) -> Result<()> {
    if l1_table > MAX_L1_TABLE {
        return Err(invalid(format!("an L1 table of {l1_table} bytes")));
    }
    if refcount_table > MAX_REFCOUNT_TABLE {
        return Err(invalid(format!(
            "a refcount table of {refcount_table} bytes"
        )));
    }
    Ok(())
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
        for bit in 1..64 {
            assert_eq!(
                refusal(72, &(1_u64 << bit).to_be_bytes()),
                Unsupported,
                "bit {bit}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_follows_the_magic_is_read_or_refused(rest in any::<[u8; 100]>(), cut in 0..=104_usize) {
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
        for len in 0..96 {
            assert!(Qcow2Header::parse(&header[..len]).is_err(), "{len} bytes");
        }
    }
}
