//! The client writes to other people's servers, and to ours.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fleece_nbd::{
    Address, Client, Errno, Error, ErrorKind, Options, Server, ServerOptions, Zeroing,
};
use tempfile::TempDir;

use crate::memory::Memory;
use crate::programs::{Program, allocated, pattern, sparse_file};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn connect(address: &Address, export: &str) -> Client {
    Client::connect(address, export, &Options::default()).unwrap()
}

/// Writes all of `contents` in pieces, last one first, with `depth` requests under way.
fn write_all(client: &Client, contents: &[u8], piece: usize, depth: usize) {
    let mut queue = VecDeque::new();
    let pieces: Vec<_> = contents.chunks(piece).enumerate().collect();
    for (index, piece_of) in pieces.into_iter().rev() {
        if queue.len() == depth {
            let oldest: fleece_nbd::Pending = queue.pop_front().unwrap();
            assert_eq!(oldest.wait().unwrap(), Vec::<u8>::new());
        }
        let offset = (index * piece) as u64;
        queue.push_back(client.submit_write(offset, piece_of).unwrap());
    }
    for pending in queue {
        pending.wait().unwrap();
    }
}

/// What every server must do with a disk of 8 MiB that is empty at first.
fn exercise(client: &Client) -> Vec<u8> {
    let mut contents = pattern(8 * MIB as usize, 5);
    assert!(!client.is_read_only() && client.can_flush());
    for (piece, depth) in [(64 << 10, 16), (1 << 20, 4), (4096, 1)] {
        write_all(client, &contents, piece, depth);
        contents.reverse();
        write_all(client, &contents, piece, depth);
    }
    client
        .write_zeroes(MIB, 2 * MIB, Zeroing::default())
        .unwrap();
    client
        .write_zeroes(
            6 * MIB,
            64 * KIB,
            Zeroing::default().with_keep_allocated(true),
        )
        .unwrap();
    contents[MIB as usize..3 * MIB as usize].fill(0);
    contents[6 * MIB as usize..(6 * MIB + 64 * KIB) as usize].fill(0);
    client.flush().unwrap();
    let mut read = vec![1; contents.len()];
    client.read_at(0, &mut read).unwrap();
    assert!(read == contents);
    contents
}

#[test]
fn pipelined_writes_and_zeroes_reach_the_file_behind_a_storage_daemon() {
    for qemu in fleece_lab::qemus() {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("disk.raw");
        sparse_file(&image, 8 * MIB, &[]);
        let server = Program::storage_daemon(&qemu, dir, &image);
        let client = connect(&server.address(), "disk0");
        let contents = exercise(&client);
        assert!(std::fs::read(&image).unwrap() == contents);
        let before = allocated(&image);
        client.trim(4 * MIB, MIB).unwrap();
        assert!(before - allocated(&image) >= MIB - 16 * KIB);
    }
}

#[test]
fn pipelined_writes_and_zeroes_reach_the_file_behind_qemu_nbd() {
    for qemu in fleece_lab::qemus() {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("disk.raw");
        sparse_file(&image, 8 * MIB, &[]);
        let server = Program::qemu_nbd(&qemu, dir, &image, &["--discard=unmap"]);
        let contents = exercise(&connect(&server.address(), ""));
        assert!(std::fs::read(&image).unwrap() == contents);
    }
}

#[test]
fn pipelined_writes_and_zeroes_reach_nbdkit_with_either_style_of_replies() {
    for style in ["--newstyle", "--no-sr"] {
        let Some(server) = Program::nbdkit(&[style, "memory", "8M"]) else {
            return;
        };
        exercise(&connect(&server.address(), ""));
    }
}

#[test]
fn pipelined_writes_and_zeroes_reach_our_own_server() {
    let disk = Arc::new(Memory::new(vec![0; 8 << 20]));
    let anywhere = Address::Tcp("127.0.0.1:0".to_owned());
    let server = Server::start(&anywhere, &ServerOptions::default()).unwrap();
    server.add_export("", Arc::clone(&disk) as _).unwrap();
    let client = connect(server.address(), "");
    assert_eq!(client.connections(), 2);
    let contents = exercise(&client);
    assert!(disk.contents() == contents);
    assert_eq!(disk.flushes.load(Ordering::SeqCst), 1);
}

