//! The client's handshake, over anything that reads and writes.

use fleece_plain_text::words_of;
use std::io::{Read, Write};

use crate::error::{Error, ErrorKind};
use crate::protocol::option_reply::Info;
use crate::protocol::{greeting, handshake_flag, option, option_reply};
use crate::sizes::BlockSizes;

/// Most replies to one option; a list of exports is the longest that there is.
const MAX_REPLIES: usize = 10_000;

/// Most names of exports that an error message tells.
const MAX_NAMES_TOLD: usize = 20;

/// What client and server agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) size: u64,
    pub(crate) block_sizes: BlockSizes,
    /// Id of the metadata context, if the server has it.
    pub(crate) context: Option<u32>,
    flags: u16,
}

impl Agreement {
    /// Whether the export has this transmission flag.
    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// Goes from a fresh connection to the transmission phase of `export`, where that can be had with
/// structured replies and, for the block status, this metadata context.
pub(crate) fn handshake(
    stream: impl Read + Write,
    export: &str,
    context: Option<&str>,
) -> Result<Agreement, Error> {
    let mut handshake = Handshake { stream };
    let greeted = handshake.read(greeting::GREETING_SIZE)?;
    let server_flags = greeting::parse_greeting(&greeted)?;
    handshake.write(&greeting::client_flags(server_flags))?;

    let agreed = handshake.negotiate(export, server_flags, context);
    if agreed.is_err() {
        // The polite end of a handshake, for servers that are still there to hear it.
        let _ = handshake.write(&option::option(option::ABORT, &[])?);
    }
    agreed
}

struct Handshake<S> {
    stream: S,
}

/// The server's refusal of an option, after which the handshake may go on.
struct Refusal {
    code: u32,
    error: Error,
}

impl<S: Read + Write> Handshake<S> {
    fn negotiate(
        &mut self,
        export: &str,
        server_flags: u16,
        context: Option<&str>,
    ) -> Result<Agreement, Error> {
        let context = match context {
            Some(context) if self.structured_replies()? => self.context(export, context)?,
            _ => None,
        };
        let agreement = self.go(export, server_flags)?;
        Ok(Agreement {
            context,
            ..agreement
        })
    }

    fn structured_replies(&mut self) -> Result<bool, Error> {
        let answer = self.ask(option::STRUCTURED_REPLY, &[], |_, _| Ok(()))?;
        go_on(answer).map(|answer| answer.is_some())
    }

    /// Id of the metadata context `wanted`. That there is no such export shows later.
    fn context(&mut self, export: &str, wanted: &str) -> Result<Option<u32>, Error> {
        let mut found = None;
        let payload = option::context_request(export, wanted)?;
        let answer = self.ask(option::SET_META_CONTEXT, &payload, |kind, payload| {
            if kind == option_reply::META_CONTEXT {
                let (id, name) = option_reply::parse_meta_context(payload)?;
                if name == wanted.as_bytes() {
                    found = Some(id);
                }
            }
            Ok(())
        })?;
        go_on(answer).map(|answer| answer.and(found))
    }

    fn go(&mut self, export: &str, server_flags: u16) -> Result<Agreement, Error> {
        let mut size_and_flags = None;
        let mut block_sizes = BlockSizes::default();
        let payload = option::info_request(export)?;
        let answer = self.ask(option::GO, &payload, |kind, payload| {
            if kind == option_reply::INFO {
                match option_reply::parse_info(payload)? {
                    Info::Export { size, flags } => size_and_flags = Some((size, flags)),
                    Info::BlockSize(sizes) => block_sizes = sizes,
                    Info::Other => {}
                }
            }
            Ok(())
        })?;
        let (size, flags) = match answer {
            Ok(()) => size_and_flags
                .ok_or_else(|| Error::protocol("the NBD server did not send the export's size"))?,
            Err(Refusal {
                code: option_reply::ERR_UNSUP,
                ..
            }) => self.export_name(export, server_flags)?,
            Err(Refusal {
                code: option_reply::ERR_UNKNOWN,
                error,
            }) => {
                return Err(self.unknown_export(export, error));
            }
            Err(refusal) => return Err(refusal.error),
        };
        Ok(Agreement {
            size,
            flags,
            block_sizes,
            context: None,
        })
    }

