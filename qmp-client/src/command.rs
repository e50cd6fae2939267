//! What a command is.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A command with typed arguments and a typed reply.
///
/// The value itself is serialized as the command's `arguments`, so it must be a struct with
/// braces, even without members. Any command can be typed by its user:
///
/// ```
/// use fleece_qmp_client::{Command, Done};
///
/// #[derive(serde::Serialize)]
/// #[serde(rename_all = "kebab-case")]
/// struct Eject { id: String, force: bool }
///
/// impl Command for Eject {
///     const NAME: &'static str = "eject";
///     type Reply = Done;
/// }
/// ```
pub trait Command: Serialize {
    /// The command's QAPI name.
    const NAME: &'static str;
    /// What it returns.
    type Reply: DeserializeOwned;

    /// How long [`Client::execute`](crate::client::Client::execute) waits for the reply.
    fn deadline(&self) -> Duration {
        default_deadline(Self::NAME)
    }
}

/// The reply of a command that returns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Done {}

/// A command with untyped arguments, for a [pipeline](crate::client::Client::pipeline).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RawCommand {
    /// The command's QAPI name.
    pub name: String,
    /// Its arguments, an object.
    pub arguments: Option<Value>,
    /// How long its reply may take.
    pub deadline: Duration,
}

impl RawCommand {
    /// A command with the default deadline of its name.
    pub fn new(name: impl Into<String>, arguments: Option<Value>) -> Self {
        let name = name.into();
        let deadline = default_deadline(&name);
        Self {
            name,
            arguments,
            deadline,
        }
    }
}

/// How long the reply to a command may take by default.
///
/// A reply that takes longer is not harmless to give up on, since the command goes on inside
/// QEMU. So the deadlines are generous: they tell a hung QEMU from a busy one.
pub(crate) fn default_deadline(command: &str) -> Duration {
    match command {
        // Open images, flush them, or start what reads them.
        "blockdev-add" | "block-export-add" | "nbd-server-start" | "object-add" | "object-del"
        | "cont" | "device_add" | "device_del" | "quit" => OPENS,
        // Wait for all requests in flight.
        "blockdev-del" | "blockdev-reopen" | "blockdev-backup" | "block-export-del"
        | "nbd-server-stop" | "nbd-server-remove" | "block-job-cancel" | "job-cancel"
        | "block-job-dismiss" | "job-dismiss" | "query-block-jobs" | "qom-set" | "stop"
        | "transaction" => DRAINS,
        _ => ANSWERS,
    }
}

/// A command that only looks something up.
const ANSWERS: Duration = Duration::from_secs(5);
/// A command that opens or starts something.
const OPENS: Duration = Duration::from_secs(60);
/// A command that waits until the disks are quiet. Linux's own limit for one request to a
/// SCSI disk is 30 s, and a few retries of it are normal on a failing path.
const DRAINS: Duration = Duration::from_secs(600);

/// Binds a type to its command's name and reply.
macro_rules! command {
    ($command:ty, $name:literal, $reply:ty) => {
        impl $crate::command::Command for $command {
            const NAME: &'static str = $name;
            type Reply = $reply;
        }
    };
}
pub(crate) use command;
