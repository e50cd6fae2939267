//! How fast client and server are beside `nbdcopy` and `qemu-nbd`, in the same run.
//!
//! `cargo run --release -p fleece-nbd --example speed [MIB [ROUNDS]]`
//!
//! Needs the lab (`cargo xtask lab`), nbdcopy and fio. Each round runs everything once, so that
//! what else the machine does hits all alike; the medians are compared.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement fails by panicking"
)]

#[path = "../tests/peers/programs.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod programs;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleece_nbd::{Address, Client, Export, Options, Pending, Server, ServerOptions};
use programs::{Program, pattern, run};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse::<u64>().unwrap());
    let size = arguments.next().unwrap_or(1024) * MIB;
    let rounds = arguments.next().unwrap_or(5);
    println!("{} MiB, median of {rounds} rounds", size / MIB);
    clients(size, rounds);
    servers(size, rounds);
}

fn qemu() -> fleece_lab::Qemu {
    fleece_lab::qemu("10.0").unwrap()
}

/// Reading all of a storage daemon's export.
fn clients(size: u64, rounds: u64) {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("disk.raw");
    make_image(&image, size);
    let server = Program::storage_daemon(&qemu(), dir, &image);
    let address = server.address();
    let copy = || nbdcopy(&uri(server.socket(), "disk0"), "null:");
    let read = |connections, depth, chunk| {
        let address = &address;
        move || read_all(address, connections, depth, chunk)
    };
    compare(
        size,
        rounds,
        &[
            ("nbdcopy from qemu-storage-daemon", &copy),
            ("ours, 1 connection,  1 x   1 MiB", &read(1, 1, MIB)),
            ("ours, 1 connection,  2 x   1 MiB", &read(1, 2, MIB)),
            ("ours, 1 connection,  8 x   1 MiB", &read(1, 8, MIB)),
            ("ours, 2 connections, 8 x   1 MiB", &read(2, 8, MIB)),
            ("ours, 2 connections, 16 x 256 KiB", &read(2, 16, MIB / 4)),
        ],
    );
}

/// `nbdcopy` from and to a file behind `qemu-nbd` and behind our server.
fn servers(size: u64, rounds: u64) {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("disk.raw");
    let source = dir.path().join("source.raw").display().to_string();
    make_image(&image, size);
    std::fs::copy(&image, &source).unwrap();
    let file = File::options().read(true).write(true).open(&image).unwrap();
    let socket = dir.path().join("ours.sock");
    let ours = Server::start(&Address::Unix(socket.clone()), &ServerOptions::default());
    let ours = ours.unwrap();
    ours.add_export("disk", Arc::new(Disk { file, size }))
        .unwrap();
    let theirs = Program::qemu_nbd(
        &qemu(),
        dir,
        &image,
        &["--cache=writeback", "--aio=threads"],
    );
    let (ours, theirs) = (uri(&socket, "disk"), uri(theirs.socket(), ""));
    compare(
        size,
        rounds,
        &[
            ("nbdcopy from qemu-nbd", &|| nbdcopy(&theirs, "null:")),
            ("nbdcopy from our server", &|| nbdcopy(&ours, "null:")),
        ],
    );
    compare(
        size,
        rounds,
        &[
            ("nbdcopy to qemu-nbd", &|| nbdcopy(&source, &theirs)),
            ("nbdcopy to our server", &|| nbdcopy(&source, &ours)),
        ],
    );
    for (depth, bytes) in [(1, 64 * MIB), (32, 256 * MIB)] {
        let name = |server| format!("fio, 4 KiB reads, {depth:2} at once, {server}");
        compare(
            bytes,
            rounds,
            &[
                (&name("qemu-nbd"), &|| fio(&theirs, depth, bytes)),
                (&name("ours"), &|| fio(&ours, depth, bytes)),
            ],
        );
    }
}

/// Runs all candidates in turns and prints how they compare to the first.
fn compare(size: u64, rounds: u64, candidates: &[(&str, &dyn Fn())]) {
    let mut times = vec![Vec::new(); candidates.len()];
    for _ in 0..rounds {
        for ((_, run), times) in candidates.iter().zip(&mut times) {
            let start = Instant::now();
            run();
            times.push(start.elapsed());
        }
    }
    let medians: Vec<_> = times.into_iter().map(median).collect();
    for ((name, _), time) in candidates.iter().zip(&medians) {
        let rate = size as f64 / time.as_secs_f64() / 1e9;
        let ratio = medians[0].as_secs_f64() / time.as_secs_f64();
        println!("{name:42} {rate:6.2} GB/s  {ratio:5.2} x");
    }
}

fn nbdcopy(from: &str, to: &str) {
    run(Command::new("nbdcopy"), &format!("{from} {to}"));
}

fn fio(uri: &str, depth: usize, bytes: u64) {
    let job = format!(
        "--name=read --ioengine=nbd --uri={uri} --rw=randread --bs=4k --size=256M \
         --iodepth={depth} --io_size={bytes}"
    );
    run(Command::new("fio"), &job);
}

fn read_all(address: &Address, connections: usize, depth: usize, chunk: u64) {
    let options = Options::default().with_connections(connections);
    let client = Client::connect(address, "disk0", &options).unwrap();
    client
        .submit_prime()
        .unwrap()
        .map(Pending::wait)
        .transpose()
        .unwrap();
    let mut buffers: Vec<_> = (0..depth).map(|_| vec![0; chunk as usize]).collect();
    let mut queue: VecDeque<Pending> = VecDeque::new();
    for offset in (0..client.size()).step_by(chunk as usize) {
        let mut buffer = buffers
            .pop()
            .unwrap_or_else(|| queue.pop_front().unwrap().wait().unwrap());
        buffer.resize((client.size() - offset).min(chunk) as usize, 0);
        queue.push_back(client.submit_read(offset, buffer).unwrap());
    }
    for pending in queue {
        pending.wait().unwrap();
    }
    client.disconnect();
}

/// A raw file.
struct Disk {
    file: File,
    size: u64,
}

impl Export for Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}

fn make_image(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    let block = pattern(MIB as usize, 1);
    for offset in (0..size).step_by(MIB as usize) {
        file.write_all_at(&block, offset).unwrap();
    }
}

fn uri(socket: &Path, export: &str) -> String {
    format!("nbd+unix:///{export}?socket={}", socket.display())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
