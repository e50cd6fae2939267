//! Reading as fast as the guest's latency budget allows.
//!
//! Reading a running guest's disk competes with the guest for QEMU's threads, for the processors and for
//! the disk. How much the guest tolerates depends on the machine, so the latency of its own writes is measured,
//! and steers the reading.
//!
//! What counts is what *reading* adds. The filter costs the guest something, too, but reading less does
//! not win that back: it only makes it last longer. So now and then reading rests, and the latency measured
//! then is the baseline.
//!
//! The pacer is pure: it is told the time and what was seen, and tells how hard to read. It is proved on
//! models of guests and disks (`backup-core/tests/pace`).

use std::time::Duration;

use crate::pace::budget::Budget;
use crate::pace::collision::Collision;
use crate::pace::effort::{Effort, Pace};
use crate::pace::floor::{Floor, Reason};
use crate::pace::latency::{GuestWrites, WriteLatency};
use crate::pace::least::Least;
use crate::pace::options::Pacing;

/// What there is to see at one time. Counters only grow, except for `left` and `held`.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "made anew for each look")]
pub struct Sample {
    /// The time, since the beginning.
    pub at: Duration,
    /// What the guest did so far; `None` if it cannot be asked, which is no sign of health.
    pub writes: Option<GuestWrites>,
    /// Bytes read so far.
    pub read: u64,
    /// Bytes to go at most.
    pub left: u64,
    /// Time that all reads have taken together.
    pub reading: Duration,
    /// Bytes in the fleecing images.
    pub held: Option<u64>,
}

/// Decides how hard to read.
///
/// It begins with a rest, then with one small read at a time, twice as much after each look at which
/// the guest was well, half of it when it is not for the first time; from then on a little more, or a
/// third less. A guest that writes nothing is read as fast as is allowed.
#[derive(Clone, Debug)]
pub struct Pacer {
    pacing: Pacing,
    floor: Floor,
    effort: Effort,
    least: Least,
    phase: Phase,
    /// The latency while hardly anything is read.
    baseline: Option<WriteLatency>,
    /// When that was found out.
    rested: Duration,
    /// The guest's counters when they were last told.
    counted: Option<GuestWrites>,
    /// Since when it has written nothing.
    silent: Duration,
    /// How long a silence has to last.
    tolerance: Duration,
    is_idle: bool,
    /// Where the look began that is under way.
    begun: Option<Sample>,
    /// With how much effort so many bytes a second were read when the guest was last well.
    before: Option<(Effort, f64)>,
    /// Whether the last look was beyond the budget, but chance may have made it so.
    is_suspicious: bool,
    colliding: Option<Colliding>,
    /// When that was last told.
    told: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Reads that were under way come to their end.
    Settling,
    /// Hardly anything is read.
    Resting,
    /// Up until the budget is reached.
    Rising,
    /// Around what is borne.
    Probing,
}

#[derive(Clone, Copy, Debug)]
struct Colliding {
    since: Duration,
    /// Looks since that have shown none.
    well: u32,
    collision: Collision,
}

/// How often to measure. Shorter intervals hold too few writes to tell anything.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// A look lasts until it has seen so many writes, or so long.
const ENOUGH: u64 = 20;

/// Half as many will do while it feels very little, or on the way up.
const FEW: u64 = 10;
const EASILY: f64 = 0.85;

/// Before the guest is said to feel anything it sees more, unless there can be no doubt.
const MANY: u64 = 50;
const CLEARLY: f64 = 1.5;

/// With fewer writes than this, it has to be seen twice: the 99th percentile of some dozens is the second slowest.
const SURE: u64 = 100;

const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// A rest lasts at least so long: the share of first writes varies.
const REST: Duration = Duration::from_millis(400);

/// The next rest comes after this: a fiftieth of the time is spent on them.
const REST_EVERY: Duration = Duration::from_secs(30);

/// A silence counts as one after this long: short pauses between writes are not an invitation. It must also
/// be longer than the slowest writes: a guest that starves completes none either.
const SILENCE: Duration = Duration::from_millis(600);
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// How much more is tried in a second: at least so much, or so much of the part of the budget that is left.
const GENTLY: f64 = 0.25;
const BOLDLY: f64 = 1.5;

/// With less than this part of the budget in use, twice as much is tried at any time, if more has cost nothing.
const EASY: f64 = 0.5;

/// So much of what could be expected of more effort came of it.
const SCALES: f64 = 0.8;

/// Less than this part of the reads that may be in flight: something else holds reading up.
const UNUSED: f64 = 0.6;

/// Told when it has lasted so long, and again after this.
const TELL_AFTER: Duration = Duration::from_secs(5);
const TELL_AGAIN: Duration = Duration::from_secs(600);
const OVER_AFTER: u32 = 3;

