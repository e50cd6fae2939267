//! The pacer on models of guests, disks and machines: each backup ends, soon; the images stay small; the
//! guest feels little of it, or is told why not.
//!
//! `cargo test -p fleece-backup-core --test pace -- --nocapture` prints what comes of each.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test may fail by a panic, and a model is full of numbers"
)]

mod load;
mod machine;
mod measured;
mod model;
mod order;

use std::time::Duration;

use fleece_backup_core::pace::{Pace, Pacer, Pacing, Reason};
use load::{HOT, LOADS, Load};
use machine::{Host, NETWORK, NVME, SATA, SPINNING, Storage};
use model::{Model, Outcome, Steering, World};
use order::Order;

/// As much as takes several seconds at full speed: the beginning, which is slow, is not all of it.
fn size(storage: Storage) -> u64 {
    match storage.name {
        "NVMe" => 8 << 30,
        "spinning" => 2 << 30,
        _ => 4 << 30,
    }
}

fn world(storage: Storage, load: Load, cores: usize) -> World {
    World {
        storage,
        host: Host::cores(cores),
        load,
        order: Order::Disk,
        size: size(storage),
    }
}

fn paced(world: World, pacing: &Pacing) -> Outcome {
    let pacer = Pacer::new(pacing);
    let pacer = if world.load.begins_idle() {
        pacer.idle()
    } else {
        pacer
    };
    Model::run(world, Steering::Pacer(Box::new(pacer)))
}

/// What nobody notices beside `filter`, in seconds, and a tenth: what is steered lies around its aim.
fn budget(filter: f64) -> f64 {
    (filter * 1.5).max(filter + 2e-3) * 1.1
}

/// Each load and number of cores on one disk.
fn all_on(storage: Storage) {
    println!(
        "| disk | load | cores | MiB/s unlimited | paced | p99 ms before | filter | unlimited | paced \
         | IOPS % unlimited | paced | images % unlimited | paced |"
    );
    for load in LOADS {
        for cores in [1, 8, 64] {
            one(world(storage, load, cores));
        }
    }
}

fn one(world: World) {
    let before = Model::run(world, Steering::None(10.0));
    let filter = Model::run(world, Steering::Filter(5.0));
    let unlimited = Model::run(world, Steering::Fixed(Pace::full(8)));
    let paced = paced(world, &Pacing::default());
    let rate = |outcome: &Outcome| (world.size >> 20) as f64 / outcome.took;
    let p99 = |outcome: &Outcome| outcome.percentile(0.99) * 1e3;
    let iops = |outcome: &Outcome| outcome.iops() * 100.0 / before.iops();
    let images = |outcome: &Outcome| outcome.peak * 100 / world.size;
    let row = format!(
        "| {} | {} | {} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {} | {} |",
        world.storage.name,
        world.load.name,
        world.host.cores,
        rate(&unlimited),
        rate(&paced),
        p99(&before),
        p99(&filter),
        p99(&unlimited),
        p99(&paced),
        iops(&unlimited),
        iops(&paced),
        images(&unlimited),
        images(&paced),
    );
    println!("{row}");
    assert!(paced.ended, "it ends: {row}");
    // Seconds for the beginning, which is slow, and for a burst's.
    let soon = unlimited.took * 5.0 + 5.0;
    assert!(paced.took <= soon, "it ends soon: {row}");
    assert!(images(&paced) <= 20, "the images stay small: {row}");
    if world.load.threads.is_empty() {
        assert!(paced.took <= unlimited.took * 1.01, "full speed: {row}");
        return;
    }
    let is_well = paced.percentile(0.99) <= budget(filter.percentile(0.99));
    let is_told = !paced.collisions.is_empty();
    assert!(is_well || is_told, "the guest feels little: {row}");
    // Where little is not to be had, it is at least less than all.
    let less = unlimited
        .percentile(0.99)
        .max(budget(filter.percentile(0.99)));
    assert!(paced.percentile(0.99) <= less, "it feels less: {row}");
}

#[test]
fn nvme() {
    all_on(NVME);
}

#[test]
fn sata() {
    all_on(SATA);
}

#[test]
fn spinning() {
    all_on(SPINNING);
}

#[test]
fn network() {
    all_on(NETWORK);
}

