//! What a guest on stock QEMU feels of a backup: the latency of its writes, as it measures them itself.
//!
//! ```text
//! cargo build --release -p fleece-bins && cargo xtask lab
//! cargo run --release -p fleece-benches --bin guest-latency                       whole backups
//! cargo run --release -p fleece-benches --bin guest-latency whole [ROUNDS [MiB [LOAD,…|all [QEMU]]]]
//! cargo run --release -p fleece-benches --bin guest-latency frontier [ROUNDS [MiB [LOAD,…|all [QEMU]]]]
//! cargo run --release -p fleece-benches --bin guest-latency targets [ROUNDS [SECONDS]]
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a measurement that fails says so and ends"
)]

mod table;
mod targets;
mod whole;

use whole::{FRONTIER, PEERS};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| -> Option<u64> {
        let text = arguments.get(place)?;
        Some(text.parse().expect("a number"))
    };
    match arguments.first().map_or("whole", String::as_str) {
        what @ ("whole" | "frontier") => whole::run(
            if what == "whole" { PEERS } else { FRONTIER },
            number(1).unwrap_or(5) as usize,
            number(2).unwrap_or(1024),
            &arguments.get(3).map_or_else(Vec::new, |text| loads(text)),
            arguments.get(4).map_or("10.0", String::as_str),
        ),
        "targets" => targets::run(number(1).unwrap_or(5) as usize, number(2).unwrap_or(5)),
        other => panic!("'{other}' is none of whole, frontier and targets"),
    }
}

/// The numbers of loads, or none for all.
fn loads(text: &str) -> Vec<usize> {
    let number = |load: &str| load.parse().expect("the number of a load");
    match text {
        "all" => Vec::new(),
        _ => text.split(',').map(number).collect(),
    }
}
