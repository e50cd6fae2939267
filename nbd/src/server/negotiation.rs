//! The server's side of the handshake: what to answer to each option.

use std::io::{Read, Write};
use std::sync::Arc;

use super::export::{Export, max_payload};
use super::exports::Exports;
use crate::error::{Error, ErrorKind};
use crate::protocol::option::{self, ContextRequest, InfoRequest};
use crate::protocol::option_reply::{self as reply, option_reply};
use crate::protocol::{BASE_ALLOCATION, greeting, info, transmission_flag};
use crate::sizes::BlockSizes;

/// Id that we give to the context `base:allocation`.
pub(crate) const BASE_ALLOCATION_ID: u32 = 1;

/// What was agreed on with a client that goes on to read and write.
pub(crate) struct Agreement {
    pub(crate) name: String,
    pub(crate) export: Arc<dyn Export>,
    pub(crate) structured: bool,
    pub(crate) base_allocation: bool,
}

/// Shakes hands. `None` if the client left in a proper way.
pub(crate) fn negotiate(
    mut stream: impl Read + Write,
    exports: &Exports,
) -> Result<Option<Agreement>, Error> {
    let broken = |error| Error::connection("shaking hands with an NBD client", error);
    stream.write_all(&greeting::greeting()).map_err(broken)?;
    let mut flags = [0; greeting::CLIENT_FLAGS_SIZE];
    stream.read_exact(&mut flags).map_err(broken)?;
    let mut negotiation = Negotiation::new(exports, greeting::parse_client_flags(&flags)?);
    loop {
        let mut header = [0; option::OPTION_SIZE];
        stream.read_exact(&mut header).map_err(broken)?;
        let (option, length) = option::parse_option(&header)?;
        let Some(length) = usize::try_from(length)
            .ok()
            .filter(|&l| l <= option::MAX_OPTION)
        else {
            stream
                .write_all(&option_reply(option, reply::ERR_TOO_BIG, b""))
                .map_err(broken)?;
            return Err(Error::protocol(format!(
                "an NBD client's option of {length} bytes"
            )));
        };
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).map_err(broken)?;
        let (answer, next) = negotiation.answer(option, &payload);
        stream.write_all(&answer).map_err(broken)?;
        match next {
            Next::Option => {}
            Next::Transmission(agreement) => return Ok(Some(agreement)),
            Next::Leave => return Ok(None),
            Next::Refuse(error) => return Err(error),
        }
    }
}

/// What comes after the answer to an option.
enum Next {
    Option,
    Transmission(Agreement),
    Leave,
    Refuse(Error),
}

struct Negotiation<'a> {
    exports: &'a Exports,
    no_zeroes: bool,
    structured: bool,
    /// The export for which the client selected `base:allocation`.
    base_allocation_of: Option<String>,
}

impl<'a> Negotiation<'a> {
    fn new(exports: &'a Exports, no_zeroes: bool) -> Self {
        Self {
            exports,
            no_zeroes,
            structured: false,
            base_allocation_of: None,
        }
    }

    /// The bytes to answer with, and what comes then.
    fn answer(&mut self, option: u32, payload: &[u8]) -> (Vec<u8>, Next) {
        let replies = match option {
            option::EXPORT_NAME => return self.export_name(payload),
            option::ABORT => return (option_reply(option, reply::ACK, b""), Next::Leave),
            option::GO => return self.go(payload),
            option::INFO => self.info(option, payload).map(|(replies, _)| replies),
            option::LIST => self.list(payload),
            option::STRUCTURED_REPLY => self.structured_reply(payload),
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => {
                self.meta_context(option, payload)
            }
            _ => Err(Refusal(
                reply::ERR_UNSUP,
                "this server does not support the option",
            )),
        };
        (finish(option, replies), Next::Option)
    }

    fn export_name(&self, payload: &[u8]) -> (Vec<u8>, Next) {
        let found = option::parse_name(payload).and_then(|name| self.exports.find(name));
        let Some((name, export)) = found else {
            // This option has no way to say no.
            let error = Error::new(
                ErrorKind::UnknownExport,
                "an NBD client asked for an unknown export",
            );
            return (Vec::new(), Next::Refuse(error));
        };
        let mut answer = reply::export_name_reply(export.size(), self.flags(&*export));
        if !self.no_zeroes {
            answer.extend([0; reply::EXPORT_NAME_ZEROES]);
        }
        (answer, Next::Transmission(self.agreement(name, export)))
    }

