//! What an L2 entry says (QEMU's `docs/interop/qcow2.rst`, "Cluster mapping" and "Extended L2 Entries").

/// Bits 9 to 55 of an entry: where a table or a cluster is.
pub(super) const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// The cluster is compressed.
const COMPRESSED: u64 = 1 << 62;

/// Nobody else refers to the cluster. With a data file it says that there is one, since its place may be 0.
const COPIED: u64 = 1 << 63;

/// The cluster reads as zeroes, wherever it is; not with extended entries.
const ZERO: u64 = 1;

/// Subclusters of a cluster with extended entries.
const SUBCLUSTERS: u64 = 32;

/// Where bytes of the disk are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    /// Nowhere: they are zeroes.
    Zero,
    /// In the image below, if there is one.
    Below,
    /// At this offset.
    Data(u64),
    /// In a compressed cluster of so many bytes at most, at an offset.
    Compressed(u64, u64),
}

/// How entries are to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries {
    cluster_bits: u32,
    is_extended: bool,
    has_data_file: bool,
}

impl Entries {
    pub(super) const fn new(cluster_bits: u32, is_extended: bool, has_data_file: bool) -> Self {
        Self {
            cluster_bits,
            is_extended,
            has_data_file,
        }
    }

    /// Two to this power is the bytes of an entry.
    const fn entry_bits(&self) -> u32 {
        if self.is_extended { 4 } else { 3 }
    }

    /// How many bytes of the disk the entries in `length` bytes of an L2 table tell of.
    pub(super) const fn span(&self, length: u64) -> u64 {
        length
            .wrapping_shr(self.entry_bits())
            .saturating_mul(self.cluster_size())
    }

    /// How many bytes of the disk an L2 table tells of.
    pub(super) const fn reach(&self) -> u64 {
        self.span(self.cluster_size())
    }

    /// Where in a table the entry is for what is `distance` bytes behind the first that the table tells of.
    pub(super) const fn place(&self, distance: u64) -> u64 {
        distance
            .wrapping_shr(self.cluster_bits)
            .wrapping_shl(self.entry_bits())
    }

    /// How far into its cluster an offset is, in bytes.
    pub(super) const fn within(&self, offset: u64) -> u64 {
        offset & self.cluster_size().wrapping_sub(1)
    }

    const fn cluster_size(&self) -> u64 {
        1_u64.wrapping_shl(self.cluster_bits)
    }

    /// Two to this power is the bytes of the smallest part of a cluster that has a place of its own.
    const fn unit_bits(&self) -> u32 {
        if self.is_extended {
            self.cluster_bits
                .saturating_sub(SUBCLUSTERS.trailing_zeros())
        } else {
            self.cluster_bits
        }
    }

    /// What is `within` bytes into a cluster with this entry, and for how many bytes; or what is wrong with it.
    pub(super) fn mapping(
        &self,
        entry: &[u8],
        within: u64,
    ) -> Result<(Mapping, u64), &'static str> {
        let word = |at| entry.get(at..).and_then(<[u8]>::first_chunk);
        let word = |at| word(at).map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let (descriptor, bitmap) = (word(0), if self.is_extended { word(8) } else { 0 });
        if descriptor & COMPRESSED != 0 {
            if self.has_data_file {
                return Err("a cluster is compressed, although there is a data file");
            }
            let left = left(self.cluster_bits, within);
            return Ok((self.compressed(descriptor), left));
        }
        let place = descriptor & OFFSET;
        if !place.is_multiple_of(self.cluster_size()) {
            return Err("a cluster does not begin where one can");
        }
        let is_there = place != 0 || (self.has_data_file && descriptor & COPIED != 0);
        let data = Mapping::Data(place.saturating_add(within));
        let left = left(self.unit_bits(), within);
        if !self.is_extended {
            return Ok(match is_there {
                _ if descriptor & ZERO != 0 => (Mapping::Zero, left),
                true => (data, left),
                false => (Mapping::Below, left),
            });
        }
        let subcluster = within.wrapping_shr(self.unit_bits());
        let bit = |at: u64| {
            bitmap
                .checked_shr(u32::try_from(at).unwrap_or(64))
                .unwrap_or(0)
                & 1
                != 0
        };
        match (bit(subcluster), bit(subcluster.saturating_add(SUBCLUSTERS))) {
            (true, true) => Err("a subcluster is both data and zeroes"),
            (true, false) if !is_there => Err("a subcluster has data, and its cluster none"),
            (true, false) => Ok((data, left)),
            (false, true) => Ok((Mapping::Zero, left)),
            (false, false) => Ok((Mapping::Below, left)),
        }
    }

    /// Bits 0 to x-1 are the offset, bits x to 61 the number of further sectors, with x = 62 - (`cluster_bits` - 8).
    fn compressed(&self, descriptor: u64) -> Mapping {
        let bits = 70_u32.saturating_sub(self.cluster_bits);
        let place = descriptor & 1_u64.wrapping_shl(bits).wrapping_sub(1);
        let sectors = (descriptor & (COMPRESSED - 1))
            .wrapping_shr(bits)
            .saturating_add(1);
        let length = sectors.saturating_mul(512).saturating_sub(place % 512);
        Mapping::Compressed(place, length)
    }
}

/// Up to the next multiple of two to the power of `bits`, in bytes.
const fn left(bits: u32, within: u64) -> u64 {
    let unit = 1_u64.wrapping_shl(bits);
    unit.saturating_sub(within & unit.wrapping_sub(1))
}

impl Mapping {
    /// Whether `next`, `length` bytes further, goes on as this does.
    pub(super) fn goes_on(self, length: u64, next: Self) -> bool {
        match self {
            Self::Zero | Self::Below => next == self,
            Self::Data(place) => next == Self::Data(place.saturating_add(length)),
            Self::Compressed(..) => false,
        }
    }
}
