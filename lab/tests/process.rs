//! Nothing that the lab started outlives the test.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;

use fleece_lab::{Disk, StorageDaemon};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

#[test]
fn a_daemon_ends_when_its_value_is_dropped_and_its_files_with_it() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let daemon = StorageDaemon::builder(&qemu)
        .disk(Disk::raw(1 << 20))
        .start()
        .unwrap();
    let end = watch(daemon.process_id()).unwrap();
    let (folder, socket) = (daemon.folder().to_owned(), daemon.qmp_socket());
    assert!(folder.exists() && socket.exists());
    drop(daemon);
    assert!(ends(&end).unwrap());
    assert!(!folder.exists() && !socket.exists());
}

#[test]
fn a_daemon_outlives_the_thread_that_started_it() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let builder = StorageDaemon::builder(&qemu).export();
    let daemon = thread::spawn(|| builder.disk(Disk::raw(1 << 20)).start().unwrap());
    let daemon = daemon.join().unwrap();
    let mut io = qemu.io();
    io.args(["-f", "raw", "-c", "read 0 4k"])
        .arg(daemon.nbd_uri(0));
    assert!(io.output().unwrap().status.success());
}

/// Set for the process that the test below starts and kills, which runs the same test.
const TO_BE_KILLED: &str = "FLEECE_LAB_TO_BE_KILLED";

#[test]
fn a_daemon_ends_when_the_test_is_killed() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    if env::var_os(TO_BE_KILLED).is_some() {
        let daemon = StorageDaemon::builder(&qemu).start().unwrap();
        println!("daemon {}", daemon.process_id());
        loop {
            thread::park();
        }
    }
    let mut test = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_daemon_ends_when_the_test_is_killed"])
        .arg("--nocapture")
        .env(TO_BE_KILLED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(test.stdout.take().unwrap()).lines();
    let daemon = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("daemon ")?.1.parse().ok())
        .expect("the other process tells the daemon's id");
    let end = watch(daemon).unwrap();
    test.kill().unwrap();
    test.wait().unwrap();
    assert!(ends(&end).unwrap());
}

fn watch(process: u32) -> io::Result<OwnedFd> {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    let id = id.ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_open(id, PidfdFlags::empty())?)
}

/// Whether the process ends within ten seconds.
fn ends(process: &OwnedFd) -> io::Result<bool> {
    let mut events = [PollFd::new(process, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    Ok(poll(&mut events, Some(&timeout))? > 0)
}
