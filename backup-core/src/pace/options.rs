//! What a backup may ask of its guest and of the disks.

use std::time::Duration;

/// How hard a backup may read, and how much of the guest's old data it may keep.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pacing {
    /// Bytes per second read from the disks.
    pub bandwidth: Option<u64>,
    /// Most reads in flight.
    pub depth: usize,
    /// What 99 of 100 of a guest's writes may take meanwhile; `None`: what nobody notices, beside what they
    /// take while hardly anything is read.
    pub guest_latency: Option<Duration>,
    /// Read at least so fast that all is read within this time, whatever the guest's latency.
    pub finish_within: Option<Duration>,
    /// Bytes that the fleecing images may hold; the backup ends before they hold more.
    pub fleecing_limit: Option<u64>,
}

/// A night.
const FINISH_WITHIN: Duration = Duration::from_secs(8 * 3600);

impl Default for Pacing {
    fn default() -> Self {
        Self {
            bandwidth: None,
            depth: 8,
            guest_latency: None,
            finish_within: Some(FINISH_WITHIN),
            fleecing_limit: None,
        }
    }
}
