//! `vma serve`, as QEMU's and libnbd's programs see it.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "support/vma.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use support::{archive, disk, fails, made, ok, path, sha256, signal, vma};
use tempfile::TempDir;

/// `vma serve` of some archive; it ends with the value.
struct Served {
    child: Child,
    uris: Vec<String>,
}

impl Served {
    fn start(archive: &str, socket: &str, disks: usize) -> Self {
        Self::start_in(Path::new("."), archive, socket, disks)
    }

    /// `place` is a socket, or the option for TCP.
    fn start_in(folder: &Path, archive: &str, place: &str, disks: usize) -> Self {
        let mut child = vma()
            .args(["serve", archive, place])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let uris: Vec<_> = lines.take(disks).map(Result::unwrap).collect();
        assert_eq!(uris.len(), disks, "{:?}", child.wait());
        Self { child, uris }
    }

    /// Sends a signal, and gives the exit code.
    fn end(mut self, name: &str) -> Option<i32> {
        signal(self.child.id(), name);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tool(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

fn succeeds(program: &str, arguments: &[&str]) -> String {
    let output = tool(program, arguments);
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_disk_of_proxmoxs_archive_is_read_as_it_is_extracted() {
    let dir = TempDir::new().unwrap();
    let (zst, out) = (path(&dir, "multi.vma.zst"), path(&dir, "out"));
    let plain = archive("multi.vma");
    ok(&["reframe", &plain, &zst]);
    ok(&["extract", &plain, &out]);
    let disks: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".raw"))
        .collect();
    assert!(disks.len() > 1);
    let socket = path(&dir, "plain sock?");
    for (archive, place) in [(&plain, &*socket), (&zst, "--tcp")] {
        let served = Served::start(archive, place, disks.len());
        for disk in &disks {
            let name = disk.strip_prefix("disk-").unwrap_or(disk);
            let name = name.strip_suffix(".raw").unwrap();
            let uri = served.uris.iter().find(|uri| uri.contains(name)).unwrap();
            let copy = path(&dir, "copy");
            succeeds("nbdcopy", &[uri, &copy]);
            let extracted = Path::new(&out).join(disk);
            assert_eq!(sha256(&copy), sha256(extracted), "{disk}");
        }
    }
}

#[test]
fn what_is_not_stored_is_told_as_holes() {
    let dir = TempDir::new().unwrap();
    let mut image = vec![7; 1 << 20];
    image[256 << 10..768 << 10].fill(0);
    for compress in ["none", "zstd"] {
        let to = made(&dir, "a.vma", &image, compress);
        let served = Served::start(&to, &path(&dir, "socket"), 1);
        let map = succeeds("nbdinfo", &["--map", &served.uris[0]]);
        let map: Vec<Vec<&str>> = map
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert_eq!(map[1], ["262144", "524288", "3", "hole,zero"], "{map:?}");
        assert_eq!(map.len(), 3, "{map:?}");
        fs::remove_file(&to).unwrap();
        let _ = fs::remove_file(format!("{to}.idx"));
    }
}

#[test]
fn a_guest_can_write_to_an_overlay_and_the_archive_stays_as_it_is() {
    let dir = TempDir::new().unwrap();
    let image = disk(1 << 20);
    let archive = made(&dir, "a.vma", &image, "zstd");
    let before = sha256(&archive);
    let socket = path(&dir, "socket");
    let served = Served::start(&archive, &socket, 1);
    let uri = &served.uris[0];
    let refused = tool("qemu-io", &["-f", "raw", "-c", "write 0 4096", uri]);
    assert!(!refused.status.success(), "{refused:?}");

    let over = path(&dir, "over.qcow2");
    succeeds(
        "qemu-img",
        &["create", "-f", "qcow2", "-F", "raw", "-b", uri, &over],
    );
    succeeds("qemu-io", &["-c", "write -P 0xee 65536 4096", &over]);
    let merged = path(&dir, "merged.raw");
    succeeds("qemu-img", &["convert", "-O", "raw", &over, &merged]);
    let mut expected = image;
    expected[65536..65536 + 4096].fill(0xee);
    assert!(fs::read(&merged).unwrap() == expected);
    assert_eq!(served.end("-TERM"), Some(0));
    assert_eq!(sha256(&archive), before);
    assert!(!Path::new(&socket).exists());
}

#[test]
fn a_damaged_frame_costs_its_readers_an_error_and_no_more() {
    let dir = TempDir::new().unwrap();
    let mut image = vec![0; 8 << 20];
    let mut random = std::io::Read::take(fs::File::open("/dev/urandom").unwrap(), 8 << 20);
    std::io::Read::read_exact(&mut random, &mut image).unwrap();
    let archive = made(&dir, "a.vma", &image, "zstd");
    let mut bytes = fs::read(&archive).unwrap();
    // In the middle of the disk's noise, which zstd has to store as it is.
    let place = bytes.len() / 2;
    bytes[place - 8..place + 8].fill(0);
    fs::write(&archive, bytes).unwrap();
    let served = Served::start(&archive, &path(&dir, "socket"), 1);
    let uri = &served.uris[0];
    let whole = tool("nbdcopy", &[uri, &path(&dir, "copy")]);
    assert!(!whole.status.success(), "{whole:?}");
    let start = succeeds("qemu-io", &["-r", "-f", "raw", "-c", "read -v 0 16", uri]);
    let first: Vec<_> = image[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(start.contains(&first.join(" ")), "{start}");
}

#[test]
fn what_is_not_as_the_index_knows_it_is_not_served() {
    let dir = TempDir::new().unwrap();
    let image = disk(1 << 20);
    let archive = made(&dir, "a.vma", &image, "none");
    let mut bytes = fs::read(&archive).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&archive, bytes).unwrap();
    let read = |range: &str, uri: &str| {
        let command = format!("read {range}");
        let output = tool("qemu-io", &["-r", "-f", "raw", "-c", &command, uri]);
        output.status.success()
    };
    let served = Served::start(&archive, &path(&dir, "socket"), 1);
    let uri = &served.uris[0];
    let start = succeeds("nbdinfo", &["--size", uri]);
    assert_eq!(start.trim(), "1048576");
    assert!(read("0 512k", uri));
    // Not one byte of the damaged cluster.
    let last = image
        .chunks(4096)
        .rposition(|block| block.iter().any(|&byte| byte != 0));
    let damaged = last.unwrap() / 16 * 64;
    assert!(!read(&format!("{damaged}k 4k"), uri));
    drop(served);
    // Without an index, nobody knows.
    fs::remove_file(format!("{archive}.idx")).unwrap();
    let served = Served::start(&archive, &path(&dir, "other"), 1);
    assert!(read(&format!("{damaged}k 4k"), &served.uris[0]));
}

#[test]
fn what_cannot_be_served_is_refused_with_the_reason() {
    let dir = TempDir::new().unwrap();
    let socket = path(&dir, "socket");
    let plain = archive("single.vma");
    fails(
        &["serve", &archive("single.vma.lzo"), &socket],
        1,
        "`vma reframe`",
    );
    fails(&["serve", "-", &socket], 1, "`vma reframe`");
    let unknown = ["serve", &plain, &socket, "-d", "nothing"];
    fails(&unknown, 1, "no disk \"nothing\"; it has: drive-scsi0");
    fails(
        &["serve", &plain, &path(&dir, "no/socket")],
        1,
        "cannot listen",
    );
    let (config, none) = (path(&dir, "qemu-server.conf"), path(&dir, "none.vma"));
    fs::write(&config, "name: web\n").unwrap();
    ok(&["create", &none, "-c", &config]);
    fails(&["serve", &none, &socket], 1, "no disks");
    let served = Served::start(&plain, &socket, 1);
    fails(&["serve", &plain, &socket], 1, "cannot listen");
    assert_eq!(served.end("-INT"), Some(0));
    fails(&["serve", &plain], 2, "--tcp");
    fails(&["serve", &plain, &socket, "--tcp"], 2, "cannot be used");
    fails(&["serve", &plain, "--tcp=0.0.0.0:0"], 1, "loopback");
    fails(&["serve", &plain, "--tcp=99999"], 1, "cannot listen at");
}

#[test]
fn over_tcp_a_port_is_chosen_and_only_this_machine_is_let_in() {
    let plain = archive("single.vma");
    let chosen = Served::start(&plain, "--tcp", 1);
    let uri = chosen.uris[0].clone();
    let (host, port) = uri.rsplit_once('/').unwrap().0.rsplit_once(':').unwrap();
    assert_eq!(host, "nbd://127.0.0.1");
    fails(&["serve", &plain, &format!("--tcp={port}")], 1, "in use");
    // Two at once, and one that says nothing.
    let silent = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let [first, second] = [(); 2].map(|()| succeeds("nbdinfo", &["--size", &uri]));
    assert_eq!(first, second);
    assert_eq!(chosen.end("-TERM"), Some(0));
    drop(silent);
    // At once again, although the earlier connections are not forgotten by the system.
    let again = Served::start(&plain, &format!("--tcp={port}"), 1);
    assert_eq!(again.end("-INT"), Some(0));
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let six = Served::start(&plain, "--tcp=[::1]:0", 1);
    assert!(six.uris[0].starts_with("nbd://[::1]:"), "{:?}", six.uris);
    assert_eq!(succeeds("nbdinfo", &["--size", &six.uris[0]]), first);
}

#[test]
fn a_uri_is_good_for_programs_that_run_elsewhere() {
    let dir = TempDir::new().unwrap();
    let served = Served::start_in(dir.path(), &archive("single.vma"), "socket", 1);
    // This program runs in another folder.
    succeeds("nbdinfo", &[&served.uris[0]]);
}