    fn go(&self, payload: &[u8]) -> (Vec<u8>, Next) {
        match self.info(option::GO, payload) {
            Ok((replies, (name, export))) => {
                let next = Next::Transmission(self.agreement(name, export));
                (finish(option::GO, Ok(replies)), next)
            }
            Err(refusal) => (finish(option::GO, Err(refusal)), Next::Option),
        }
    }

    fn info(&self, option: u32, payload: &[u8]) -> Result<(Vec<u8>, Found), Refusal> {
        let InfoRequest {
            export: name,
            wanted,
        } = option::parse_info_request(payload).ok_or(MALFORMED)?;
        let (name, export) = self.exports.find(name).ok_or(UNKNOWN)?;
        // A client that does not ask for the block sizes may ignore them; it needs to know the
        // minimum, though.
        let sizes = export.block_sizes();
        if sizes.minimum > 1 && !wanted.contains(&info::BLOCK_SIZE) {
            return Err(Refusal(
                reply::ERR_BLOCK_SIZE_REQD,
                "this export has a minimum block size",
            ));
        }
        let mut replies = Vec::new();
        let mut tell = |payload: &[u8]| replies.extend(option_reply(option, reply::INFO, payload));
        tell(&reply::export_info(export.size(), self.flags(&*export)));
        let max_payload = max_payload(&*export);
        tell(&reply::block_size_info(BlockSizes {
            max_payload,
            ..sizes
        }));
        if wanted.contains(&info::NAME) {
            tell(&reply::name_info(&name));
        }
        Ok((replies, (name, export)))
    }

    fn list(&self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        if !payload.is_empty() {
            return Err(MALFORMED);
        }
        let one = |name: &String| option_reply(option::LIST, reply::SERVER, &reply::server(name));
        Ok(self.exports.names().iter().flat_map(one).collect())
    }

    fn structured_reply(&mut self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        if !payload.is_empty() {
            return Err(MALFORMED);
        }
        self.structured = true;
        Ok(Vec::new())
    }

    fn meta_context(&mut self, option: u32, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        if !self.structured {
            return Err(Refusal(reply::ERR_INVALID, "structured replies come first"));
        }
        let ContextRequest { export, queries } =
            option::parse_context_request(payload).ok_or(MALFORMED)?;
        let (name, _) = self.exports.find(export).ok_or(UNKNOWN)?;
        let listing = option == option::LIST_META_CONTEXT;
        let found = queries
            .iter()
            .any(|query| *query == BASE_ALLOCATION.as_bytes() || (listing && *query == b"base:"));
        let found = found || (listing && queries.is_empty());
        if !listing {
            self.base_allocation_of = found.then_some(name);
        }
        let context = reply::meta_context(BASE_ALLOCATION_ID, BASE_ALLOCATION);
        Ok(if found {
            option_reply(option, reply::META_CONTEXT, &context)
        } else {
            Vec::new()
        })
    }

    fn agreement(&self, name: String, export: Arc<dyn Export>) -> Agreement {
        // A context that was selected for another export does not count.
        let base_allocation = self.base_allocation_of.as_ref() == Some(&name);
        Agreement {
            name,
            export,
            structured: self.structured,
            base_allocation,
        }
    }

    /// The transmission flags of an export for this client.
    fn flags(&self, export: &dyn Export) -> u16 {
        use transmission_flag::*;
        let mut flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA;
        flags |= if export.read_only() {
            READ_ONLY
        } else {
            SEND_TRIM | SEND_WRITE_ZEROES | SEND_FAST_ZERO
        };
        if self.structured {
            flags |= SEND_DF;
        }
        if export.multi_conn() {
            flags |= CAN_MULTI_CONN;
        }
        flags
    }
}

/// An export with its name.
type Found = (String, Arc<dyn Export>);

/// An error reply: its kind, and words for people.
struct Refusal(u32, &'static str);

const MALFORMED: Refusal = Refusal(reply::ERR_INVALID, "the option is malformed");
const UNKNOWN: Refusal = Refusal(reply::ERR_UNKNOWN, "there is no export of that name");

/// Ends the replies to an option with an acknowledgement, or refuses it.
fn finish(option: u32, replies: Result<Vec<u8>, Refusal>) -> Vec<u8> {
    match replies {
        Ok(mut replies) => {
            replies.extend(option_reply(option, reply::ACK, b""));
            replies
        }
        Err(Refusal(kind, text)) => option_reply(option, kind, text.as_bytes()),
    }
}

#[cfg(test)]
mod tests;
