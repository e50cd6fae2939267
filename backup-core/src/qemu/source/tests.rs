//! What our own reading gives, against the instant, where every border between clusters is mixed.
//!
//! A cluster is in one of eight states: it held data or nothing, and since the instant the guest has left
//! it alone, written to it, zeroed it or discarded it. The disks' clusters are such that each state has each
//! other, and itself, as its neighbour to the right. Every stretch of them is read and asked for zeroes.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fleece_fleecing::{Method, Options, Place, Record};
use fleece_guest_config::GuestId;
use fleece_lab::{Definition, Disk, Format, Guest, Qemu, StorageDaemon};
use fleece_qmp_client::{Address as Monitor, Client as Qmp};
use fleece_storage::{StorageConfig, Storages};
use serde_json::json;
use tempfile::TempDir;

use super::*;

const CLUSTER: usize = 64 << 10;

/// The last cluster is this long.
const TAIL: usize = (5 << 10) + 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Left,
    Written,
    Zeroed,
    Discarded,
}

/// What a cluster was at the instant, and what the guest did with it afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    data: bool,
    deed: Deed,
}

const STATES: usize = 8;

fn state(number: usize) -> State {
    let deeds = [Deed::Left, Deed::Written, Deed::Zeroed, Deed::Discarded];
    State {
        data: number.is_multiple_of(2),
        deed: deeds[number / 2],
    }
}

/// A walk over all pairs of states, from a state to itself and to each other: it never takes a way twice.
/// `last` is the state of the last cluster, which is shorter.
fn states(last: usize) -> Vec<State> {
    let mut walked = [[false; STATES]; STATES];
    let mut walk = vec![];
    let mut path = vec![0];
    // Hierholzer's: a dead end is the end of what is left of the walk.
    while let Some(&here) = path.last() {
        if let Some(next) = (0..STATES).find(|&next| !walked[here][next]) {
            walked[here][next] = true;
            path.push(next);
        } else {
            walk.push(here);
            path.pop();
        }
    }
    walk.reverse();
    walk.push(last);
    walk.into_iter().map(state).collect()
}

#[test]
fn every_state_has_every_state_for_its_right_neighbour() {
    let states = states(0);
    for one in 0..STATES {
        for other in 0..STATES {
            let pair = [state(one), state(other)];
            assert!(states.windows(2).any(|two| two == pair), "{pair:?}");
        }
    }
}

/// A disk of noise and holes as it was, and what the guest does with it.
struct Pattern {
    states: Vec<State>,
    before: Vec<u8>,
}

impl Pattern {
    fn new(last: usize) -> Self {
        let states = states(last);
        let mut before = vec![0; (states.len() - 1) * CLUSTER + TAIL];
        let mut noise = 88_172_645_463_325_252_u64 + last as u64;
        for (cluster, state) in before.chunks_mut(CLUSTER).zip(&states) {
            for word in cluster.chunks_mut(8).filter(|_| state.data) {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                word.copy_from_slice(&noise.to_le_bytes());
            }
        }
        Self { states, before }
    }

    /// A sparse image of what was.
    fn create(&self, path: &Path) {
        let file = File::create(path).unwrap();
        file.set_len(self.before.len() as u64).unwrap();
        let clusters = self.before.chunks(CLUSTER).zip(&self.states);
        for (number, (cluster, _)) in clusters.enumerate().filter(|(_, (_, state))| state.data) {
            file.write_all_at(cluster, (number * CLUSTER) as u64)
                .unwrap();
        }
    }

    /// As `qemu-io` takes them.
    fn deeds(&self) -> Vec<String> {
        let end = self.before.len();
        let deed = |(number, state): (usize, &State)| {
            let at = number * CLUSTER;
            let length = CLUSTER.min(end - at);
            Some(match state.deed {
                Deed::Left => return None,
                // All of the cluster is saved for it.
                Deed::Written => format!("write -P 0xee {} 512", at + length - 512),
                Deed::Zeroed => format!("write -z -u {at} {length}"),
                Deed::Discarded => format!("discard {at} {length}"),
            })
        };
        self.states.iter().enumerate().filter_map(deed).collect()
    }

    /// What is on the disk in the end, if the guest's discards got there.
    fn after(&self, discards: bool) -> Vec<u8> {
        let mut after = self.before.clone();
        for (cluster, state) in after.chunks_mut(CLUSTER).zip(&self.states) {
            match state.deed {
                Deed::Written => {
                    let end = cluster.len();
                    cluster[end - 512..].fill(0xee);
                }
                Deed::Zeroed => cluster.fill(0),
                Deed::Discarded if discards => cluster.fill(0),
                Deed::Discarded | Deed::Left => {}
            }
        }
        after
    }