/// Where a request takes its time on the way, more of them take no time from anybody. The rest at the beginning and the
/// small reads after it are a part of this.
#[test]
fn on_storage_with_latency_a_backup_takes_at_most_twice_as_long_as_without_a_limit() {
    for load in LOADS {
        let world = world(NETWORK, load, 8);
        let unlimited = Model::run(world, Steering::Fixed(Pace::full(8)));
        let paced = paced(world, &Pacing::default());
        let ratio = paced.took / unlimited.took;
        assert!(ratio <= 2.0, "{}: {ratio}", load.name);
    }
}

/// What is to be shown by the others: at the pace of before, small reads with rests between them, the
/// images took most of the disk and the guest lost more in all.
#[test]
fn reading_slowly_is_not_kind() {
    for storage in [SATA, NETWORK] {
        let size = 1 << 30;
        let world = World {
            size,
            ..world(storage, LOADS[0], 8)
        };
        let before = Model::run(world, Steering::None(10.0));
        let slow = Model::run(world, Steering::Fixed(Pace::rested()));
        let paced = paced(world, &Pacing::default());
        let lost = |outcome: &Outcome| (before.iops() - outcome.iops()) * outcome.took;
        println!(
            "{}: writes lost {:.0}, paced {:.0}",
            storage.name,
            lost(&slow),
            lost(&paced)
        );
        assert!(lost(&paced) < lost(&slow) / 2.0, "{}", storage.name);
        assert!(paced.peak < slow.peak / 2, "{}", storage.name);
    }
}

/// Large pieces are what a moving head wants; what the guest feels of them is little more.
#[test]
fn on_a_disk_with_a_head_the_least_is_one_large_read() {
    let world = world(SPINNING, LOADS[0], 8);
    let mut small = Pace::full(1);
    small.piece = 128 << 10;
    let small = Model::run(world, Steering::Fixed(small));
    let paced = paced(world, &Pacing::default());
    assert!(
        paced.took < small.took / 3.0,
        "{} {}",
        paced.took,
        small.took
    );
    assert!(paced.percentile(0.99) < small.percentile(0.99) * 1.5);
    assert_eq!(paced.collisions[0].reason, Reason::Slowest);
}

#[test]
fn it_ends_within_the_time_that_it_has() {
    let world = world(SPINNING, LOADS[0], 8);
    let mut pacing = Pacing::default();
    let unhurried = paced(world, &pacing);
    let within = unhurried.took * 0.6;
    pacing.finish_within = Some(Duration::from_secs_f64(within));
    let hurried = paced(world, &pacing);
    // The last part of the time is spread thin.
    assert!(hurried.took < within * 1.1, "{} {within}", hurried.took);
    let is_told = |because| matches!(because, Reason::Finish(_));
    assert!(hurried.collisions.iter().any(|told| is_told(told.reason)));
}

#[test]
fn a_limit_on_the_guests_latency_is_kept_where_one_read_keeps_it() {
    let world = world(SATA, LOADS[0], 8);
    let mut pacing = Pacing::default();
    pacing.finish_within = None;
    let mut last = 0.0;
    for limit in [2, 5, 10] {
        pacing.guest_latency = Some(Duration::from_millis(limit));
        let outcome = paced(world, &pacing);
        let p99 = outcome.percentile(0.99) * 1e3;
        assert!(p99 <= limit as f64 * 1.3, "{limit}: {p99}");
        assert!(p99 > last, "more may be felt: {limit}: {p99}");
        last = p99;
    }
}

/// What would come of reading first where the guest writes, in percent of what comes of the order of the disk. Where it
/// writes to a part that the disk's order comes to at last, it would be spared two thirds of the first writes.
#[test]
fn reading_first_where_the_guest_writes_would_spare_it_first_writes() {
    println!("| disk, load | first writes % | IOPS % | p99 % | images % | time % |");
    for storage in [SATA, SPINNING, NETWORK] {
        for load in HOT {
            let in_order = World {
                size: 2 << 30,
                ..world(storage, load, 8)
            };
            let by_heat = World {
                order: Order::Written(16),
                ..in_order
            };
            let [plain, hot] = [in_order, by_heat].map(|world| paced(world, &Pacing::default()));
            let percent = |of: fn(&Outcome) -> f64| of(&hot) * 100.0 / of(&plain);
            let copies = percent(|outcome| outcome.copies as f64);
            println!(
                "| {}, {} | {copies:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
                storage.name,
                load.name,
                percent(Outcome::iops),
                percent(|outcome| outcome.percentile(0.99)),
                percent(|outcome| outcome.peak as f64),
                percent(|outcome| outcome.took),
            );
            let most = if load.is_everywhere() { 115.0 } else { 60.0 };
            assert!(copies <= most, "{}, {}", storage.name, load.name);
        }
    }
}
