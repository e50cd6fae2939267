//! The server with other people's clients.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fleece_nbd::{Address, BlockSizes, Server, ServerOptions};
use tempfile::TempDir;

use crate::memory::Memory;
use crate::programs::{output, pattern, require, run};

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
    require!("qemu-img");
    let fixture = Fixture::new(Memory::new(half_empty()));
    let info = run("qemu-img", ["info", "--output=json", &fixture.uri("disk0")]);
    assert!(info.contains(r#""virtual-size": 4194304"#), "{info}");
}

#[test]
fn qemu_img_maps_data_and_holes() {
    require!("qemu-img");
    let fixture = Fixture::new(Memory::new(half_empty()));
    let map = run(
        "qemu-img",
        ["map", "--output=json", "-f", "raw", &fixture.uri("disk0")],
    );
    let map: String = map.split_whitespace().collect();
    let kinds: Vec<_> = map
        .split("},{")
        .map(|extent| {
            let of = |field: &str| {
                extent
                    .split(field)
                    .nth(1)
                    .unwrap()
                    .split(',')
                    .next()
                    .unwrap()
            };
            (
                of("\"start\":"),
                of("\"length\":"),
                of("\"zero\":"),
                of("\"data\":"),
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("0", "1048576", "false", "true"),
            ("1048576", "2097152", "true", "false"),
            ("3145728", "1048576", "false", "true"),
        ]
    );
}

#[test]
fn qemu_img_converts_from_and_to_the_server() {
    require!("qemu-img");
    let contents = half_empty();
    let fixture = Fixture::new(Memory::new(contents.clone()));
    let copy = fixture.path("copy.qcow2");
    run(
        "qemu-img",
        [
            "convert",
            "-f",
            "raw",
            "-O",
            "qcow2",
            &fixture.uri("disk0"),
            &copy,
        ],
    );
    let target = Fixture::new(Memory::new(vec![0xff; 4 * MIB]));
    run(
        "qemu-img",
        [
            "convert",
            "-n",
            "-f",
            "qcow2",
            "-O",
            "raw",
            &copy,
            &target.uri("disk0"),
        ],
    );
    assert!(target.disk.contents() == contents);
    assert!(
        target.disk.flushes.load(Ordering::SeqCst) > 0,
        "qemu-img flushes at the end"
    );
}

#[test]
fn qemu_io_reads_writes_zeroes_and_discards() {
    require!("qemu-io");
    let fixture = Fixture::new(Memory::new(vec![7; MIB]));
    let mut arguments = vec!["-f".to_owned(), "raw".to_owned(), fixture.uri("disk0")];
    for command in [
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
    ] {
        arguments.extend(["-c".to_owned(), command.to_owned()]);
    }
    run("qemu-io", &arguments);

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
    assert!(fixture.disk.contents() == expected);
}

#[test]
fn a_forced_unit_access_write_is_flushed_before_its_reply() {
    require!("qemu-io");
    let fixture = Fixture::new(Memory::new(vec![0; MIB]));
    let uri = fixture.uri("disk0");
    let write = |command| {
        run(
            "qemu-io",
            ["-t", "writeback", "-f", "raw", &uri, "-c", command],
        )
    };
    // Leaving flushes as well, in both cases.
    write("write 0 4k");
    let without = fixture.disk.flushes.swap(0, Ordering::SeqCst);
    write("write -f 0 4k");
    assert_eq!(fixture.disk.flushes.load(Ordering::SeqCst), without + 1);
}

#[test]
fn nbdcopy_copies_both_ways_over_several_connections() {
    require!("nbdcopy");
    let contents = half_empty();
    let fixture = Fixture::new(Memory::new(contents.clone()));
    let copy = fixture.path("copy.raw");
    run("nbdcopy", ["--connections=4", &fixture.uri("disk0"), &copy]);
    assert!(std::fs::read(&copy).unwrap() == contents);
    let target = Fixture::new(Memory::new(vec![0xff; 4 * MIB]));
    run(
        "nbdcopy",
        ["--connections=4", "--flush", &copy, &target.uri("disk0")],
    );
    assert!(target.disk.contents() == contents);
}

#[test]
fn nbdinfo_lists_the_exports_with_their_abilities() {
    require!("nbdinfo");
    let fixture = Fixture::new(Memory::new(half_empty()));
    let mut second = Memory::new(vec![0; MIB]);
    second.read_only = true;
    second.block_sizes = BlockSizes::new(512, 65536, 1 << 20).unwrap();
    fixture
        .server
        .add_export("disk1", Arc::new(second))
        .unwrap();
    let list = run("nbdinfo", ["--list", "--json", &fixture.uri("")]);
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
    let map = run("nbdinfo", ["--map", &fixture.uri("disk0")]);
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
    require!("qemu-io");
    let mut disk = Memory::new(vec![7; MIB]);
    disk.read_only = true;
    let fixture = Fixture::new(disk);
    let uri = fixture.uri("disk0");
    let refused = output("qemu-io", ["-f", "raw", &uri, "-c", "write 0 4k"]);
    assert!(!refused.status.success());
    run("qemu-io", ["-r", "-f", "raw", &uri, "-c", "read -P 7 0 1M"]);
    assert!(fixture.disk.contents() == vec![7; MIB]);
}

#[test]
fn fio_verifies_what_it_wrote_with_many_requests_under_way() {
    require!("fio");
    let fixture = Fixture::new(Memory::new(vec![0; 8 * MIB]));
    run(
        "fio",
        [
            "--name=verify",
            "--ioengine=nbd",
            &format!("--uri={}", fixture.uri("disk0")),
            "--rw=randwrite",
            "--bs=4k",
            "--size=8M",
            "--iodepth=32",
            "--verify=crc32c",
            "--verify_fatal=1",
            "--do_verify=1",
            "--verify_state_save=0",
        ],
    );
    assert!(
        fixture
            .disk
            .contents()
            .chunks(4096)
            .all(|block| block.iter().any(|byte| *byte != 0))
    );
}

#[test]
fn tcp_clients_on_this_machine_are_served() {
    require!("nbdinfo");
    let server = Server::start(
        &Address::Tcp("127.0.0.1:0".to_owned()),
        &ServerOptions::default(),
    )
    .unwrap();
    server
        .add_export("disk0", Arc::new(Memory::new(vec![0; MIB])))
        .unwrap();
    let size = run(
        "nbdinfo",
        ["--size", &format!("nbd://{}/disk0", server.address())],
    );
    assert_eq!(size.trim(), "1048576");
}
