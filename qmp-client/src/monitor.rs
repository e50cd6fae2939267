//! A guest's monitor, however it is reached.
//!
//! [`Client`](crate::client::Client) is what commands are typed on; below it stands one of these. The one over a
//! QMP socket is this crate's own. A manager that owns QEMU's monitor and passes commands on, such as libvirt,
//! is another, in a crate of its own.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::command::RawCommand;
use crate::deadline::Interrupt;
use crate::error::{Error, ErrorKind};
use crate::message::{Greeting, Message};
use crate::subscription::Subscription;

/// A way to QEMU's monitor.
///
/// Calls may overlap. Errors say where (`at`) and during which command they arose; a reply that QEMU gives as
/// an error is of the kind [`ErrorKind::Command`].
pub trait Monitor: fmt::Debug + Send + Sync {
    /// Where it is, for people.
    fn peer(&self) -> &str;

    /// What QEMU is.
    fn greeting(&self) -> &Greeting;

    /// What ends the waiting.
    fn interrupt(&self) -> &Interrupt;

    /// The number of QEMU's process, or of what stands in front of it, where that runs on this host and can be
    /// known.
    fn peer_process(&self) -> Option<u32>;

    /// Whether [`call`](Self::call) can pass a descriptor.
    fn passes_descriptors(&self) -> bool;

    /// How long each of several commands takes at least, on its way and back; `None` where they travel together,
    /// so that only QEMU's own time counts.
    fn round_trip(&self) -> Option<Duration> {
        None
    }

    /// Sends one command, and perhaps a descriptor with it, and waits for the text of its result.
    ///
    /// # Errors
    /// See the trait; [`ErrorKind::InvalidCommand`] for a descriptor that cannot be passed.
    fn call(
        &self,
        name: &str,
        arguments: Option<&RawValue>,
        fd: Option<BorrowedFd<'_>>,
        deadline: Duration,
    ) -> Result<Box<RawValue>, Error>;

    /// Sends several commands so that QEMU runs them one right after the other, also those after one that it
    /// refuses, and returns a result for each. The time for all is the sum of their deadlines.
    ///
    /// With `to_the_end`, it runs all of them even if this process is killed meanwhile, where that can be had.
    /// `sent` is called when the commands are on their way and the replies are still to come.
    fn call_all(
        &self,
        commands: &[RawCommand],
        to_the_end: bool,
        sent: &mut dyn FnMut(),
    ) -> Vec<Result<Box<RawValue>, Error>>;

    /// All events from now on, or a moment later.
    fn subscribe(&self) -> Subscription;

    /// Why no command can be sent any more, if that is so.
    fn closed(&self) -> Option<Error>;
}

/// What a reply of QEMU's says, for monitors that get it as a text: `{"return": …}` or `{"error": …}`.
///
/// # Errors
/// [`ErrorKind::Command`] with QEMU's words; [`ErrorKind::Protocol`] for what is no reply.
pub fn parse_reply(text: &[u8]) -> Result<Box<RawValue>, Error> {
    match Message::parse(text)? {
        Message::Reply(reply) => reply.result.map_err(Error::from),
        Message::Greeting(_) | Message::Event(_) => {
            Err(Error::new(ErrorKind::Protocol).with_detail("not a reply"))
        }
    }
}
