//! The numbers of the NBD protocol, and (in the modules below) its messages as slices of bytes.
//!
//! Everything here is from doc/proto.md of the NBD project, section "Values" unless said
//! otherwise: <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>.
//! Nothing here does I/O.

pub(crate) mod greeting;
pub(crate) mod option;
pub(crate) mod option_reply;
pub(crate) mod reply;
pub(crate) mod request;

use nom::Parser;
use nom::combinator::all_consuming;

/// First eight bytes of every server: `NBDMAGIC`.
pub(crate) const GREETING_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// Second eight bytes of a newstyle server, and the start of every option: `IHAVEOPT`.
pub(crate) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// Second eight bytes of an oldstyle server.
pub(crate) const OLDSTYLE_MAGIC: u64 = 0x0000_4202_8186_1253;
/// Start of every reply to an option.
pub(crate) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// Start of every request.
pub(crate) const REQUEST_MAGIC: u32 = 0x2560_9513;
/// Start of a simple reply.
pub(crate) const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// Start of one chunk of a structured reply.
pub(crate) const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// The one metadata context that the protocol itself defines.
pub(crate) const BASE_ALLOCATION: &str = "base:allocation";

/// How the names of contexts begin that tell which parts a dirty bitmap of QEMU's marks.
pub(crate) const DIRTY_BITMAP: &str = "qemu:dirty-bitmap:";

/// Longest string that the protocol allows (proto.md, section "Conventions").
pub(crate) const MAX_STRING: usize = 4096;

/// Largest payload of a read or write that every server takes unless it advertises another
/// limit (proto.md, section "Block size constraints": 32 MiB).
pub(crate) const DEFAULT_MAX_PAYLOAD: u32 = 32 << 20;

/// Handshake flags; the client's flags have the same bits.
pub(crate) mod handshake_flag {
    pub(crate) const FIXED_NEWSTYLE: u16 = 1 << 0;
    pub(crate) const NO_ZEROES: u16 = 1 << 1;
}

/// Pieces of information about an export.
pub(crate) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

/// What an export can do.
pub(crate) mod transmission_flag {
    pub(crate) const HAS_FLAGS: u16 = 1 << 0;
    pub(crate) const READ_ONLY: u16 = 1 << 1;
    pub(crate) const SEND_FLUSH: u16 = 1 << 2;
    pub(crate) const SEND_FUA: u16 = 1 << 3;
    pub(crate) const SEND_TRIM: u16 = 1 << 5;
    pub(crate) const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub(crate) const SEND_DF: u16 = 1 << 7;
    pub(crate) const CAN_MULTI_CONN: u16 = 1 << 8;
    pub(crate) const SEND_FAST_ZERO: u16 = 1 << 11;
}

/// Kinds of chunks of a structured reply.
pub(crate) mod chunk {
    /// Flag: the last chunk of its reply.
    pub(crate) const FLAG_DONE: u16 = 1 << 0;
    pub(crate) const NONE: u16 = 0;
    pub(crate) const OFFSET_DATA: u16 = 1;
    pub(crate) const OFFSET_HOLE: u16 = 2;
    pub(crate) const BLOCK_STATUS: u16 = 5;
    /// Set in every kind that means failure.
    pub(crate) const ERROR_BIT: u16 = 1 << 15;
    pub(crate) const ERROR: u16 = ERROR_BIT | 1;
    pub(crate) const ERROR_OFFSET: u16 = ERROR_BIT | 2;
}

/// Flags of an extent in the context `base:allocation`.
pub(crate) mod state {
    pub(crate) const HOLE: u32 = 1 << 0;
    pub(crate) const ZERO: u32 = 1 << 1;
}

/// Runs `parser`, which must take all of `bytes`.
fn whole<'a, O, P>(parser: P, bytes: &'a [u8]) -> Option<O>
where
    P: Parser<&'a [u8], Output = O, Error = nom::error::Error<&'a [u8]>>,
{
    all_consuming(parser)
        .parse(bytes)
        .ok()
        .map(|(_, output)| output)
}
