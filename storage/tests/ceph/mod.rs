//! A Ceph cluster of one node, in memory, on the loopback interface.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{fs, thread};

use fleece_storage::Storages;
use tempfile::TempDir;

/// How long a cluster may take to come up; ten seconds on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A monitor, a manager and an object store.
pub(crate) struct Cluster {
    pub(crate) folder: TempDir,
    pub(crate) monitor: Ipv4Addr,
    daemons: Vec<Child>,
    deadline: Instant,
}

impl Cluster {
    /// A cluster that works; none, after a `SKIP:` line, without Ceph. One that does not come up is thrown
    /// away once.
    pub(crate) fn start() -> Option<Self> {
        let programs = [
            "ceph-mon",
            "ceph-mgr",
            "ceph-osd",
            "ceph",
            "rbd",
            "monmaptool",
        ];
        let has = |program: &&str| fleece_lab::require(program).is_some();
        if !programs.iter().all(has) {
            return None;
        }
        let first = Self::try_start(1);
        let cluster = first
            .or_else(|why| {
                eprintln!("a second cluster is tried: {why}");
                Self::try_start(2)
            })
            .unwrap_or_else(|why| panic!("{why}"));
        Some(cluster)
    }

    fn try_start(attempt: u8) -> Result<Self, String> {
        let mut cluster = Self {
            folder: tempfile::tempdir().unwrap(),
            monitor: address(attempt),
            daemons: Vec::new(),
            deadline: Instant::now() + TIMEOUT,
        };
        let started = Instant::now();
        cluster
            .come_up()
            .map_err(|why| format!("{why}{}", cluster.logs()))?;
        println!("the cluster took {:.1?} to come up", started.elapsed());
        Ok(cluster)
    }

    fn come_up(&mut self) -> Result<(), String> {
        for folder in ["mon", "mgr", "osd"] {
            fs::create_dir(self.folder.path().join(folder)).unwrap();
        }
        let configuration = configuration(self.folder.path(), self.monitor);
        fs::write(self.conf(), configuration).unwrap();

        let map = self.folder.path().join("monmap").display().to_string();
        let addresses = format!("[v2:{0}:3300,v1:{0}:6789]", self.monitor);
        self.run(
            "monmaptool",
            &["--create", "--fsid", FSID, "--addv", "a", &addresses, &map],
        )?;
        self.run("ceph-mon", &["--mkfs", "--id", "a", "--monmap", &map])?;
        self.daemon("ceph-mon", "a");
        self.daemon("ceph-mgr", "x");
        // Waits for the monitor.
        self.run("ceph", &["osd", "new", OSD])?;
        self.run("ceph-osd", &["--mkfs", "--id", "0", "--osd-uuid", OSD])?;
        self.daemon("ceph-osd", "0");
        self.run(
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
        )?;
        self.until("the object store is up", || {
            let stat = self.run("ceph", &["osd", "stat", "--format", "json"])?;
            let stat: serde_json::Value = serde_json::from_str(&stat).map_err(|e| e.to_string())?;
            (stat["num_up_osds"] == 1)
                .then_some(())
                .ok_or_else(|| stat.to_string())
        })?;
        for pool in ["fleece", "data"] {
            self.run("ceph", &["osd", "pool", "create", pool, "8"])?;
        }
        // Waits for the pool's placement groups.
        self.run("rbd", &["namespace", "create", "fleece/guests"])?;
        Ok(())
    }

    /// A `storage.cfg` with this cluster as the storage `ceph`, once it tells how much room there is.
    pub(crate) fn storages(&self) -> PathBuf {
        let config = self.folder.path().join("storage.cfg");
        let text = "rbd: ceph\n\tpool fleece\n\tnamespace guests\n\tdata-pool data\n\tmonhost";
        fs::write(&config, format!("{text} {}\n", self.monitor)).unwrap();
        let storage = Storages::from_config(&config)
            .unwrap()
            .open("ceph")
            .unwrap();
        // The manager takes a moment to tell how much room there is.
        self.until("the manager tells the room", || match storage.status() {
            Ok(status) if status.total > 0 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .unwrap();
        config
    }

    /// Runs a program to its end, at most until the deadline.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let mut command = Command::new("timeout");
        command
            .arg("--signal=KILL")
            // None at all would mean no limit.
            .arg(format!("{}s", left.as_secs().max(1)))
            .arg(program)
            .args(arguments);
        if program != "monmaptool" {
            command.arg("--conf").arg(self.conf());
        }
        let output = command.output().unwrap();
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout).unwrap());
        }
        Err(format!("{command:?}: {output:?}"))
    }

    /// Asks again until the answer is yes. The question itself takes the time of a client's start.
    pub(crate) fn until(
        &self,
        what: &str,
        mut ask: impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        while let Err(answer) = ask() {
            if Instant::now() >= self.deadline {
                return Err(format!("it never came that {what}: {answer}"));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn daemon(&mut self, program: &str, id: &str) {
        let output = fs::File::create(self.folder.path().join(format!("{program}.out"))).unwrap();
        let mut command = Command::new(program);
        command
            .args(["--foreground", "--id", id, "--conf"])
            .arg(self.conf());
        let daemon = command
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        self.daemons.push(daemon);
    }

    fn conf(&self) -> PathBuf {
        self.folder.path().join("ceph.conf")
    }

    /// The end of what each daemon wrote.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for file in fs::read_dir(self.folder.path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == "log" || e == "out") {
                let log = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                let lines: Vec<_> = log.lines().rev().take(15).collect();
                text.push_str(&format!("\n--- {}\n", path.display()));
                text.extend(lines.iter().rev().map(|line| format!("{line}\n")));
            }
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            // Fails if it has ended already.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// A loopback address that is this process's own, so that the monitor can have Ceph's own ports.
/// With others, clients do not know which of its two protocols is spoken there, try both at once,
/// and fail or hang when the wrong one comes first.
fn address(attempt: u8) -> Ipv4Addr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 100 + attempt, high, low.clamp(1, 254))
}

const FSID: &str = "6f1c9e0a-3a52-4d0e-9c0b-2f6f0b6a1d01";
const OSD: &str = "6f1c9e0a-3a52-4d0e-9c0b-2f6f0b6a1d02";

fn configuration(folder: &Path, monitor: Ipv4Addr) -> String {
    let folder = folder.display();
    format!(
        "[global]\n\
         fsid = {FSID}\n\
         mon_host = {monitor}\n\
         public_addr = {monitor}\n\
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
