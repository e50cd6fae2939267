//! How long the guest takes to boot: `cargo run -p fleece-lab --example boot [RUNS]`.

use std::env;
use std::time::Instant;

use fleece_lab::{Disk, Error, Guest};

fn main() -> Result<(), Error> {
    let runs = env::args().nth(1).and_then(|runs| runs.parse().ok());
    for qemu in fleece_lab::qemus() {
        let mut times = Vec::new();
        for _ in 0..runs.unwrap_or(5) {
            let start = Instant::now();
            let guest = Guest::builder(&qemu).disk(Disk::raw(1 << 20)).boot()?;
            times.push(start.elapsed().as_secs_f64());
            drop(guest);
        }
        times.sort_by(f64::total_cmp);
        let of = |time: Option<&f64>| time.copied().unwrap_or_default();
        println!(
            "QEMU {}: {:.2} s at best, {:.2} s median, {:.2} s at worst",
            qemu.version(),
            of(times.first()),
            of(times.get(times.len() / 2)),
            of(times.last()),
        );
    }
    Ok(())
}
