//! The events that a backup has an eye on.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::message::{Event, Timestamp};

/// What an [`Event`] says, typed; by their QAPI names in Rust's case.
///
/// Reasons, operations and actions are text because each release may add some.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum KnownEvent {
    /// The virtual processors stand still.
    Stop {},
    /// The virtual processors go on.
    Resume {},
    /// QEMU ends, or the guest shut down and QEMU waits (`-no-shutdown`).
    Shutdown {
        /// Whether the guest wanted it.
        guest: bool,
        /// Such as `guest-shutdown`, `host-signal` or `host-qmp-quit`.
        reason: String,
    },
    /// The machine starts anew.
    Reset {
        /// Whether the guest wanted it.
        guest: bool,
        /// Such as `guest-reset` or `host-qmp-system-reset`.
        reason: String,
    },
    /// The guest's kernel gave up.
    GuestPanicked {
        /// What QEMU does about it, such as `pause`.
        action: String,
    },
    /// A request of the guest failed.
    BlockIoError {
        /// The block backend; empty if it has no name.
        device: String,
        /// The node.
        node_name: Option<String>,
        /// `read` or `write`.
        operation: String,
        /// What QEMU does about it: `report` the error to the guest, `ignore` it or `stop`.
        action: String,
        /// Whether there was no space left.
        #[serde(default)]
        nospace: bool,
        /// For people.
        reason: String,
    },
    /// A block job is done or has failed.
    BlockJobCompleted {
        /// Its id.
        device: String,
        /// Why it failed.
        error: Option<String>,
    },
    /// A block job was cancelled and is gone.
    BlockJobCancelled {
        /// Its id.
        device: String,
    },
    /// A request of a block job failed.
    BlockJobError {
        /// Its id.
        device: String,
        /// `read` or `write`.
        operation: String,
        /// `report`, `ignore` or `stop`.
        action: String,
    },
    /// An export is gone.
    BlockExportDeleted {
        /// Its id.
        id: String,
    },
    /// A device was unplugged.
    DeviceDeleted {
        /// Its id, if it had one.
        device: Option<String>,
        /// Its QOM path.
        path: String,
    },
}

impl Event {
    /// The event, typed; `None` if it is not among those known, or is not as it should be.
    #[must_use]
    pub fn known(&self) -> Option<KnownEvent> {
        let event = json!({"event": self.name, "data": self.data});
        serde_json::from_value(event).ok()
    }
}

impl Timestamp {
    /// The time from `earlier` to this; `None` if it is before it or the clock was not known.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let micros = |time: Self| {
            time.seconds
                .checked_mul(1_000_000)?
                .checked_add(time.microseconds)
        };
        let elapsed = micros(self)?.checked_sub(micros(earlier)?)?;
        u64::try_from(elapsed).ok().map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests;
