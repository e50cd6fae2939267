//! What these tests share: a storage daemon with two disks, and sessions on it.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test may fail by a panic"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fleece_fleecing::{Error, GuestAddress, Options, Place, Record, Session, cleanup, discover};
use fleece_guest_config::GuestId;
use fleece_lab::{Disk, Qemu, StorageDaemon};
use fleece_nbd::{Address as NbdAddress, Client as NbdClient};
use fleece_qmp_client::commands::{QueryBlockExports, QueryJobs, QueryNamedBlockNodes};
use fleece_qmp_client::{Address, Client};
use fleece_storage::{DirPlugin, Storages};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const SIZE: u64 = 2 << 20;
pub(crate) const CLUSTER: usize = 64 << 10;

/// A storage daemon with two disks that hold the same, and a directory for its records and images.
pub(crate) struct Field {
    pub(crate) qemu: Qemu,
    pub(crate) daemon: StorageDaemon,
    dir: TempDir,
}

impl Field {
    pub(crate) fn on(qemu: Qemu) -> Self {
        let disks = [Disk::raw(SIZE).throttled(), Disk::qcow2(SIZE).throttled()];
        let field = Self::with(qemu, disks);
        for disk in [0, 1] {
            field.io(disk, &["write -P 0x11 0 1M", "write -P 0x22 1536k 70000"]);
        }
        field
    }

    pub(crate) fn with(qemu: Qemu, disks: impl IntoIterator<Item = Disk>) -> Self {
        let builder = StorageDaemon::builder(&qemu).export().second_monitor();
        let builder = disks
            .into_iter()
            .fold(builder, |builder, disk| builder.disk(disk));
        Self {
            daemon: builder.start().unwrap(),
            qemu,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// What a disk holds before anything else is written to it.
    pub(crate) fn before() -> Vec<u8> {
        let mut data = vec![0; usize::try_from(SIZE).unwrap()];
        data[..1 << 20].fill(0x11);
        data[1536 << 10..(1536 << 10) + 70000].fill(0x22);
        data
    }

    /// What a client of the daemon does with a disk.
    pub(crate) fn io(&self, disk: usize, commands: &[impl AsRef<str>]) {
        let mut io = self.qemu.io();
        io.args(["-f", "raw", &self.daemon.nbd_uri(disk)]);
        for command in commands {
            io.args(["-c", command.as_ref()]);
        }
        succeed(&mut io);
    }

    /// Overwrites, zeroes and discards clusters, between others that are left alone.
    pub(crate) fn disturb(&self, disk: usize) {
        let deeds = ["write -P 0x55", "write -z -u", "discard"];
        let clusters = (0..32).filter(|number| number % 5 < 2 || number % 7 == 0);
        let commands: Vec<_> = clusters
            .map(|number| format!("{} {} {CLUSTER}", deeds[number % 3], number * CLUSTER))
            .collect();
        self.io(disk, &commands);
    }

    pub(crate) fn directory(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn monitor(&self) -> GuestAddress {
        Address::unix(self.daemon.qmp_socket()).into()
    }

    pub(crate) fn place(&self) -> Place {
        Place::new(self.directory(), guest(), None)
    }

    pub(crate) fn record(&self) -> Record {
        Record::open(&self.place()).unwrap()
    }

    /// A session on all disks, whose views the daemon's own server exports.
    pub(crate) fn session<'r>(&self, record: &'r Record) -> Result<Session<'r>, Error> {
        let mut options = self.options();
        options.running_server = Some(Address::unix(self.daemon.nbd_socket()));
        self.session_with(record, options)
    }

    pub(crate) fn options(&self) -> Options {
        Options::new(guest(), self.place().nbd_socket())
    }

    pub(crate) fn session_with<'r>(
        &self,
        record: &'r Record,
        options: Options,
    ) -> Result<Session<'r>, Error> {
        let client = self
            .monitor()
            .connect(&fleece_qmp_client::Options::default())
            .unwrap();
        let mut disks = discover(&client)?.disks;
        // Not what a test has others export.
        disks.retain(|disk| disk.name.starts_with("disk"));
        let storage = Arc::new(DirPlugin::plain(self.directory()).unwrap());
        Session::new(client, self.monitor(), storage, record, disks, options)
    }

    /// A clean-up; what it removed.
    pub(crate) fn clean(&self) -> Vec<String> {
        let cleaned = cleanup(&self.place(), Some(&self.monitor()), &Storages::none()).unwrap();
        assert!(cleaned.failed.is_empty(), "{:?}", cleaned.failed);
        cleaned.done
    }

    /// What somebody else does at the daemon's other monitor.
    pub(crate) fn execute(&self, command: &str, arguments: Value) {
        self.others().execute_raw(command, Some(arguments)).unwrap();
    }

    fn others(&self) -> Client {
        Client::connect_unix(self.daemon.test_socket()).unwrap()
    }

    /// Jobs, exports and nodes with names that begin like ours.
    pub(crate) fn names(&self) -> Vec<String> {
        let client = self.others();
        let jobs = client.execute(&QueryJobs {}).unwrap();
        let exports = client.execute(&QueryBlockExports {}).unwrap();
        let nodes = QueryNamedBlockNodes { flat: Some(true) };
        let nodes = client.execute(&nodes).unwrap();
        let jobs = jobs.into_iter().map(|job| job.id);
        let exports = exports.into_iter().map(|export| export.id);
        let nodes = nodes.into_iter().filter_map(|node| node.node_name);
        let mut names: Vec<_> = jobs.chain(exports).chain(nodes).collect();
        names.retain(|name| name.starts_with("fleece-"));
        names.sort();
        names
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let files = self.directory().read_dir().unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    /// Nothing of ours is left in the daemon, and no record or image.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.names(), [""; 0]);
        let files = self.files();
        assert!(files.is_empty(), "{files:?}");
    }
}

pub(crate) fn guest() -> GuestId {
    "100".parse().unwrap()
}

/// The instant of disk `n`, in requests of one cluster: none of QEMU's releases mixes anything up in those.
pub(crate) fn instant(server: &Address, export: &str) -> Vec<u8> {
    let Address::Unix(socket) = server else {
        unreachable!("{server}");
    };
    let address = NbdAddress::Unix(socket.clone());
    let client = NbdClient::connect(&address, export, &fleece_nbd::Options::default()).unwrap();
    let mut data = vec![0; usize::try_from(client.size()).unwrap()];
    for (chunk, n) in data.chunks_mut(CLUSTER).zip(0_u64..) {
        client.read_at(n * CLUSTER as u64, chunk).unwrap();
    }
    data
}

pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}{complained}");
    said
}
