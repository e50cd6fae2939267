//! What a guest on QEMU tells about itself during a backup.

use std::time::{Duration, Instant};

use fleece_fleecing::{Interference, Session};
use fleece_qmp_client::commands::{BlockStats, DeviceStats, LatencyHistogram, QueryBlockStats};
use fleece_qmp_client::{Client, KnownEvent, Subscription};

use super::space;
use super::space::free_space::SpaceWatch;
use crate::pace::latency::{DiskWrites, GuestWrites};
use crate::pipeline::transfer::GuestWatch;
use crate::report::Counting;
use crate::report::error::Error;

/// What a guest had written when the backup began: who writes nothing while all is prepared need not be watched for it
/// later.
pub(super) struct Begun {
    at: Instant,
    stats: Vec<BlockStats>,
}

impl Begun {
    pub(super) fn now(client: &Client) -> Option<Self> {
        let stats = client.execute_within(&QueryBlockStats { query_nodes: None }, TIMEOUT);
        Some(Self {
            at: Instant::now(),
            stats: stats.ok()?,
        })
    }

    /// The same of the disks that are backed up.
    pub(super) fn of(self, session: &Session<'_>) -> (Instant, GuestWrites) {
        (self.at, of_disks(self.stats, session))
    }
}

/// Watches the disks of a session.
pub(crate) struct QemuWatch<'a> {
    session: &'a Session<'a>,
    /// After this long QEMU gives up to save old data.
    cbw_timeout: Duration,
    fleecing_peak: Option<u64>,
    reporter: &'a Counting<'a>,
    seen: Interference,
    looked: Option<Instant>,
    space: &'a SpaceWatch,
    events: Subscription,
}

impl<'a> QemuWatch<'a> {
    pub(crate) fn new(
        session: &'a Session<'a>,
        space: &'a SpaceWatch,
        cbw_timeout: Duration,
        reporter: &'a Counting<'a>,
    ) -> Self {
        Self {
            session,
            cbw_timeout,
            fleecing_peak: None,
            reporter,
            seen: Interference::default(),
            looked: None,
            space,
            events: session.client().subscribe(),
        }
    }

    /// The most that [`GuestWatch::fleecing_used`] has seen.
    pub(crate) fn fleecing_peak(&self) -> Option<u64> {
        self.fleecing_peak
    }
}

impl QemuWatch<'_> {
    /// What others have done to the disks, from the switch on.
    pub(crate) fn check_interference(&mut self) -> Option<Error> {
        match self.session.check_interference(&mut self.seen) {
            Ok(news) => {
                for what in news {
                    self.reporter.warning(what);
                }
                None
            }
            Err(error) => Some(error.into()),
        }
    }
}

/// What others do to the disks is looked for this often.
const INTERVAL: Duration = Duration::from_secs(1);

/// A monitor that does not answer in this time is busy with the guest's I/O; the next look tells.
const TIMEOUT: Duration = Duration::from_secs(2);

impl GuestWatch for QemuWatch<'_> {
    fn writes(&mut self) -> Option<GuestWrites> {
        let client = self.session.client();
        let stats = client
            .execute_within(&QueryBlockStats { query_nodes: None }, TIMEOUT)
            .ok()?;
        Some(of_disks(stats, self.session))
    }

    fn fleecing_used(&mut self) -> Option<u64> {
        let used = self.session.used();
        self.fleecing_peak = self.fleecing_peak.max(used);
        used
    }

    fn fleecing_error(&mut self) -> Option<Error> {
        if let Some(disk) = self.without_space() {
            return Some(space::no_space(self.session, &disk));
        }
        if let Some(shared) = self.space.short() {
            return Some(space::short(self.session, shared));
        }
        match self.session.hangs_for() {
            Some(waits) if waits > self.cbw_timeout => {
                Some(space::hangs(self.session, self.cbw_timeout))
            }
            // QEMU waits for it, too.
            Some(_) => None,
            None if self.looked.is_some_and(|last| last.elapsed() < INTERVAL) => None,
            None => {
                self.looked = Some(Instant::now());
                self.check_interference()
            }
        }
    }
}

impl QemuWatch<'_> {
    /// The disk of the guest that found no room since the last look, if one did; it may have no name.
    fn without_space(&self) -> Option<String> {
        while let Ok(Some(event)) = self.events.next(Duration::ZERO) {
            if let Some(KnownEvent::BlockIoError {
                device,
                nospace: true,
                ..
            }) = event.known()
            {
                return Some(device);
            }
        }
        None
    }
}

/// What was written to the disks that are backed up.
fn of_disks(stats: Vec<BlockStats>, session: &Session<'_>) -> GuestWrites {
    let disks = session.disks().iter();
    let ours: Vec<&str> = disks.filter_map(|disk| disk.stats_id.as_deref()).collect();
    let disks = stats
        .into_iter()
        .filter(|disk| {
            let qdev = disk.qdev.as_deref();
            qdev.is_some_and(|qdev| ours.contains(&qdev))
        })
        .map(|disk| writes(&disk.stats));
    GuestWrites::of(disks.collect())
}

fn writes(stats: &DeviceStats) -> DiskWrites {
    let nanos = stats
        .wr_total_time_ns
        .saturating_add(stats.flush_total_time_ns);
    DiskWrites {
        operations: stats.wr_operations.saturating_add(stats.flush_operations),
        time: Duration::from_nanos(nanos),
        classes: match (&stats.wr_latency_histogram, &stats.flush_latency_histogram) {
            (Some(write), Some(flush)) if write.boundaries == flush.boundaries => {
                classes(write, flush)
            }
            _ => Vec::new(),
        },
    }
}

fn classes(write: &LatencyHistogram, flush: &LatencyHistogram) -> Vec<(Duration, u64)> {
    let bounds = write.boundaries.iter().copied().map(Duration::from_nanos);
    let counts = write.bins.iter().zip(&flush.bins);
    bounds
        .chain([Duration::MAX])
        .zip(counts.map(|(one, other)| one.saturating_add(*other)))
        .collect()
}
