//! The server with other people's clients.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fleece_lab::Qemu;
use fleece_nbd::{Address, BlockSizes, Server, ServerOptions};
use tempfile::TempDir;

use crate::memory::Memory;
use crate::programs::{pattern, run};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A server of one disk.
struct Fixture {
    disk: Arc<Memory>,
    server: Server,
    dir: TempDir,
}

impl Fixture {
    fn new(disk: Memory) -> Self {
        let dir = TempDir::new().unwrap();
        let address = Address::Unix(dir.path().join("nbd.sock"));
        let server = Server::start(&address, &ServerOptions::default()).unwrap();
        let disk = Arc::new(disk);
        server.add_export("disk0", Arc::clone(&disk) as _).unwrap();
        Self { disk, server, dir }
    }

    fn uri(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.path("nbd.sock"))
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

/// 4 MiB: data, a hole, data.
fn half_empty() -> Vec<u8> {
    let mut bytes = vec![0; 4 * MIB];
    bytes[..MIB].copy_from_slice(&pattern(MIB, 1));
    bytes[3 * MIB..].copy_from_slice(&pattern(MIB, 2));
    bytes
}

#[test]
fn qemu_img_tells_the_size() {
    for qemu in fleece_lab::qemus() {
        let fixture = Fixture::new(Memory::new(half_empty()));
        let info = run(
            qemu.img(),
            &format!("info --output=json {}", fixture.uri("disk0")),
        );
        assert!(info.contains(r#""virtual-size": 4194304"#), "{info}");
    }
}

#[test]
fn qemu_img_maps_data_and_holes() {
    for qemu in fleece_lab::qemus() {
        let fixture = Fixture::new(Memory::new(half_empty()));
        let map = run(
            qemu.img(),
            &format!("map --output=json -f raw {}", fixture.uri("disk0")),
        );
        let extents: Vec<_> = map.lines().filter(|line| line.contains("start")).collect();
        let expected = [
            (0, MIB, "true"),
            (MIB, 2 * MIB, "false"),
            (3 * MIB, MIB, "true"),
        ];
        assert_eq!(extents.len(), expected.len(), "{map}");
        for (extent, (start, length, data)) in extents.into_iter().zip(expected) {
            assert!(
                extent.contains(&format!(r#""start": {start}, "length": {length},"#)),
                "{map}"
            );
            assert!(extent.contains(&format!(r#""data": {data}"#)), "{map}");
        }
    }
}

#[test]
fn qemu_img_converts_from_and_to_the_server() {
    for qemu in fleece_lab::qemus() {
        let contents = half_empty();
        let source = Fixture::new(Memory::new(contents.clone()));
        let copy = source.path("copy.qcow2");
        run(
            qemu.img(),
            &format!("convert -f raw -O qcow2 {} {copy}", source.uri("disk0")),
        );
        let target = Fixture::new(Memory::new(vec![0xff; 4 * MIB]));
        run(
            qemu.img(),
            &format!("convert -n -f qcow2 -O raw {copy} {}", target.uri("disk0")),
        );
        assert!(target.disk.contents() == contents);
        assert!(
            target.disk.flushes.load(Ordering::SeqCst) > 0,
            "qemu-img flushes at the end"
        );
    }
}

/// `qemu-io` on the disk of `fixture`, with these commands.
fn qemu_io(qemu: &Qemu, fixture: &Fixture, commands: &[&str]) -> Command {
    let mut command = qemu.io();
    command
        .args(["-t", "writeback", "-f", "raw"])
        .arg(fixture.uri("disk0"));
    for one in commands {
        command.args(["-c", one]);
    }
    command
}

#[test]
fn qemu_io_reads_writes_zeroes_and_discards() {
    for qemu in fleece_lab::qemus() {
        let fixture = Fixture::new(Memory::new(vec![7; MIB]));
        let commands = [
            "read -P 7 0 1M",
            "write -P 1 0 64k",
            "write -f -P 2 64k 4k",
            "write -z 128k 64k",
            "write -z -u 256k 64k",
            "discard 512k 64k",
            "aio_write -P 3 768k 128k",
            "aio_write -P 4 896k 128k",
            "aio_flush",
            "flush",
            "read -P 1 0 64k",
            "read -P 2 64k 4k",
            "read -P 0 128k 64k",
            "read -P 3 768k 128k",
            "read -P 4 1023k 1k",
        ];
        run(qemu_io(&qemu, &fixture, &commands), "");

        let mut expected = vec![7; MIB];
        for (start, length, byte) in [
            (0, 64, 1),
            (64, 4, 2),
            (128, 64, 0),
            (256, 64, 0),
            (512, 64, 0),
            (768, 128, 3),
            (896, 128, 4),
        ] {
            expected[start * KIB..][..length * KIB].fill(byte);
        }
        assert!(fixture.disk.contents() == expected, "{}", qemu.version());
    }
}

#[test]
fn a_forced_unit_access_write_is_flushed_before_its_reply() {
    for qemu in fleece_lab::qemus() {
        let fixture = Fixture::new(Memory::new(vec![0; MIB]));
        // Leaving flushes as well, in both cases.
        run(qemu_io(&qemu, &fixture, &["write 0 4k"]), "");
        let without = fixture.disk.flushes.swap(0, Ordering::SeqCst);
        run(qemu_io(&qemu, &fixture, &["write -f 0 4k"]), "");
        assert_eq!(fixture.disk.flushes.load(Ordering::SeqCst), without + 1);
    }
}

#[test]
fn nbdcopy_copies_both_ways_over_several_connections() {
    let Some(nbdcopy) = fleece_lab::require("nbdcopy") else {
        return;
    };
    let nbdcopy = |words: &str| run(Command::new(&nbdcopy), words);
    let contents = half_empty();
    let source = Fixture::new(Memory::new(contents.clone()));
    let copy = source.path("copy.raw");
    nbdcopy(&format!("--connections=4 {} {copy}", source.uri("disk0")));
    assert!(std::fs::read(&copy).unwrap() == contents);
    let target = Fixture::new(Memory::new(vec![0xff; 4 * MIB]));
    nbdcopy(&format!(
        "--connections=4 --flush {copy} {}",
        target.uri("disk0")
    ));
    assert!(target.disk.contents() == contents);
}

#[test]
fn nbdinfo_lists_the_exports_with_their_abilities() {
    let Some(nbdinfo) = fleece_lab::require("nbdinfo") else {
        return;
    };
    let nbdinfo = |words: &str| run(Command::new(&nbdinfo), words);
    let fixture = Fixture::new(Memory::new(half_empty()));
    let mut second = Memory::new(vec![0; MIB]);
    second.read_only = true;
    second.block_sizes = BlockSizes::new(512, 65536, 1 << 20).unwrap();
    fixture
        .server
        .add_export("disk1", Arc::new(second))
        .unwrap();
    let list = nbdinfo(&format!("--list --json {}", fixture.uri("")));
    for part in [
        r#""protocol": "newstyle-fixed""#,
        r#""structured": true"#,
        r#""export-name": "disk0""#,
        r#""export-size": 4194304"#,
        r#""is_read_only": false"#,
        r#""can_fast_zero": true"#,
        r#""can_multi_conn": true"#,
        r#""export-name": "disk1""#,
        r#""is_read_only": true"#,
        r#""can_trim": false"#,
        r#""block_size_minimum": 512"#,
        r#""block_size_preferred": 65536"#,
        r#""block_size_maximum": 1048576"#,
        r#""base:allocation""#,
    ] {
        assert!(list.contains(part), "{part} in {list}");
    }
    let map = nbdinfo(&format!("--map {}", fixture.uri("disk0")));
    let lines: Vec<Vec<_>> = map
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["0", "1048576", "0", "data"]);
    assert_eq!(lines[1], ["1048576", "2097152", "3", "hole,zero"]);
    assert_eq!(lines[2], ["3145728", "1048576", "0", "data"]);
}

#[test]
fn writes_to_a_read_only_export_are_refused() {
    for qemu in fleece_lab::qemus() {
        let mut disk = Memory::new(vec![7; MIB]);
        disk.read_only = true;
        let fixture = Fixture::new(disk);
        let refused = qemu_io(&qemu, &fixture, &["write 0 4k"]).output().unwrap();
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && words.contains("Permission denied"),
            "{words}"
        );
        run(qemu_io(&qemu, &fixture, &["read -P 7 0 1M"]), "-r");
        assert!(fixture.disk.contents() == vec![7; MIB]);
    }
}

#[test]
fn fio_verifies_what_it_wrote_with_many_requests_under_way() {
    let Some(fio) = fleece_lab::require("fio") else {
        return;
    };
    let fixture = Fixture::new(Memory::new(vec![0; 8 * MIB]));
    let job = format!(
        "--name=verify --ioengine=nbd --uri={} --rw=randwrite --bs=4k --size=8M --iodepth=32 \
         --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0",
        fixture.uri("disk0")
    );
    run(Command::new(fio), &job);
    let contents = fixture.disk.contents();
    assert!(
        contents
            .chunks(4096)
            .all(|block| block.iter().any(|byte| *byte != 0))
    );
}

#[test]
fn tcp_clients_on_this_machine_are_served() {
    let Some(nbdinfo) = fleece_lab::require("nbdinfo") else {
        return;
    };
    let anywhere = Address::Tcp("127.0.0.1:0".to_owned());
    let server = Server::start(&anywhere, &ServerOptions::default()).unwrap();
    server
        .add_export("disk0", Arc::new(Memory::new(vec![0; MIB])))
        .unwrap();
    let size = run(
        Command::new(nbdinfo),
        &format!("--size nbd://{}/disk0", server.address()),
    );
    assert_eq!(size.trim(), "1048576");
}
