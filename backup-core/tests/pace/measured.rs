//! The models beside what was measured: whole backups of real guests, of which `docs/BENCHMARKS.md` has the table.

use fleece_backup_core::pace::{Pace, Pacing};

use crate::load::{Load, MEASURED};
use crate::machine::{CACHE, Host, NETWORK, Storage};
use crate::model::{Model, Steering, World};
use crate::order::Order;
use crate::paced;

/// Medians of five rounds on stock QEMU 10.0.2, emulated, on two processors (`guest-latency whole 5 1024 all 10.0`).
struct Measured {
    load: Load,
    storage: Storage,
    /// The time of the default to that without a limit.
    time: f64,
    /// Percent of the writes a second that the guest makes without a backup: by default, and without a limit.
    iops: [f64; 2],
    /// Milliseconds that its 99th percentile is longer: by default, and without a limit.
    p99: [f64; 2],
}

const ROWS: [Measured; 3] = [
    Measured {
        load: MEASURED[0],
        storage: CACHE,
        time: 1.82,
        iops: [39.0, 18.0],
        p99: [2.3, 16.7],
    },
    Measured {
        load: MEASURED[1],
        storage: CACHE,
        time: 2.04,
        iops: [44.0, 20.0],
        p99: [2.0, 27.1],
    },
    Measured {
        load: MEASURED[2],
        storage: NETWORK,
        time: 1.69,
        iops: [93.0, 92.0],
        p99: [12.5, 11.7],
    },
];

/// The time and the guest's writes are right within a factor of two, and which of two paces is the kinder. So is the
/// 99th percentile where storage makes it; elsewhere an emulator's scheduler does, and the models have none.
#[test]
fn models_predict_what_real_guests_felt() {
    println!(
        "| the guest writes | time / no limit | predicted | IOPS %, default | predicted | no limit | predicted \
         | p99 ms more, default | predicted | no limit | predicted |"
    );
    for row in ROWS {
        let world = World {
            storage: row.storage,
            host: Host::emulated(),
            load: row.load,
            order: Order::Disk,
            size: 1 << 30,
        };
        let before = Model::run(world, Steering::None(5.0));
        let unlimited = Model::run(world, Steering::Fixed(Pace::full(8)));
        let default = paced(world, &Pacing::default());
        let time = default.took / unlimited.took;
        let both = [&default, &unlimited];
        let iops = both.map(|outcome| outcome.iops() * 100.0 / before.iops());
        let p99 = both.map(|outcome| outcome.percentile(0.99) - before.percentile(0.99));
        let p99 = p99.map(|seconds| seconds * 1e3);
        println!(
            "| {} | {:.2} | {time:.2} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} |",
            row.load.name,
            row.time,
            row.iops[0],
            iops[0],
            row.iops[1],
            iops[1],
            row.p99[0],
            p99[0],
            row.p99[1],
            p99[1],
        );
        let is_near =
            |predicted: f64, measured: f64| (measured / 2.0..=measured * 2.0).contains(&predicted);
        assert!(is_near(time, row.time), "{}: {time}", row.load.name);
        assert!(is_near(iops[0], row.iops[0]), "{}: {iops:?}", row.load.name);
        assert!(iops[0] > iops[1] && p99[0] < p99[1], "{}", row.load.name);
        if row.storage.name == NETWORK.name {
            assert!(is_near(p99[0], row.p99[0]), "{}: {p99:?}", row.load.name);
        }
    }
}
