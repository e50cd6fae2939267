//! The first words of both sides (proto.md, sections "Newstyle negotiation" and "Fixed newstyle
//! negotiation").

use nom::number::complete::{be_u16, be_u32, be_u64};

use super::{GREETING_MAGIC, OLDSTYLE_MAGIC, OPTION_MAGIC, handshake_flag, whole};
use crate::error::{Error, ErrorKind};

/// Bytes of the server's greeting.
pub(crate) const GREETING_SIZE: usize = 18;
/// Bytes of the client's answer to it.
pub(crate) const CLIENT_FLAGS_SIZE: usize = 4;

/// The handshake flags that we use, in either role.
const OURS: u16 = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;

/// The server's first message.
pub(crate) fn greeting() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(GREETING_SIZE);
    bytes.extend(GREETING_MAGIC.to_be_bytes());
    bytes.extend(OPTION_MAGIC.to_be_bytes());
    bytes.extend(OURS.to_be_bytes());
    bytes
}

/// The server's handshake flags. Refuses everything but the fixed newstyle handshake.
pub(crate) fn parse_greeting(bytes: &[u8]) -> Result<u16, Error> {
    let unsupported = |what| Err(Error::new(ErrorKind::Unsupported, what));
    match whole((be_u64, be_u64, be_u16), bytes) {
        Some((GREETING_MAGIC, OPTION_MAGIC, flags)) => match flags & handshake_flag::FIXED_NEWSTYLE
        {
            0 => unsupported(
                "the NBD server only has the unfixed newstyle handshake, which cannot report errors",
            ),
            _ => Ok(flags),
        },
        Some((GREETING_MAGIC, OLDSTYLE_MAGIC, _)) => {
            unsupported("the NBD server uses the oldstyle handshake of before 2010")
        }
        _ => Err(Error::protocol("the peer is not an NBD server")),
    }
}

/// The client's answer to the greeting.
pub(crate) fn client_flags(server_flags: u16) -> [u8; CLIENT_FLAGS_SIZE] {
    u32::from(server_flags & OURS).to_be_bytes()
}

/// Whether the client wants no zeroes after the answer to `EXPORT_NAME`. A server must close
/// the connection when it sees flags that it did not offer.
pub(crate) fn parse_client_flags(bytes: &[u8]) -> Result<bool, Error> {
    match whole(be_u32, bytes) {
        Some(flags) if flags & !u32::from(OURS) == 0 => {
            Ok(flags & u32::from(handshake_flag::NO_ZEROES) != 0)
        }
        _ => Err(Error::protocol("the NBD client set unknown flags")),
    }
}