#[test]
fn zeroes_are_sent_as_data_to_a_server_that_cannot_write_them_itself() {
    let Some(server) = Program::nbdkit(&["--filter=nozero", "memory", "8M"]) else {
        return;
    };
    let client = connect(&server.address(), "");
    assert!(!client.can_write_zeroes());
    exercise(&client);
    let fast = Zeroing::default().with_only_if_fast(true);
    for error in [
        client.write_zeroes(0, MIB, fast).unwrap_err(),
        client
            .submit_write_zeroes(0, MIB, Zeroing::default())
            .map(drop)
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn zeroes_that_would_be_slow_are_refused_where_only_fast_ones_are_wanted() {
    let Some(server) = Program::nbdkit(&[
        "--filter=nozero",
        "memory",
        "1M",
        "zeromode=emulate",
        "fastzeromode=slow",
    ]) else {
        return;
    };
    let client = connect(&server.address(), "");
    let fast = Zeroing::default().with_only_if_fast(true);
    let error = client.write_zeroes(0, MIB, fast).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::NotSupported));
    client.write_zeroes(0, MIB, Zeroing::default()).unwrap();
}

#[test]
fn zeroing_and_trimming_go_beyond_what_one_request_can_name() {
    let Some(server) = Program::nbdkit(&["memory", "20G"]) else {
        return;
    };
    let client = connect(&server.address(), "");
    let size = client.size();
    client.write_at(size - 4096, &pattern(4096, 6)).unwrap();
    client.trim(0, size).unwrap();
    client.write_at(size - 4096, &pattern(4096, 6)).unwrap();
    client.write_zeroes(0, size, Zeroing::default()).unwrap();
    let extents = client.block_status(0, size).unwrap();
    assert!(extents.iter().all(|extent| extent.zero), "{extents:?}");
}

#[test]
fn a_read_only_export_is_not_asked_to_change() {
    let Some(server) = Program::nbdkit(&["-r", "memory", "1M"]) else {
        return;
    };
    let client = connect(&server.address(), "");
    assert!(client.is_read_only());
    let refused = |result: Result<(), Error>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Unsupported);
    };
    refused(client.write_at(0, &[1; 4096]));
    refused(client.write_zeroes(0, 4096, Zeroing::default()));
}

#[test]
fn ranges_that_must_not_be_written_are_not_sent() {
    let Some(server) = Program::nbdkit(&[
        "--filter=blocksize-policy",
        "memory",
        "1M",
        "blocksize-minimum=4096",
        "blocksize-maximum=256K",
    ]) else {
        return;
    };
    let client = connect(&server.address(), "");
    for (offset, length) in [(MIB, 4096), (512, 4096), (0, 512), (0, 0), (0, 512 << 10)] {
        let error = client.submit_write(offset, &vec![1; length]);
        let error = error.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{offset}+{length}");
    }
    let contents = pattern(MIB as usize, 7);
    client.write_at(0, &contents).unwrap();
    let mut read = vec![0; contents.len()];
    client.read_at(0, &mut read).unwrap();
    assert!(read == contents);
}

#[test]
fn a_write_that_fails_at_the_server_fails_alone() {
    let Some(server) = Program::nbdkit(&[
        "eval",
        "get_size=echo 131072",
        "can_write=exit 0",
        "pread=head -c $3 /dev/zero",
        "pwrite=cat >/dev/null; if [ $4 -ge 65536 ]; then echo 'ENOSPC it is full' >&2; exit 1; fi",
    ]) else {
        return;
    };
    let client = connect(&server.address(), "");
    let bad = client.submit_write(65536, &[1; 4096]).unwrap();
    let good = client.submit_write(0, &[1; 4096]).unwrap();
    assert_eq!(bad.wait().unwrap_err().errno(), Some(Errno::NoSpace));
    good.wait().unwrap();
}

#[test]
fn a_server_that_stops_reading_ends_a_write_at_its_timeout() {
    for qemu in fleece_lab::qemus() {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("disk.raw");
        sparse_file(&image, 64 * MIB, &[]);
        let server = Program::qemu_nbd(&qemu, dir, &image, &[]);
        let options = Options::default().with_request_timeout(Some(Duration::from_millis(200)));
        let client = Client::connect(&server.address(), "", &options).unwrap();
        server.freeze();
        // More than the socket holds, so that the sending itself has to wait.
        let error = client.write_at(0, &vec![1; 16 << 20]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let later = client.flush().unwrap_err();
        assert_eq!(later.kind(), ErrorKind::Timeout);
    }
}

#[test]
fn a_server_that_dies_during_a_write_fails_it() {
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(Memory::new(vec![0; 1 << 20]));
    let real = Address::Unix(dir.path().join("real.sock"));
    let server = Server::start(&real, &ServerOptions::default()).unwrap();
    server.add_export("", Arc::clone(&disk) as _).unwrap();
    let client = connect(&real, "");
    server.shutdown(Duration::ZERO).unwrap();
    let error = client.write_at(0, &[1; 4096]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(disk.contents() == vec![0; 1 << 20]);
}
