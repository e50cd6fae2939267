//! What a backup may ask of its guest and of the disks.

use std::path::PathBuf;
use std::time::Duration;

use crate::pace::rate::RateLimit;
use crate::report::error::Error;

/// How hard a backup may read, and how much of the guest's old data it may keep.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pacing {
    /// Bytes per second read from the disks.
    pub bandwidth: Option<u64>,
    /// Bytes per second that all processes read together which name this file.
    pub shared_bandwidth: Option<(PathBuf, u64)>,
    /// Most reads in flight.
    pub depth: usize,
    /// What 99 of 100 of a guest's writes may take meanwhile; `None`: what nobody notices, beside what they
    /// take while hardly anything is read.
    pub guest_latency: Option<Duration>,
    /// Read at least so fast that all is read within this time, whatever the guest's latency.
    pub finish_within: Option<Duration>,
    /// Bytes that the fleecing images may hold; the backup ends before they hold more.
    pub fleecing_limit: Option<u64>,
    /// Bytes that the fleecing images of several backups may hold together, each of which names a file of its own in a directory
    /// of theirs; the backup with the most ends before they hold more.
    pub shared_fleecing: Option<(PathBuf, u64)>,
}

impl Pacing {
    /// The limits of bandwidth, if there are any.
    pub(crate) fn rate_limit(&self) -> Result<Option<RateLimit>, Error> {
        let own = self.bandwidth.map(RateLimit::new);
        match &self.shared_bandwidth {
            Some((path, rate)) => {
                let own = own.unwrap_or_else(|| RateLimit::new(u64::MAX));
                own.shared(path, *rate).map(Some)
            }
            None => Ok(own),
        }
    }

    /// The most that the fleecing images may hold in any case.
    pub(crate) fn most_fleecing(&self) -> Option<u64> {
        let shared = self.shared_fleecing.as_ref().map(|(_, limit)| *limit);
        self.fleecing_limit.into_iter().chain(shared).min()
    }
}

/// A night.
const FINISH_WITHIN: Duration = Duration::from_secs(8 * 3600);

impl Default for Pacing {
    fn default() -> Self {
        Self {
            bandwidth: None,
            shared_bandwidth: None,
            depth: 8,
            guest_latency: None,
            finish_within: Some(FINISH_WITHIN),
            fleecing_limit: None,
            shared_fleecing: None,
        }
    }
}
