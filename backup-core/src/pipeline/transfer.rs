//! From sources to a finished archive: the part of a backup that takes long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fleece_vma_format::{Header, Summary};

use crate::job::cancel::CancelToken;
use crate::pace::effort::Pace;
use crate::pace::gate::DepthGate;
use crate::pace::latency::{GuestWrites, WriteLatency};
use crate::pace::options::Pacing;
use crate::pace::pacer::{self, Pacer, Sample};
use crate::pipeline::fleecing_limit::FleecingLimit;
use crate::pipeline::{Limits, Pipeline, PipelineDisk};
use crate::report::error::Error;
use crate::report::meter::Meter;
use crate::report::{Counters, Event, Progress, Reporter};
use crate::target::deadline;
use crate::target::options::ArchiveTarget;
use crate::target::output::{Counted, Output};

/// How to move the data.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) pacing: Pacing,
    /// Whether the guest wrote nothing before.
    pub(crate) idle: bool,
    /// What 99 of 100 of its writes took before, if that is known.
    pub(crate) before: Option<Duration>,
    /// How long the target may take for one write.
    pub(crate) target_timeout: Duration,
}

impl Settings {
    /// For a guest that writes, if there is one.
    pub(crate) fn new(pacing: &Pacing, target: &ArchiveTarget) -> Self {
        Self {
            pacing: pacing.clone(),
            idle: false,
            before: None,
            target_timeout: target.timeout,
        }
    }
}

/// What the guest tells about itself while it is backed up.
pub trait GuestWatch {
    /// Its disks' counters; `None` if they cannot be had. A guest that does not run writes nothing.
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
    let mut latency = None;
    for _ in 0..looks {
        // Nothing is ever received: it ends by the time, or by the token.
        let _ = cancel.fired().recv_timeout(pacer::INTERVAL);
        latency = watch.writes()?.latency_since(&start);
        if latency.is_none() || cancel.reason().is_some() {
            break;
        }
    }
    latency
}

/// A guest that has written nothing for so long is idle. That is about what preparing takes, so that none waits for it.
const IDLE: Duration = Duration::from_millis(100);

/// Whether a guest that had written so much at an earlier time has written nothing since.
pub(crate) fn is_idle(
    watch: &mut dyn GuestWatch,
    since: Instant,
    earlier: &GuestWrites,
    cancel: &CancelToken,
) -> bool {
    let rest = IDLE.saturating_sub(since.elapsed());
    let _ = cancel.fired().recv_timeout(rest);
    let now = watch.writes();
    now.is_some_and(|now| now.latency_since(earlier).is_none())
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
    /// With a `watch`, reading follows the guest's latency; without, it is as fast as it can be.
    pub(crate) fn run(
        self,
        mut watch: Option<&mut dyn GuestWatch>,
    ) -> Result<(Counted, Summary), Error> {
        let settings = self.settings;
        let total = self.devices.iter().map(|disk| disk.source.size()).sum();
        let depth = settings.pacing.depth;
        let fleecing_limit = settings.pacing.most_fleecing();
        let mut pacer = Pacer::new(&settings.pacing);
        if settings.idle {
            pacer = pacer.idle();
        }
        let first_pace = match watch {
            Some(_) => pacer.pace(),
            None => Pace::full(depth),
        };
        let gate = Arc::new(DepthGate::new(first_pace, depth));
        let limits = Limits {
            gate: Arc::clone(&gate),
            rate: settings.pacing.rate_limit()?,
        };
        let mut pipeline = Pipeline::start(
            self.devices,
            self.header,
            self.output,
            limits,
            Arc::clone(self.counters),
        );
        let start = Instant::now();
        let mut meter = Meter::new(total, start);
        let mut last_report = start;
        let mut limit = FleecingLimit::new(&settings.pacing)?;
        let mut felt = Felt::default();
        let look = |watch: &mut dyn GuestWatch| {
            let reads = gate.done();
            Sample {
                at: start.elapsed(),
                writes: watch.writes(),
                read: reads.bytes,
                left: total.saturating_sub(Counters::get(&self.counters.done)),
                reading: reads.took,
                held: watch.fleecing_used(),
            }
        };
        if let Some(watch) = watch.as_mut() {
            pacer.observe(look(*watch));
        }
        loop {
            let ended = pipeline.wait(pacer::INTERVAL);
            if ended.is_some() || last_report.elapsed() >= REPORT {
                last_report = Instant::now();
                let fleecing = watch.as_mut().and_then(|watch| watch.fleecing_used());
                let read = meter.read(self.counters, last_report);
                let progress = Progress {
                    depth: gate.pace().reads,
                    fleecing,
                    fleecing_limit,
                    latency: felt.tell(),
                    latency_before: settings.before,
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
                    .or_else(|| limit.check(watch.as_mut()?.fleecing_used()?)),
            };
            if let Some(error) = failed {
                pipeline.abort();
                return Err(error);
            }
            if let Some(watch) = watch.as_mut() {
                let sample = look(*watch);
                let at = sample.at;
                felt.note(sample.writes.as_ref());
                gate.set_pace(pacer.observe(sample));
                if let Some(collision) = pacer.news(at) {
                    self.reporter.report(&Event::Info(collision.to_string()));
                }
            }
        }
    }
}

/// What the guest's writes took from one report to the next.
#[derive(Default)]
struct Felt {
    told: Option<GuestWrites>,
    last: Option<GuestWrites>,
}

impl Felt {
    fn note(&mut self, writes: Option<&GuestWrites>) {
        if let Some(writes) = writes {
            self.told.get_or_insert_with(|| writes.clone());
            self.last = Some(writes.clone());
        }
    }

    fn tell(&mut self) -> Option<WriteLatency> {
        let latency = self.last.as_ref()?.write_latency_since(self.told.as_ref()?);
        self.told.clone_from(&self.last);
        latency
    }
}

fn hanging(counters: &Counters, limit: Duration) -> Option<Error> {
    let takes = counters.write_takes()?;
    (takes > limit).then(|| deadline::hangs("a write", limit))
}
