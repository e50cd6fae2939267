//! The conformance suite on a Ceph cluster of one node, in memory, on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleece_storage::{Storages, testing};
use tempfile::TempDir;

#[test]
fn rbd_conforms() {
    let programs = [
        "ceph-mon",
        "ceph-mgr",
        "ceph-osd",
        "ceph",
        "rbd",
        "monmaptool",
    ];
    if !programs
        .iter()
        .all(|program| fleece_lab::require(program).is_some())
    {
        return;
    }
    let cluster = Cluster::start();
    let config = cluster.folder.path().join("storage.cfg");
    let text = "rbd: ceph\n\tpool fleece\n\tnamespace guests\n\tdata-pool data\n\tmonhost";
    fs::write(&config, format!("{text} {}\n", cluster.monitor)).unwrap();
    let storage = Storages::from_config(&config)
        .unwrap()
        .open("ceph")
        .unwrap();
    // The manager takes a moment to tell how much room there is.
    let deadline = Instant::now() + Duration::from_secs(60);
    while storage.status().is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    let report = testing::conformance(storage.as_ref(), 999_000);
    println!("{report}");
    assert!(report.passed(), "{report}");
}

/// A monitor, a manager and an object store.
struct Cluster {
    folder: TempDir,
    monitor: String,
    daemons: Vec<Child>,
}

impl Cluster {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let folder = tempfile::tempdir().unwrap();
        let monitor = format!("127.0.0.1:{port}");
        let mut cluster = Self {
            folder,
            monitor,
            daemons: Vec::new(),
        };
        for folder in ["mon", "mgr", "osd"] {
            fs::create_dir(cluster.folder.path().join(folder)).unwrap();
        }
        fs::write(
            cluster.conf(),
            configuration(cluster.folder.path(), &cluster.monitor),
        )
        .unwrap();

        let map = cluster.folder.path().join("monmap").display().to_string();
        let address = format!("[v1:{}]", cluster.monitor);
        cluster.run(
            "monmaptool",
            &["--create", "--fsid", FSID, "--addv", "a", &address, &map],
        );
        cluster.run("ceph-mon", &["--mkfs", "--id", "a", "--monmap", &map]);
        cluster.daemon("ceph-mon", "a");
        cluster.daemon("ceph-mgr", "x");
        // Waits for the monitor.
        cluster.run("ceph", &["osd", "new", OSD]);
        cluster.run("ceph-osd", &["--mkfs", "--id", "0", "--osd-uuid", OSD]);
        cluster.daemon("ceph-osd", "0");
        cluster.run(
            "ceph",
            &[
                "osd",
                "crush",
                "add",
                "osd.0",
                "1.0",
                "root=default",
                "host=here",
            ],
        );
        for pool in ["fleece", "data"] {
            cluster.run("ceph", &["osd", "pool", "create", pool, "8"]);
        }
        cluster.run("rbd", &["namespace", "create", "fleece/guests"]);
        cluster
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments);
        if program != "monmaptool" {
            command.arg("--conf").arg(self.conf());
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }

    fn daemon(&mut self, program: &str, id: &str) {
        let mut command = Command::new(program);
        command
            .args(["--foreground", "--id", id, "--conf"])
            .arg(self.conf());
        let daemon = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.daemons.push(daemon);
    }

    fn conf(&self) -> std::path::PathBuf {
        self.folder.path().join("ceph.conf")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }
}

const FSID: &str = "6f1c9e0a-3a52-4d0e-9c0b-2f6f0b6a1d01";
const OSD: &str = "6f1c9e0a-3a52-4d0e-9c0b-2f6f0b6a1d02";

fn configuration(folder: &Path, monitor: &str) -> String {
    let folder = folder.display();
    format!(
        "[global]\n\
         fsid = {FSID}\n\
         mon_host = [v1:{monitor}]\n\
         public_addr = 127.0.0.1\n\
         auth_cluster_required = none\n\
         auth_service_required = none\n\
         auth_client_required = none\n\
         osd_pool_default_size = 1\n\
         osd_crush_chooseleaf_type = 0\n\
         mon_allow_pool_size_one = true\n\
         run_dir = {folder}\n\
         admin_socket = {folder}/$name.asok\n\
         log_file = {folder}/$name.log\n\
         pid_file = {folder}/$name.pid\n\
         crash_dir = {folder}\n\
         [mon]\n\
         mon_data = {folder}/mon\n\
         [mgr]\n\
         mgr_data = {folder}/mgr\n\
         mgr_initial_modules =\n\
         [osd]\n\
         osd_data = {folder}/osd\n\
         osd_objectstore = memstore\n\
         memstore_device_bytes = 1073741824\n"
    )
}
