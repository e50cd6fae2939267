use proptest::prelude::*;

use super::*;
use crate::pace::latency::DiskWrites;

const TICK: Duration = INTERVAL;
const MIB: f64 = 1_048_576.0;

/// A guest that makes 500 writes a second, all of which take equally long, and a disk that gives 100 MiB a
/// second for each read in flight.
struct Bench {
    pacer: Pacer,
    now: Duration,
    count: DiskWrites,
    read: f64,
    reading: Duration,
    left: u64,
    held: Option<u64>,
    told: Vec<Collision>,
}

impl Bench {
    fn new(pacing: &Pacing) -> Self {
        Self {
            pacer: Pacer::new(pacing),
            now: Duration::ZERO,
            count: DiskWrites::default(),
            read: 0.0,
            reading: Duration::ZERO,
            left: 0,
            held: None,
            told: Vec::new(),
        }
    }

    /// One interval; `takes`: what each write takes at this pace, `None`: there are none.
    fn tick(&mut self, takes: impl Fn(Pace) -> Option<Duration>) -> Pace {
        let pace = self.pacer.pace();
        if let Some(takes) = takes(pace) {
            self.count.operations += 100;
            self.count.time += takes * 100;
        }
        let writes = GuestWrites::of(vec![self.count.clone()]);
        self.look(pace, Some(writes))
    }

    fn look(&mut self, pace: Pace, writes: Option<GuestWrites>) -> Pace {
        self.now += TICK;
        self.reading += TICK.mul_f64(pace.reads);
        self.read += pace.reads * 100.0 * MIB * TICK.as_secs_f64();
        let pace = self.pacer.observe(Sample {
            at: self.now,
            writes,
            read: self.read as u64,
            left: self.left,
            reading: self.reading,
            held: self.held,
        });
        self.told.extend(self.pacer.news(self.now));
        pace
    }

    fn ticks(&mut self, count: u32, takes: impl Fn(Pace) -> Option<Duration>) -> Pace {
        for _ in 0..count {
            self.tick(&takes);
        }
        self.pacer.pace()
    }
}

fn ms(millis: f64) -> Option<Duration> {
    Some(Duration::from_secs_f64(millis / 1e3))
}

fn in_flight(pace: Pace) -> f64 {
    pace.reads * pace.piece.min(1 << 20) as f64 / MIB
}

fn unhurried() -> Pacing {
    Pacing {
        finish_within: None,
        ..Pacing::default()
    }
}

#[test]
fn it_rests_first_and_rises_fast_while_the_guest_is_well() {
    let mut bench = Bench::new(&unhurried());
    assert_eq!(bench.pacer.pace(), Pace::rested());
    assert_eq!(bench.ticks(2, |_| ms(1.0)), Pace::rested());
    assert_eq!(in_flight(bench.tick(|_| ms(1.0))), 0.125);
    assert_eq!(
        bench.ticks(6, |_| ms(1.0)),
        Pace {
            reads: 8.0,
            piece: 1 << 20
        }
    );
}

#[test]
fn it_stays_where_the_guest_begins_to_feel_it() {
    // Within the budget up to 2 MiB in flight: 4 ms and a quarter.
    let guest = |pace| ms(4.0 + 0.5 * in_flight(pace));
    let mut bench = Bench::new(&unhurried());
    bench.ticks(30, guest);
    let (mut sum, mut over) = (0.0, 0);
    for _ in 0..1000 {
        let pace = bench.tick(guest);
        sum += in_flight(pace);
        over += usize::from(in_flight(pace) > 2.0);
    }
    assert!((1.3..2.0).contains(&(sum / 1000.0)), "{}", sum / 1000.0);
    assert!(over < 150, "{over} of 1000 over the limit");
}

#[test]
fn what_the_filter_costs_is_not_what_reading_costs() {
    // Reading adds nothing to what is ten times the limit that held before.
    let mut bench = Bench::new(&unhurried());
    assert_eq!(in_flight(bench.ticks(20, |_| ms(80.0))), 8.0);
    assert_eq!(bench.told, []);
}

#[test]
fn rests_come_again_and_are_short() {
    let mut bench = Bench::new(&unhurried());
    let rested = (0..3000).filter(|_| bench.tick(|_| ms(1.0)) == Pace::rested());
    let rested = rested.count();
    // Ten minutes: about twenty times.
    assert!((40..100).contains(&rested), "{rested}");
}

#[test]
fn a_guest_that_gets_slower_by_itself_is_not_punished_for_ever() {
    let mut bench = Bench::new(&unhurried());
    bench.ticks(20, |_| ms(1.0));
    assert!(in_flight(bench.ticks(20, |_| ms(20.0))) < 1.1);
    // After a few rests it is known that this is how it is.
    assert!(in_flight(bench.ticks(1000, |_| ms(20.0))) > 6.0);
}

#[test]
fn a_limit_is_kept_and_nothing_rests() {
    let mut bench = Bench::new(&Pacing {
        guest_latency: ms(5.0),
        ..unhurried()
    });
    let guest = |pace| ms(4.0 + 0.5 * in_flight(pace));
    let mut over = 0;
    for _ in 0..1000 {
        let pace = bench.tick(guest);
        assert_ne!(pace, Pace::rested());
        over += usize::from(in_flight(pace) > 2.0);
    }
    assert!(over < 150, "{over}");
}

