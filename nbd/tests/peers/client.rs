//! The client against other people's servers.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use fleece_nbd::{Address, Client, Errno, Error, ErrorKind, Extent, Options, Pending};
use tempfile::TempDir;

use crate::programs::{Program, allocated, pattern, sparse_file};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn connect(server: &Program, export: &str) -> Client {
    Client::connect(&server.address(), export, &Options::default()).unwrap()
}

fn connect_error(server: &Program, export: &str) -> Error {
    Client::connect(&server.address(), export, &Options::default()).unwrap_err()
}

/// Lengths with `D` for data and `z` for a hole that reads as zeroes.
fn summary(extents: &[Extent]) -> String {
    let one = |extent: &Extent| {
        let kind = match (extent.hole, extent.zero) {
            (false, false) => 'D',
            (true, true) => 'z',
            (true, false) => 'h',
            (false, true) => '0',
        };
        format!("{}{kind}", extent.length)
    };
    extents.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Reads all of an export with `depth` requests under way.
fn read_all(client: &Client, chunk: u64, depth: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut queue = VecDeque::new();
    let mut offset = 0;
    while offset < client.size() || !queue.is_empty() {
        while queue.len() < depth && offset < client.size() {
            let length = chunk.min(client.size() - offset);
            queue.push_back(
                client
                    .submit_read(offset, vec![0xff; length as usize])
                    .unwrap(),
            );
            offset += length;
        }
        all.extend(queue.pop_front().unwrap().wait().unwrap());
    }
    all
}

#[test]
fn pipelined_reads_of_qemu_nbd_return_the_contents_over_two_connections() {
    for qemu in fleece_lab::qemus() {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("disk.raw");
        let contents = pattern(5 * MIB as usize + 512, 1);
        std::fs::write(&image, &contents).unwrap();
        let server = Program::qemu_nbd(&qemu, dir, &image, &["--read-only"]);
        let client = connect(&server, "");
        assert_eq!(client.size(), contents.len() as u64);
        assert_eq!(client.connections(), 2);
        client
            .submit_prime()
            .unwrap()
            .map(Pending::wait)
            .transpose()
            .unwrap();
        for (chunk, depth) in [(64 * KIB, 1), (256 * KIB, 16), (MIB, 4), (512, 40)] {
            assert!(
                read_all(&client, chunk, depth) == contents,
                "chunk {chunk}, depth {depth}"
            );
        }
        client.disconnect();
    }
}

#[test]
fn several_threads_share_one_client() {
    let Some(server) = Program::nbdkit(&["pattern", "8M"]) else {
        return;
    };
    let client = connect(&server, "");
    thread::scope(|scope| {
        for thread in 0..4u64 {
            let client = &client;
            scope.spawn(move || {
                for step in 0..200u64 {
                    // Each word of the pattern tells its place.
                    let place = (thread * 7919 + step * 104_729) % (8 * MIB / 512) * 512;
                    let read = client
                        .submit_read(place, vec![0; 512])
                        .unwrap()
                        .wait()
                        .unwrap();
                    assert_eq!(read[..8], place.to_be_bytes());
                    assert_eq!(client.block_status(place, 512).unwrap().len(), 1);
                }
            });
        }
    });
}

#[test]
fn holes_of_a_sparse_file_are_reported_and_read_as_zeroes_into_a_dirty_buffer() {
    for qemu in fleece_lab::qemus() {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("disk.raw");
        let block = pattern(64 * KIB as usize, 2);
        sparse_file(&image, 2 * MIB, &[(0, &block), (MIB, &block)]);
        let server = Program::qemu_nbd(&qemu, dir, &image, &[]);
        let client = connect(&server, "");
        assert!(client.can_block_status());
        let extents = client.block_status(0, 2 * MIB).unwrap();
        assert_eq!(summary(&extents), "65536D 983040z 65536D 983040z");
        let part = client.block_status(32 * KIB, 64 * KIB).unwrap();
        assert_eq!(summary(&part), "32768D 32768z");

        let read = client
            .submit_read(0, vec![0xff; 2 * MIB as usize])
            .unwrap()
            .wait()
            .unwrap();
        assert!(read == std::fs::read(&image).unwrap());
    }
}

#[test]
fn block_status_covers_an_export_larger_than_a_request_can_be() {
    let Some(server) = Program::nbdkit(&["memory", "64G"]) else {
        return;
    };
    let client = connect(&server, "");
    let extents = client.block_status(0, client.size()).unwrap();
    assert_eq!(summary(&extents), format!("{}z", 64u64 << 30));
}

#[test]
fn trim_frees_space_in_the_file_behind_a_storage_daemon() {
    for qemu in fleece_lab::qemus() {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("disk.raw");
        let contents = pattern(4 * MIB as usize, 3);
        sparse_file(&image, 4 * MIB, &[(0, &contents)]);
        let full = allocated(&image);
        let server = Program::storage_daemon(&qemu, dir, &image);
        let client = connect(&server, "disk0");
        assert!(client.can_trim());
        let trims: Vec<_> = (1..4)
            .map(|i| client.submit_trim(i * MIB, 512 * KIB).unwrap())
            .collect();
        for trim in trims {
            assert_eq!(trim.wait().unwrap(), Vec::<u8>::new());
        }
        // The file system may take a few blocks itself to keep track of more pieces.
        let freed = full - allocated(&image);
        assert!(freed.abs_diff(3 * 512 * KIB) <= 16 * KIB, "{freed}");
        assert_eq!(
            summary(&client.block_status(MIB, MIB).unwrap()),
            "524288z 524288D"
        );
        let mut kept = vec![0; MIB as usize];
        client.read_at(0, &mut kept).unwrap();
        assert!(kept == contents[..MIB as usize]);
    }
}

#[test]
fn a_server_that_cannot_trim_is_asked_for_no_trim() {
    let Some(server) = Program::nbdkit(&["-r", "memory", "1M"]) else {
        return;
    };
    let error = connect(&server, "").submit_trim(0, 4096).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_server_with_simple_replies_only_is_read_and_everything_is_data() {
    let Some(server) = Program::nbdkit(&["--no-sr", "pattern", "3M"]) else {
        return;
    };
    let client = connect(&server, "");
    assert!(!client.can_block_status());
    assert_eq!(
        summary(&client.block_status(0, 3 * MIB).unwrap()),
        "3145728D"
    );
    let contents = read_all(&client, 128 * KIB, 8);
    let expected: Vec<u8> = (0..3 * MIB).step_by(8).flat_map(u64::to_be_bytes).collect();
    assert!(contents == expected);
}

#[test]
fn one_connection_is_used_when_the_server_does_not_promise_multi_conn() {
    let Some(server) = Program::nbdkit(&[
        "--filter=multi-conn",
        "memory",
        "1M",
        "multi-conn-mode=disable",
    ]) else {
        return;
    };
    assert_eq!(connect(&server, "").connections(), 1);
}

#[test]
fn a_server_error_fails_its_request_only_and_carries_the_number() {
    for (name, errno) in [
        ("EIO", Errno::Io),
        ("EINVAL", Errno::Invalid),
        ("EPERM", Errno::Permission),
    ] {
        let script = format!(
            "if [ $4 -ge 65536 ]; then echo '{name} snapshot is broken' >&2; exit 1; fi; head -c $3 /dev/zero"
        );
        for style in ["--no-sr", "--newstyle"] {
            let Some(server) = Program::nbdkit(&[
                style,
                "eval",
                "get_size=echo 131072",
                &format!("pread={script}"),
            ]) else {
                return;
            };
            let client = connect(&server, "");
            let bad = client.submit_read(65536, vec![0; 4096]).unwrap();
            let good = client.submit_read(0, vec![1; 4096]).unwrap();
            let error = bad.wait().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Server(errno), "{style}");
            assert_eq!(error.errno(), Some(errno));
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(good.wait().unwrap(), vec![0; 4096]);
        }
    }
}

#[test]
fn an_unknown_export_is_refused_with_the_names_that_exist() {
    for qemu in fleece_lab::qemus() {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("disk.raw");
        sparse_file(&image, MIB, &[]);
        let server = Program::storage_daemon(&qemu, dir, &image);
        let error = connect_error(&server, "disk1");
        assert_eq!(error.kind(), ErrorKind::UnknownExport);
        assert_eq!(
            error.to_string(),
            r#"the NBD server has no export "disk1"; it has "disk0""#
        );
    }
}

#[test]
fn a_server_that_demands_tls_is_refused_with_that_reason() {
    let dir = TempDir::new().unwrap();
    let psk = dir.path().join("keys.psk");
    std::fs::write(&psk, "user:00112233445566778899aabbccddeeff\n").unwrap();
    let keys = format!("--tls-psk={}", psk.display());
    let Some(server) = Program::nbdkit(&["--tls=require", &keys, "memory", "1M"]) else {
        return;
    };
    let error = connect_error(&server, "");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("demands TLS"), "{error}");
}