    /// Whole clusters, stretches of them, their borders, what is not aligned, all of the disk.
    fn shapes(&self) -> Vec<(usize, usize)> {
        let end = self.before.len();
        let mut shapes = vec![(0, end)];
        for at in (0..end).step_by(CLUSTER) {
            for clusters in [1, 2, 3] {
                shapes.push((at, clusters * CLUSTER));
            }
            shapes.push((at.saturating_sub(512), 1024));
            shapes.push((at.saturating_sub(3 * 512), 2 * CLUSTER + 512));
            shapes.push((at + 4096, CLUSTER));
        }
        // As the pipeline reads.
        let chunk = 16 * CLUSTER;
        shapes.extend((0..end).step_by(chunk).map(|at| (at, chunk)));
        shapes.retain(|(at, _)| *at < end);
        let within = |(at, length): (usize, usize)| (at, length.min(end - at));
        shapes.into_iter().map(within).collect()
    }

    fn compare(&self, source: &NbdSource) -> Result<(), String> {
        let mut wrong = String::new();
        let zeroes = vec![0; self.before.len()];
        for (at, length) in self.shapes() {
            let expected = &self.before[at..at + length];
            let read = source.read(at as u64, vec![0x77; length]).unwrap();
            self.check(&mut wrong, "read", at, &read, expected);
            let extents = source.block_status(at as u64, length as u64).unwrap();
            let mut place = at;
            for extent in extents {
                let end = place + extent.length as usize;
                if extent.zero {
                    let expected = &self.before[place..end];
                    self.check(&mut wrong, "zeroes", place, &zeroes[place..end], expected);
                }
                place = end;
            }
            assert_eq!(place, at + length);
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn check(&self, wrong: &mut String, what: &str, at: usize, got: &[u8], expected: &[u8]) {
        if got != expected {
            let length = got.len();
            let first = got
                .iter()
                .zip(expected)
                .position(|(one, other)| one != other);
            let place = at + first.unwrap_or(length);
            let state = self.states[place / CLUSTER];
            writeln!(wrong, "{what} {at}+{length}: wrong at {place}, {state:?}").unwrap();
        }
    }
}
/// Who writes to the disks: the clients of a storage daemon, or a guest.
enum Peer {
    Daemon(StorageDaemon),
    Guest(Guest),
}

impl Peer {
    fn monitor(&self) -> PathBuf {
        match self {
            Self::Daemon(daemon) => daemon.qmp_socket(),
            Self::Guest(guest) => guest.qmp_socket(),
        }
    }

    fn io(&self, qemu: &Qemu, disk: usize, commands: &[String]) {
        match self {
            Self::Daemon(daemon) => {
                let mut io = qemu.io();
                io.args(["-f", "raw", &daemon.nbd_uri(disk)]);
                for command in commands {
                    io.args(["-c", command]);
                }
                assert!(io.output().unwrap().status.success());
            }
            Self::Guest(guest) => {
                let qmp = Qmp::connect_unix(guest.test_socket()).unwrap();
                let device = format!("/machine/peripheral/virtio{disk}/virtio-backend");
                for command in commands {
                    let line = format!("qemu-io -d {device} \"{command}\"");
                    let line = Some(json!({"command-line": line}));
                    qmp.execute_raw("human-monitor-command", line).unwrap();
                }
            }
        }
    }

    fn kill(&mut self) {
        match self {
            Self::Daemon(daemon) => daemon.kill(),
            Self::Guest(guest) => guest.kill(),
        }
    }
}

/// Two disks on a QEMU, and where they are backed up.
struct Field {
    qemu: Qemu,
    dir: TempDir,
    patterns: [Pattern; 2],
    images: [PathBuf; 2],
    peer: Peer,
}

impl Field {
    /// `discards`: the disks give back what is discarded.
    fn new(qemu: &Qemu, guest: bool, discards: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Tails of saved and of other clusters, of data and of holes.
        let patterns = [Pattern::new(2), Pattern::new(usize::from(guest))];
        let images = ["raw", "qcow2"].map(|format| dir.path().join(format!("disk.{format}")));
        patterns[0].create(&images[0]);
        let plain = dir.path().join("plain");
        patterns[1].create(&plain);
        convert(qemu, &plain, "raw", &images[1], "qcow2");
        fs::remove_file(plain).unwrap();
        let [raw, qcow2] = &images;
        let mut raw = Disk::image(raw, Format::Raw).define(Definition::Blockdev);
        let mut qcow2 = Disk::image(qcow2, Format::Qcow2);
        if discards {
            (raw, qcow2) = (raw.discards(), qcow2.discards());
        }
        let peer = if guest {
            let builder = Guest::builder(qemu).disk(raw).disk(qcow2);
            Peer::Guest(builder.hold().unwrap())
        } else {
            let builder = StorageDaemon::builder(qemu)
                .disk(raw)
                .disk(qcow2.throttled());
            Peer::Daemon(builder.export().start().unwrap())
        };
        Self {
            qemu: qemu.clone(),
            dir,
            patterns,
            images,
            peer,
        }
    }

    /// Everything of one session; what was wrong. `shared`: with images on a storage that can hang.
    fn run(mut self, shared: bool, discards: bool, expected: Method) -> Result<(), String> {
        let dir = self.dir.path();
        let images = dir.join("images");
        fs::create_dir(&images).unwrap();
        let config = format!(
            "dir: net\n\tpath {}\n\tcontent images\n\tis_mountpoint /\n\tshared {}\n",
            images.display(),
            u8::from(shared)
        );
        let storages = Storages::new(StorageConfig::parse(&config).unwrap());
        let vm: GuestId = "7".parse().unwrap();
        let place = Place::new(dir.join("state"), vm.clone(), None);
        let record = Record::open(&place).unwrap();
        let monitor = Monitor::unix(self.peer.monitor());
        let qmp = Qmp::connect(&monitor, &fleece_qmp_client::Options::default()).unwrap();
        let mut disks = fleece_fleecing::discover(&qmp).unwrap().disks;
        disks.sort_by(|one, other| one.name.cmp(&other.name));
        let mut options = Options::new(vm, place.nbd_socket());
        if let Peer::Daemon(daemon) = &self.peer {
            options.running_server = Some(Monitor::unix(daemon.nbd_socket()));
        }
        let storage = storages.open("net").unwrap();
        let mut session = Session::new(qmp, monitor, storage, &record, disks, options).unwrap();
        session.prepare().unwrap();
        assert_eq!(session.method(), expected);
        session.switch().unwrap();
        let address = export(&session).unwrap();
        let mut wrong = String::new();
        for saved in [false, true] {
            for (n, pattern) in self.patterns.iter().enumerate() {
                if saved {
                    self.peer.io(&self.qemu, n, &pattern.deeds());
                }
                // With nothing saved there are no borders; once is enough.
                let forms: &[bool] = if saved { &[false, true] } else { &[true] };
                for &structured in forms {
                    let source = connect(&session, &address, n, structured).unwrap();
                    if let Err(what) = pattern.compare(&source) {
                        let how = format!("disk {n}, saved {saved}, structured {structured}");
                        writeln!(wrong, "{how}:\n{what}").unwrap();
                    }
                }
            }
        }
        session.finish().unwrap();
        self.peer.kill();
        for (pattern, (image, format)) in self
            .patterns
            .iter()
            .zip(self.images.iter().zip(["raw", "qcow2"]))
        {
            let plain = dir.join("plain");
            convert(&self.qemu, image, format, &plain, "raw");
            let after = fs::read(&plain).unwrap();
            assert!(
                after == pattern.after(discards),
                "the {format} disk in the end"
            );
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

fn convert(qemu: &Qemu, from: &Path, format: &str, to: &Path, into: &str) {
    let mut convert = qemu.img();
    convert
        .args(["convert", "-f", format, "-O", into])
        .arg(from)
        .arg(to);
    assert!(convert.output().unwrap().status.success());
}

#[test]
fn whatever_is_saved_every_read_and_every_zero_is_of_the_instant() {
    for qemu in fleece_lab::qemus() {
        let mut cases = vec![
            (false, true, true, Method::Reopen),
            (true, true, true, Method::PausedInsert),
        ];
        if qemu.version().major >= 11 {
            cases.push((false, false, false, Method::Job));
        }
        for (guest, shared, discards, method) in cases {
            if let Err(wrong) = Field::new(&qemu, guest, discards).run(shared, discards, method) {
                panic!("QEMU {}, {method}: {wrong}", qemu.version());
            }
        }
    }
}