#[test]
fn a_guest_that_tolerates_nothing_is_read_by_one_read_at_a_time_and_it_is_said() {
    let mut bench = Bench::new(&Pacing {
        guest_latency: ms(0.01),
        ..unhurried()
    });
    for _ in 0..100 {
        let pace = bench.tick(|_| ms(9.0));
        assert_eq!(pace.reads, 1.0);
    }
    assert_eq!(bench.told.len(), 1);
    assert_eq!(bench.told[0].reason, Reason::Slowest);
    bench.ticks(3500, |_| ms(9.0));
    assert_eq!(bench.told.len(), 2, "again after ten minutes");
}

#[test]
fn what_has_to_end_is_read_fast_enough_and_it_is_said() {
    let mut bench = Bench::new(&Pacing {
        guest_latency: ms(0.01),
        finish_within: Some(Duration::from_secs(100)),
        ..Pacing::default()
    });
    bench.left = 40_000 << 20;
    let pace = bench.ticks(200, |_| ms(9.0));
    // 400 MiB/s and more, at 100 MiB/s each.
    assert!(pace.reads >= 4.0, "{pace:?}");
    assert_eq!(
        bench.told[0].reason,
        Reason::Finish(Duration::from_secs(100))
    );
}

#[test]
fn images_that_grow_are_outrun() {
    let mut bench = Bench::new(&Pacing {
        guest_latency: ms(0.01),
        ..unhurried()
    });
    for second in 1..200 {
        bench.held = Some(second * (30 << 20));
        bench.tick(|_| ms(9.0));
    }
    // 150 MiB/s: 300 have to be read.
    assert!(bench.pacer.pace().reads >= 3.0, "{:?}", bench.pacer.pace());
    assert_eq!(bench.told[0].reason, Reason::Images);
}

#[test]
fn where_something_else_holds_reading_up_the_guest_is_not_harmed_for_it() {
    let mut bench = Bench::new(&Pacing {
        guest_latency: ms(0.01),
        finish_within: Some(Duration::from_secs(100)),
        ..Pacing::default()
    });
    bench.left = 40_000 << 20;
    for _ in 0..200 {
        bench.tick(|_| ms(9.0));
        // The target takes next to nothing.
        bench.reading = Duration::ZERO;
    }
    assert_eq!(bench.pacer.pace().reads, 1.0);
}

#[test]
fn an_idle_guest_is_read_at_full_speed_until_its_first_write() {
    let mut bench = Bench::new(&unhurried());
    bench.pacer = bench.pacer.idle();
    assert_eq!(bench.pacer.pace(), Pace::full(8));
    assert_eq!(bench.ticks(9, |_| None), Pace::full(8));
    assert_eq!(bench.tick(|_| ms(1.0)), Pace::rested());
    bench.ticks(5, |_| ms(1.0));
    let busy = bench.pacer.pace();
    assert!(in_flight(busy) < 1.0, "{busy:?}");
    assert_eq!(bench.ticks(2, |_| None), busy, "a short pause");
    assert_eq!(bench.ticks(2, |_| None), Pace::full(8));
    // Full speed made it slow, which says nothing about the pace before.
    assert_eq!(bench.tick(|_| ms(99.0)), busy);
}

#[test]
fn a_guest_that_starves_is_not_idle() {
    let mut bench = Bench::new(&unhurried());
    bench.ticks(20, |_| ms(1.0));
    assert!(in_flight(bench.pacer.pace()) > 7.0);
    // Its writes take seconds, so there are looks without any.
    bench.tick(|_| ms(2000.0));
    for _ in 0..15 {
        let pace = bench.tick(|_| None);
        assert!(in_flight(pace) <= 1.0, "{pace:?}");
    }
}

#[test]
fn a_monitor_that_does_not_answer_is_no_invitation() {
    let mut bench = Bench::new(&unhurried());
    bench.ticks(20, |_| ms(1.0));
    for _ in 0..100 {
        let pace = bench.pacer.pace();
        bench.look(pace, None);
    }
    assert!(in_flight(bench.pacer.pace()) <= 0.125);
    assert!(
        in_flight(bench.ticks(1000, |_| ms(1.0))) > 7.0,
        "it recovers"
    );
}

proptest! {
    /// Whatever is seen, reading never stops, and no rest lasts.
    #[test]
    fn reading_never_stops(
        looks in prop::collection::vec((0_u8..4, 0.001..1e6_f64, any::<u32>(), 0_u64..5000), 1..300),
        guest_latency in prop::option::of(0.01..100.0_f64),
        is_idle in any::<bool>(),
    ) {
        let mut bench = Bench::new(&Pacing {
            guest_latency: guest_latency.and_then(ms),
            ..Pacing::default()
        });
        if is_idle {
            bench.pacer = bench.pacer.idle();
        }
        let mut resting = Duration::ZERO;
        for (kind, takes, held, waits) in looks {
            let before = bench.now;
            bench.now += Duration::from_millis(waits);
            bench.held = Some(held.into());
            bench.left = u64::from(held) << 20;
            let pace = bench.pacer.pace();
            let pace = match kind {
                0 => bench.look(pace, None),
                1 => bench.look(pace, Some(GuestWrites::new(held.into(), Duration::from_secs(1)))),
                2 => bench.tick(|_| None),
                _ => bench.tick(|_| ms(takes)),
            };
            prop_assert!(pace.reads > 0.05 && pace.piece >= 128 << 10 && pace.places() <= 8);
            prop_assert!(pace.rest().is_finite());
            if pace == Pace::rested() {
                resting += bench.now - before;
                prop_assert!(resting <= Duration::from_secs(20), "{resting:?}");
            } else {
                resting = Duration::ZERO;
            }
        }
    }
}
