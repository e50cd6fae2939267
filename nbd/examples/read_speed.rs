//! How fast the client reads from QEMU, beside `nbdcopy`, on the same export in the same run.
//!
//! `cargo run --release -p fleece-nbd --example read_speed [MIB [ROUNDS]]`
//!
//! Needs qemu-storage-daemon and nbdcopy. Each round runs every reader once, so that what else
//! the machine does hits all alike; the medians are compared.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement fails by panicking"
)]

#[path = "../tests/peers/mod.rs"]
mod peers;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fleece_nbd::{Client, Options};
use peers::{Server, pattern, run};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// One way to read: connections, requests under way, bytes of a request.
struct Reader(usize, usize, u64);

const READERS: [Reader; 6] = [
    Reader(1, 1, MIB),
    Reader(1, 2, MIB),
    Reader(1, 8, MIB),
    Reader(2, 8, MIB),
    Reader(2, 16, 256 << 10),
    Reader(2, 4, 4 * MIB),
];

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse::<u64>().unwrap());
    let size = arguments.next().unwrap_or(2048) * MIB;
    let rounds = arguments.next().unwrap_or(5);

    let dir = TempDir::new().unwrap();
    let image = dir.path().join("disk.raw");
    let file = std::fs::File::create(&image).unwrap();
    let block = pattern(MIB as usize, 1);
    for offset in (0..size).step_by(MIB as usize) {
        std::os::unix::fs::FileExt::write_all_at(&file, &block, offset).unwrap();
    }
    let server = Server::storage_daemon(dir, &image);

    let mut nbdcopy_times = Vec::new();
    let mut our_times = vec![Vec::new(); READERS.len()];
    for _ in 0..rounds {
        nbdcopy_times.push(nbdcopy(&server));
        for (reader, times) in READERS.iter().zip(&mut our_times) {
            times.push(ours(&server, reader));
        }
    }

    let rate = |time: Duration| size as f64 / time.as_secs_f64() / 1e9;
    let nbdcopy_time = median(nbdcopy_times);
    println!("{size} bytes, median of {rounds}:");
    println!(
        "nbdcopy to null:                      {:5.2} GB/s",
        rate(nbdcopy_time)
    );
    for (Reader(connections, depth, chunk), times) in READERS.iter().zip(our_times) {
        let time = median(times);
        let ratio = nbdcopy_time.as_secs_f64() / time.as_secs_f64();
        println!(
            "{connections} connections, {depth:2} requests of {:4} KiB: {:5.2} GB/s = {ratio:.2} x",
            chunk >> 10,
            rate(time),
        );
    }
}

fn nbdcopy(server: &Server) -> Duration {
    let start = Instant::now();
    let uri = format!("nbd+unix:///disk0?socket={}", server.socket().display());
    run("nbdcopy", [uri.as_str(), "null:"]);
    start.elapsed()
}

fn ours(server: &Server, Reader(connections, depth, chunk): &Reader) -> Duration {
    let start = Instant::now();
    let options = Options::default().with_connections(*connections);
    let client = Client::connect(&server.address(), "disk0", &options).unwrap();
    client.prime().unwrap();
    let mut buffers: Vec<_> = (0..*depth).map(|_| vec![0; *chunk as usize]).collect();
    let mut queue = VecDeque::new();
    for offset in (0..client.size()).step_by(*chunk as usize) {
        let mut buffer = match buffers.pop() {
            Some(buffer) => buffer,
            None => VecDeque::pop_front(&mut queue)
                .map(fleece_nbd::Pending::wait)
                .unwrap()
                .unwrap(),
        };
        buffer.resize((client.size() - offset).min(*chunk) as usize, 0);
        queue.push_back(client.submit_read(offset, buffer).unwrap());
    }
    for pending in queue {
        pending.wait().unwrap();
    }
    client.disconnect();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