impl Pacer {
    /// Takes a guest that writes.
    #[must_use]
    pub fn new(pacing: &Pacing) -> Self {
        let phase = match pacing.guest_latency {
            // Nothing has been read yet that would have to settle.
            None => Phase::Resting,
            Some(_) => Phase::Rising,
        };
        Self {
            pacing: pacing.clone(),
            floor: Floor::new(pacing.finish_within),
            effort: Effort::LEAST,
            least: Least::default(),
            phase,
            baseline: None,
            rested: Duration::ZERO,
            counted: None,
            silent: Duration::ZERO,
            tolerance: SILENCE,
            is_idle: false,
            begun: None,
            before: None,
            is_suspicious: false,
            colliding: None,
            told: None,
        }
    }

    /// Takes the guest for idle until it writes.
    #[must_use]
    pub fn idle(mut self) -> Self {
        self.is_idle = true;
        self
    }

    /// The pace now.
    #[must_use]
    pub fn pace(&self) -> Pace {
        if self.is_idle {
            return Pace::full(self.pacing.depth);
        }
        match self.phase {
            Phase::Settling | Phase::Resting => Pace::rested(),
            Phase::Rising | Phase::Probing => self.effort.pace(),
        }
    }

    /// Takes what is seen and returns the new pace.
    pub fn observe(&mut self, sample: Sample) -> Pace {
        self.floor.observe(sample.at, sample.held);
        self.listen(&sample);
        if self.is_idle {
            self.begun = None;
            self.colliding = None;
            return self.pace();
        }
        match self
            .begun
            .as_ref()
            .map(|begun| Seen::between(begun, &sample))
        {
            None => self.begun = Some(sample),
            Some(seen) if !self.is_enough(&seen) => {}
            Some(seen) => {
                self.decide(seen, &sample);
                self.begun = Some(sample);
            }
        }
        self.pace()
    }

    /// What people should know, if there is anything new.
    pub fn news(&mut self, at: Duration) -> Option<Collision> {
        let colliding = self.colliding?;
        let lasts = at.saturating_sub(colliding.since) >= TELL_AFTER;
        let is_new = self
            .told
            .is_none_or(|told| at.saturating_sub(told) >= TELL_AGAIN);
        (lasts && is_new).then(|| {
            self.told = Some(at);
            colliding.collision
        })
    }

    /// Whether the guest writes.
    fn listen(&mut self, sample: &Sample) {
        let Some(writes) = &sample.writes else {
            // A monitor that does not answer is busy, perhaps with our reads.
            self.is_idle = false;
            self.silent = sample.at;
            return;
        };
        let latency = self
            .counted
            .as_ref()
            .and_then(|counted| writes.write_latency_since(counted));
        match latency {
            None if sample.at.saturating_sub(self.silent) >= self.tolerance => self.is_idle = true,
            None => {}
            Some(latency) => {
                if self.is_idle {
                    // The latency now is that of full speed.
                    self.begun = None;
                    if self.phase == Phase::Resting {
                        self.phase = Phase::Settling;
                    }
                }
                if latency.slow > self.tolerance {
                    // It was not idle, it starved.
                    self.effort = Effort::LEAST;
                    self.cease_rising();
                }
                self.is_idle = false;
                self.silent = sample.at;
                self.tolerance = latency
                    .slow
                    .saturating_mul(2)
                    .clamp(SILENCE, LONGEST_SILENCE);
            }
        }
        self.counted = Some(writes.clone());
    }

    fn is_enough(&self, seen: &Seen) -> bool {
        let writes = seen.latency.map_or(0, |latency| latency.writes);
        match self.phase {
            Phase::Settling => true,
            Phase::Resting => seen.took >= LONG_ENOUGH || (seen.took >= REST && writes >= ENOUGH),
            Phase::Rising | Phase::Probing => {
                let is_clear = match seen.latency.map(|latency| self.strain(latency)) {
                    // If too much is tried on the way up, the next look shows it.
                    Some(strain) if self.phase == Phase::Rising && strain <= 1.0 => writes >= FEW,
                    Some(strain) if self.is_starting() => writes >= ENOUGH || strain > CLEARLY,
                    Some(strain) if strain > 1.0 => {
                        // What the guest feels whatever is read has to be compared.
                        let compares = self.effort <= self.least.effort() && self.least.is_trying();
                        // Of few writes some are slow by chance.
                        !compares && (writes >= MANY || strain > CLEARLY)
                    }
                    Some(strain) if strain < EASILY => writes >= FEW,
                    _ => writes >= ENOUGH,
                };
                seen.took >= LONG_ENOUGH || is_clear
            }
        }
    }

    fn decide(&mut self, seen: Seen, now: &Sample) {
        match self.phase {
            Phase::Settling => self.phase = Phase::Resting,
            Phase::Resting => {
                self.rested = now.at;
                self.least.doubt();
                if let Some(latency) = seen.latency {
                    let (phase, baseline) = match self.baseline {
                        None => (Phase::Rising, latency),
                        Some(before) => (Phase::Probing, before.half_way_to(latency)),
                    };
                    self.phase = phase;
                    self.baseline = Some(baseline);
                } else {
                    // It says nothing, and a rest must end.
                    self.phase = Phase::Probing;
                }
            }
            Phase::Rising | Phase::Probing => {
                self.steer(seen, now);
                if self.pacing.guest_latency.is_none()
                    && now.at.saturating_sub(self.rested) >= REST_EVERY
                {
                    self.phase = Phase::Settling;
                }
            }
        }
    }

