//! From sources to a finished archive: the part of a backup that takes long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fleece_vma_format::{Header, Summary};

use crate::cancel::CancelToken;
use crate::error::Error;
use crate::pace::gate::DepthGate;
use crate::pace::latency::GuestWrites;
use crate::pace::options::Pacing;
use crate::pace::pacer::{self, Pace, Pacer};
use crate::pace::rate::RateLimit;
use crate::pipeline::fleecing_limit::FleecingLimit;
use crate::pipeline::{Limits, Pipeline, PipelineDisk};
use crate::report::meter::Meter;
use crate::report::{Counters, Event, Progress, Reporter};
use crate::target::deadline;
use crate::target::options::ArchiveTarget;
use crate::target::output::{Counted, Output};

/// How to move the data.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Most reads in flight.
    pub(crate) max_depth: usize,
    /// What 99 of 100 of the guest's writes may take.
    pub(crate) guest_latency: Duration,
    /// Whether the guest wrote nothing before.
    pub(crate) idle: bool,
    /// Bytes per second read from the disks.
    pub(crate) rate: Option<u64>,
    /// How long the target may take for one write.
    pub(crate) target_timeout: Duration,
    /// Bytes that the fleecing images may hold.
    pub(crate) fleecing_limit: Option<u64>,
}

impl Settings {
    /// Those of a guest of whose writes 99 of 100 took `before` the backup; `None` if that is not known.
    pub(crate) fn new(pacing: &Pacing, target: &ArchiveTarget, before: Option<Duration>) -> Self {
        Self {
            max_depth: pacing.depth,
            guest_latency: pacing.guest_latency.unwrap_or_else(|| pacer::limit(before)),
            idle: false,
            rate: pacing.bandwidth,
            target_timeout: target.timeout,
            fleecing_limit: pacing.fleecing_limit,
        }
    }
}

/// What the guest tells about itself while it is backed up.
pub trait GuestWatch {
    /// Its disks' counters; `None` if they cannot be had, or if it does not run.
    fn writes(&mut self) -> Option<GuestWrites>;

    /// Bytes in the fleecing images.
    fn fleecing_used(&mut self) -> Option<u64>;

    /// Why there is no point in going on, if the last look at the images has told.
    fn fleecing_error(&mut self) -> Option<Error> {
        None
    }
}

/// What 99 of 100 of the guest's writes take while nothing disturbs them, from that many looks at a guest
/// that writes; `None` if it does not.
pub(crate) fn before(
    watch: &mut dyn GuestWatch,
    looks: u32,
    cancel: &CancelToken,
) -> Option<Duration> {
    let start = watch.writes()?;
    let mut felt = None;
    for _ in 0..looks {
        // Nothing is ever received: it ends by the time, or by the token.
        let _ = cancel.fired().recv_timeout(pacer::INTERVAL);
        felt = watch.writes()?.latency_since(&start);
        if felt.is_none() || cancel.reason().is_some() {
            break;
        }
    }
    felt
}

/// Intervals in which the undisturbed guest is watched, a second in all.
pub(crate) const LOOKS: u32 = 5;

/// How often progress is reported.
const REPORT: Duration = Duration::from_secs(1);

/// Everything that a transfer needs; `devices` are those of `header`, in its order.
pub(crate) struct Transfer<'a> {
    pub(crate) header: Header,
    pub(crate) devices: Vec<PipelineDisk>,
    pub(crate) output: Output,
    pub(crate) counters: &'a Arc<Counters>,
    pub(crate) settings: Settings,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) cancel: &'a CancelToken,
}

impl Transfer<'_> {
    /// Reads all disks and writes the archive, which is not yet committed.
    ///
    /// With a `watch`, reading follows what the guest feels; without, it is as fast as it can be.
    pub(crate) fn run(
        self,
        mut watch: Option<&mut dyn GuestWatch>,
    ) -> Result<(Counted, Summary), Error> {
        let settings = self.settings;
        let total = self.devices.iter().map(|disk| disk.source.size()).sum();
        let mut pacer = Pacer::new(settings.guest_latency, settings.max_depth);
        if settings.idle {
            pacer = pacer.idle();
        }
        let first_pace = match watch {
            Some(_) => pacer.pace(),
            None => Pace::full(settings.max_depth),
        };
        let gate = Arc::new(DepthGate::new(first_pace, settings.max_depth));
        let limits = Limits {
            gate: Arc::clone(&gate),
            rate: settings.rate.map(RateLimit::new),
        };
        let mut pipeline = Pipeline::start(
            self.devices,
            self.header,
            self.output,
            limits,
            Arc::clone(self.counters),
        );
        let mut last_writes = watch.as_mut().and_then(|watch| watch.writes());
        let mut meter = Meter::new(total, Instant::now());
        let mut last_report = Instant::now();
        let mut fleecing_limit = settings.fleecing_limit.map(FleecingLimit::new);
        loop {
            let ended = pipeline.wait(pacer::INTERVAL);
            if ended.is_some() || last_report.elapsed() >= REPORT {
                last_report = Instant::now();
                let fleecing = watch.as_mut().and_then(|watch| watch.fleecing_used());
                let read = meter.read(self.counters, last_report);
                let progress = Progress {
                    depth: gate.pace().reads,
                    fleecing,
                    fleecing_limit: settings.fleecing_limit,
                    ..read
                };
                self.reporter.report(&Event::Progress(progress));
            }
            // An error is noticed also while the store hangs in a write: the guest must not wait for it.
            let failed = match ended {
                Some(Ok(finished)) => return Ok(finished),
                Some(Err(error)) => Some(error),
                None => pipeline
                    .error()
                    .or_else(|| self.cancel.reason().map(Error::cancelled))
                    .or_else(|| hanging(self.counters, settings.target_timeout))
                    .or_else(|| watch.as_mut()?.fleecing_error())
                    .or_else(|| {
                        fleecing_limit
                            .as_mut()?
                            .check(watch.as_mut()?.fleecing_used()?)
                    }),
            };
            if let Some(error) = failed {
                pipeline.abort();
                return Err(error);
            }
            if let Some(watch) = watch.as_mut() {
                let writes = watch.writes();
                let both = writes.as_ref().zip(last_writes.as_ref());
                let latency = both.and_then(|(now, before)| now.latency_since(before));
                gate.set_pace(pacer.observe(latency));
                last_writes = writes;
            }
        }
    }
}

fn hanging(counters: &Counters, limit: Duration) -> Option<Error> {
    let takes = counters.write_takes()?;
    (takes > limit).then(|| deadline::hangs("a write", limit))
}