    /// Enters the transmission phase with a server that is older than the option `GO`.
    fn export_name(&mut self, export: &str, server_flags: u16) -> Result<(u64, u16), Error> {
        self.write(&option::option(option::EXPORT_NAME, export.as_bytes())?)?;
        let reply = self
            .read(option_reply::EXPORT_NAME_REPLY_SIZE)
            .map_err(|error| match error.kind() {
                // The only way in which this option can be refused.
                ErrorKind::Disconnected => Error::new(
                    ErrorKind::UnknownExport,
                    format!(
                        "the NBD server closed the connection when asked for export {export:?}"
                    ),
                ),
                _ => error,
            })?;
        if server_flags & handshake_flag::NO_ZEROES == 0 {
            self.read(option_reply::EXPORT_NAME_ZEROES)?;
        }
        option_reply::parse_export_name_reply(&reply)
    }

    /// Tells which exports there are, if the server does.
    fn unknown_export(&mut self, export: &str, refusal: Error) -> Error {
        let mut names = Vec::new();
        let listed = self.ask(option::LIST, &[], |kind, payload| {
            if kind == option_reply::SERVER {
                names.push(option_reply::parse_server(payload)?);
            }
            Ok(())
        });
        if !matches!(listed, Ok(Ok(()))) {
            return refusal;
        }
        let count = names.len();
        names.truncate(MAX_NAMES_TOLD);
        let told = names
            .iter()
            .map(|name| format!("{name:?}"))
            .collect::<Vec<_>>()
            .join(", ");
        let has = match count {
            0 => "it has none".to_owned(),
            _ if count > names.len() => format!("it has {count}, among them {told}"),
            _ => format!("it has {told}"),
        };
        Error::new(
            ErrorKind::UnknownExport,
            format!("the NBD server has no export {export:?}; {has}"),
        )
    }

    /// Sends an option, hands each reply to `on_reply`, returns how the last one ended it.
    fn ask(
        &mut self,
        option: u32,
        payload: &[u8],
        mut on_reply: impl FnMut(u32, &[u8]) -> Result<(), Error>,
    ) -> Result<Result<(), Refusal>, Error> {
        self.write(&option::option(option, payload)?)?;
        for _ in 0..MAX_REPLIES {
            let header = self.read(option_reply::OPTION_REPLY_SIZE)?;
            let (code, length) = option_reply::parse_option_reply(option, &header)?;
            let payload = self.read(length)?;
            if code & option_reply::ERROR_BIT != 0 {
                let error = refusal(option, code, &payload);
                return Ok(Err(Refusal { code, error }));
            }
            if code == option_reply::ACK {
                return Ok(Ok(()));
            }
            on_reply(code, &payload)?;
        }
        Err(Error::protocol(format!(
            "more than {MAX_REPLIES} replies to one option"
        )))
    }

    /// Reads `length` bytes; the caller has checked that this is not much.
    fn read(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length];
        self.stream
            .read_exact(&mut bytes)
            .map_err(|error| Error::connection(WHILE, error))?;
        Ok(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream
            .write_all(bytes)
            .map_err(|error| Error::connection(WHILE, error))
    }
}

const WHILE: &str = "shaking hands with the NBD server";

/// Whether an optional feature was granted; an error when the handshake cannot go on at all.
fn go_on(answer: Result<(), Refusal>) -> Result<Option<()>, Error> {
    match answer {
        Ok(()) => Ok(Some(())),
        Err(Refusal {
            code: option_reply::ERR_TLS_REQD | option_reply::ERR_SHUTDOWN,
            error,
        }) => Err(error),
        Err(_) => Ok(None),
    }
}

/// What the server said with an error reply.
fn refusal(option: u32, code: u32, payload: &[u8]) -> Error {
    let option = match option {
        option::LIST => "LIST",
        option::GO => "GO",
        option::STRUCTURED_REPLY => "STRUCTURED_REPLY",
        option::SET_META_CONTEXT => "SET_META_CONTEXT",
        _ => "an option",
    };
    let (kind, what) = match code {
        option_reply::ERR_TLS_REQD => (
            ErrorKind::Unsupported,
            "demands TLS, which is not supported here; use a Unix socket or an export without TLS",
        ),
        option_reply::ERR_UNKNOWN => (ErrorKind::UnknownExport, "has no such export"),
        option_reply::ERR_UNSUP => (ErrorKind::Unsupported, "does not support the option"),
        option_reply::ERR_POLICY => (ErrorKind::Refused, "forbids it"),
        option_reply::ERR_SHUTDOWN => (ErrorKind::Refused, "is shutting down"),
        option_reply::ERR_BLOCK_SIZE_REQD => (ErrorKind::Refused, "insists on its block sizes"),
        _ => (ErrorKind::Refused, "refused"),
    };
    let message = match words_of(payload) {
        empty if empty.is_empty() => format!("reply {code:#x} to {option}"),
        message => format!("reply {code:#x} to {option}: {message}"),
    };
    Error::new(kind, format!("the NBD server {what} ({message})"))
}

#[cfg(test)]
mod tests;
