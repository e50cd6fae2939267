//! How to connect.

use std::time::Duration;

use crate::deadline::Interrupt;

/// How to connect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long it may take in all to connect, to be greeted and to agree on capabilities.
    pub deadline: Duration,
    /// What ends all waiting, for the connection and on it.
    pub interrupt: Interrupt,
}

impl Default for Options {
    /// Five seconds: QEMU answers at once unless its main loop is stuck.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            interrupt: Interrupt::default(),
        }
    }
}