#[test]
fn a_killed_server_fails_every_request_under_way_and_every_later_one() {
    let Some(mut server) = Program::nbdkit(&["--filter=delay", "memory", "4M", "delay-read=600"])
    else {
        return;
    };
    let client = connect(&server, "");
    let waiting: Vec<_> = (0..8)
        .map(|i| client.submit_read(i * 4096, vec![0; 4096]).unwrap())
        .collect();
    server.kill();
    for pending in waiting {
        assert_eq!(pending.wait().unwrap_err().kind(), ErrorKind::Disconnected);
    }
    let later = client
        .submit_read(0, vec![0; 4096])
        .map(|_| ())
        .unwrap_err();
    assert_eq!(later.kind(), ErrorKind::Disconnected);
    assert_eq!(
        client.block_status(0, 4096).unwrap_err().kind(),
        ErrorKind::Disconnected
    );
}

#[test]
fn a_stalled_server_ends_a_request_at_its_timeout_and_the_client_with_it() {
    for qemu in fleece_lab::qemus() {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("disk.raw");
        sparse_file(&image, MIB, &[]);
        let server = Program::qemu_nbd(&qemu, dir, &image, &[]);
        let timeout = Duration::from_millis(300);
        let options = Options::default().with_request_timeout(Some(timeout));
        let client = Client::connect(&server.address(), "", &options).unwrap();
        server.freeze();
        let start = Instant::now();
        let first = client.submit_read(0, vec![0; 4096]).unwrap();
        let second = client.submit_read(0, vec![0; 4096]).unwrap();
        let early = first.wait_timeout(Duration::from_millis(10)).unwrap();
        assert_eq!(early, None);
        assert_eq!(first.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert!(start.elapsed() >= timeout);
        assert_eq!(second.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_reply_that_came_in_time_counts_however_late_it_is_fetched() {
    let Some(server) = Program::nbdkit(&["pattern", "1M"]) else {
        return;
    };
    let timeout = Duration::from_millis(200);
    let options = Options::default()
        .with_connections(1)
        .with_request_timeout(Some(timeout));
    let client = Client::connect(&server.address(), "", &options).unwrap();
    let start = Instant::now();
    let early = client.submit_read(0, vec![0; 4096]).unwrap();
    while start.elapsed() < 2 * timeout {
        client
            .submit_read(0, vec![0; 4096])
            .unwrap()
            .wait()
            .unwrap();
    }
    early.wait().unwrap();
}

#[test]
fn a_server_that_accepts_and_says_nothing_times_out() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("nbd.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let options = Options::default().with_connect_timeout(Duration::from_millis(100));
    let error = Client::connect(&Address::Unix(socket), "", &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[test]
fn a_server_that_never_accepts_times_out() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket};
    let dir = TempDir::new().unwrap();
    let socket_path = dir.path().join("nbd.sock");
    let address = SocketAddrUnix::new(&socket_path).unwrap();
    let new_socket = || socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    let (listener, first) = (new_socket(), new_socket());
    bind(&listener, &address).unwrap();
    listen(&listener, 0).unwrap();
    connect(&first, &address).unwrap();
    let options = Options::default().with_connect_timeout(Duration::from_millis(100));
    let error = Client::connect(&Address::Unix(socket_path), "", &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
}

#[test]
fn aborting_from_another_thread_ends_a_wait() {
    let Some(server) = Program::nbdkit(&["--filter=delay", "memory", "1M", "delay-read=600"])
    else {
        return;
    };
    let client = connect(&server, "");
    let pending = client.submit_read(0, vec![0; 4096]).unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pending.wait());
        client.abort();
        assert_eq!(
            waiter.join().unwrap().unwrap_err().kind(),
            ErrorKind::Disconnected
        );
    });
}

#[test]
fn a_missing_socket_is_a_connect_error_that_names_it() {
    let address = Address::Unix("/nonexistent/nbd.sock".into());
    let error = Client::connect(&address, "", &Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(
        error.to_string().contains("/nonexistent/nbd.sock"),
        "{error}"
    );
}

#[test]
fn ranges_outside_the_export_or_its_alignment_are_not_sent() {
    let Some(server) = Program::nbdkit(&[
        "--filter=blocksize-policy",
        "memory",
        "1M",
        "blocksize-minimum=4096",
        "blocksize-maximum=256K",
    ]) else {
        return;
    };
    let client = connect(&server, "");
    assert_eq!(client.block_sizes().minimum, 4096);
    assert_eq!(client.block_sizes().max_payload, 256 << 10);
    for (offset, length) in [
        (MIB, 4096),
        (MIB - 4096, 8192),
        (u64::MAX, 4096),
        (512, 4096),
        (0, 512),
        (0, 0),
        (0, 512 << 10),
    ] {
        let error = client
            .submit_read(offset, vec![0; length])
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{offset}+{length}");
    }
    let mut all = vec![1; MIB as usize];
    client.read_at(0, &mut all).unwrap();
    assert!(all.iter().all(|byte| *byte == 0));
}

#[test]
fn replies_that_arrive_in_tiny_pieces_are_put_together() {
    for qemu in fleece_lab::qemus() {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("disk.raw");
        let block = pattern(64 * KIB as usize, 4);
        sparse_file(&image, 256 * KIB, &[(0, &block), (128 * KIB, &block)]);
        let server = Program::qemu_nbd(&qemu, dir, &image, &[]);
        let proxy = server.dir.path().join("proxy.sock");
        let listener = UnixListener::bind(&proxy).unwrap();
        let target = server.socket().to_owned();
        thread::spawn(move || {
            for client in listener.incoming() {
                fragment(client.unwrap(), UnixStream::connect(&target).unwrap());
            }
        });
        let client = Client::connect(&Address::Unix(proxy), "", &Options::default()).unwrap();
        assert!(read_all(&client, 96 * KIB, 3) == std::fs::read(&image).unwrap());
        let extents = client.block_status(0, client.size()).unwrap();
        assert_eq!(summary(&extents), "65536D 65536z 65536D 65536z");
    }
}

/// Passes bytes on in both directions, those of the server in pieces of 1 to 97 bytes.
fn fragment(client: UnixStream, server: UnixStream) {
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    thread::spawn(move || {
        let (mut from_server, mut to_client) = (server, client);
        let mut size = 1;
        loop {
            let mut piece = [0; 97];
            match from_server.read(&mut piece[..size]) {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    if to_client.write_all(&piece[..count]).is_err() {
                        return;
                    }
                }
            }
            size = size % 97 + 1;
        }
    });
}