    fn steer(&mut self, seen: Seen, now: &Sample) {
        let least = self.least.effort();
        let need = self.floor.need(now.at, now.left);
        let is_used = seen.in_flight >= self.effort.pace().reads * UNUSED;
        let is_behind = is_used && seen.rate < need.rate;
        let catching_up = (need.rate / seen.rate.max(1.0)).clamp(1.1, 2.0);
        let Some(latency) = seen.latency else {
            if now.writes.is_none() {
                self.effort = if is_behind { self.effort } else { least };
            }
            return;
        };
        let strain = self.strain(latency);
        let is_sure = latency.writes >= SURE || strain > CLEARLY;
        if strain <= 1.0 {
            self.least.settle();
            self.do_not_collide();
            self.is_suspicious = false;
        }
        // On the way up to one large read, what chance may have made does not count: the next look shows it.
        if strain <= 1.0 || (self.is_starting() && !is_sure) {
            let costs_nothing = self.costs_nothing(&seen);
            let factor = match self.phase {
                _ if !is_used => 1.0,
                Phase::Rising if costs_nothing && self.is_starting() => 4.0,
                Phase::Rising => 2.0,
                _ if is_behind => catching_up,
                _ if strain < EASY && costs_nothing => 2.0,
                _ => 1.0 + GENTLY.max(BOLDLY * (1.0 - strain)) * seen.took.as_secs_f64(),
            };
            self.before = Some((self.effort, seen.rate));
            self.effort = self.effort.times(factor, self.pacing.depth);
            return;
        }
        if !is_sure && !std::mem::replace(&mut self.is_suspicious, true) {
            return;
        }
        let factor = match self.phase {
            Phase::Rising => 0.5,
            _ => 0.7,
        };
        let reason = if is_behind {
            self.effort = self.effort.times(catching_up, self.pacing.depth);
            Some(need.reason)
        } else if is_used && seen.rate * factor < need.rate {
            Some(need.reason)
        } else if self.effort <= least {
            self.effort = self.least.next(seen.rate, latency.mean);
            Some(Reason::Slowest)
        } else {
            self.effort = self.effort.times(factor, self.pacing.depth).max(least);
            None
        };
        // Which size the slowest pace has is found on the way up, too.
        if !self.least.is_trying() {
            self.cease_rising();
        }
        match reason {
            Some(reason) => self.collide(reason, latency, &seen, now.at),
            None => self.do_not_collide(),
        }
    }

    /// Whether it is on its way up to one large read.
    fn is_starting(&self) -> bool {
        self.phase == Phase::Rising && self.effort.larger_piece().is_some()
    }

    /// Whether reading more was answered by as much more: what reads take is the way to the storage, which they do
    /// not take from anybody.
    fn costs_nothing(&self, seen: &Seen) -> bool {
        self.before.is_some_and(|(effort, rate)| {
            self.effort > effort && seen.rate >= rate * self.effort.over(effort) * SCALES
        })
    }

    fn collide(&mut self, reason: Reason, latency: WriteLatency, seen: &Seen, at: Duration) {
        self.colliding = Some(Colliding {
            since: self.colliding.map_or(at, |colliding| colliding.since),
            well: 0,
            collision: Collision {
                reason,
                latency,
                baseline: self.baseline,
                rate: seen.rate,
            },
        });
    }

    /// A collision is over when several looks in turn have shown none.
    fn do_not_collide(&mut self) {
        self.colliding = self.colliding.and_then(|colliding| {
            let well = colliding.well.saturating_add(1);
            (well < OVER_AFTER).then_some(Colliding { well, ..colliding })
        });
    }

    /// The latency as a fraction of the budget.
    fn strain(&self, latency: WriteLatency) -> f64 {
        let budget = match (self.pacing.guest_latency, self.baseline) {
            (Some(limit), _) => Budget::limit(limit),
            (None, Some(baseline)) => Budget::relative_to(baseline),
            (None, None) => return 0.0,
        };
        budget.strain(latency)
    }

    fn cease_rising(&mut self) {
        if self.phase == Phase::Rising {
            self.phase = Phase::Probing;
        }
    }
}

/// What was seen in the time between two samples.
#[derive(Clone, Copy, Debug)]
struct Seen {
    took: Duration,
    /// `None`: no writes, or nobody knows.
    latency: Option<WriteLatency>,
    /// Bytes read a second.
    rate: f64,
    /// Reads in flight on average.
    in_flight: f64,
}

impl Seen {
    fn between(from: &Sample, to: &Sample) -> Self {
        let took = to.at.saturating_sub(from.at);
        let seconds = took.as_secs_f64().max(1e-3);
        let writes = to.writes.as_ref().zip(from.writes.as_ref());
        let reading = to.reading.saturating_sub(from.reading);
        Self {
            took,
            latency: writes.and_then(|(to, from)| to.write_latency_since(from)),
            rate: bytes(to.read.saturating_sub(from.read)) / seconds,
            in_flight: reading.as_secs_f64() / seconds,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs few digits")]
fn bytes(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
