mod fuse;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fleece_storage::block::{MemoryDevice, WriteAt};
use tempfile::TempDir;

use super::*;
use crate::cbw::{ClusterSize, Filter, Options, Snapshot};
use crate::job::archive::content::Content;
use crate::job::archive::{ArchiveOptions, archive};
use crate::job::cancel::CancelToken;
use crate::pipeline::source::Source;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Event, Reporter};
use crate::target::options::ArchiveTarget;

struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Event) {}
}

fn options(cluster_size: u64) -> Options {
    Options {
        cluster_size: ClusterSize::new(cluster_size).unwrap(),
        ..Options::default()
    }
}

fn to(dir: &TempDir, name: &str) -> ArchiveOptions {
    let target = ArchiveTarget::file(dir.path().join(name));
    ArchiveOptions::new(Content::new([0; 16], 0), target)
}

/// Takes the instant of a server's disks.
fn take(server: &Server, fleecing: &Path) -> Result<Guest, Error> {
    let options = options(65536);
    Guest::attach(server.control(), fleecing, &options, &CancelToken::new())
}

/// 1.5 MiB and a bit, with a hole.
fn content() -> Vec<u8> {
    let mut content: Vec<u8> = (0..1_600_000_u32).map(|n| (n / 100 + 1) as u8).collect();
    content[300_000..900_000].fill(0);
    content
}

#[test]
fn an_image_that_ends_in_a_sector_is_filled_up_with_zeroes() {
    let image = MemoryDevice::with_content(&[7; 1000]);
    let source = ImageSource::new("drive-a", Arc::new(image));
    assert_eq!(source.size(), 1024);
    let read = source.read(0, vec![1; 1024]).unwrap();
    assert!(read[..1000] == [7; 1000] && read[1000..] == [0; 24]);
    let extents = source.block_status(0, 1024).unwrap();
    assert_eq!(
        extents.iter().map(|extent| extent.length).sum::<u64>(),
        1024
    );
    assert!(!extents[0].zero);
}

#[test]
fn a_snapshot_of_a_written_disk_and_a_still_image_give_the_same_archive() {
    let dir = TempDir::new().unwrap();
    let still = MemoryDevice::with_content(&content());
    still.write_zeroes(300_000, 600_000).unwrap();
    let image: Arc<dyn Source> = Arc::new(ImageSource::new("drive-a", Arc::new(still)));
    let from_image = to(&dir, "image.vma");
    archive(&[image], &from_image, None, &Silent, &CancelToken::new()).unwrap();

    let filter = Filter::new(Arc::new(MemoryDevice::with_content(&content())));
    let target = Arc::new(MemoryDevice::new(1_600_000));
    let disks = vec![(Arc::clone(&filter), Arc::clone(&target) as _)];
    let snapshot = Snapshot::attach(disks, &options(65536)).unwrap();
    for offset in (0..1_500_000).step_by(77_777) {
        filter.write_at(&[0xaa; 50_000], offset).unwrap();
    }
    let view = snapshot.views()[0].clone();
    let source: Arc<dyn Source> = Arc::new(SnapshotSource::new("drive-a", view));
    let from_snapshot = to(&dir, "snapshot.vma");
    let archived = archive(
        &[source],
        &from_snapshot,
        None,
        &Silent,
        &CancelToken::new(),
    )
    .unwrap();

    assert_eq!(archived.disks, 1_600_000);
    let read = |name| std::fs::read(dir.path().join(name)).unwrap();
    assert!(read("image.vma") == read("snapshot.vma"));
    assert_eq!(target.allocated(), 0, "what was read is freed");
}

#[test]
fn clusters_are_released_when_their_last_part_is() {
    let filter = Filter::new(Arc::new(MemoryDevice::with_content(&[1; 700_000])));
    let target = Arc::new(MemoryDevice::new(700_000));
    let disks = vec![(Arc::clone(&filter), Arc::clone(&target) as _)];
    let snapshot = Snapshot::attach(disks, &options(256 << 10)).unwrap();
    filter.write_at(&[2; 700_000], 0).unwrap();
    let source = SnapshotSource::new("drive-a", snapshot.views()[0].clone());
    let held = || snapshot.usage().held;

    source.release(65536, 100_000).unwrap();
    source.release(0, 65536).unwrap();
    assert_eq!(held(), 700_000);
    source.release(165_536, (256 << 10) - 165_536 + 10).unwrap();
    assert_eq!(held(), 700_000 - (256 << 10));
    source
        .release((256 << 10) + 10, 700_000 - (256 << 10) - 10)
        .unwrap();
    assert_eq!((held(), target.allocated()), (0, 0));
}

#[test]
fn a_broken_snapshot_ends_the_backup_with_the_cause_and_without_an_archive() {
    let dir = TempDir::new().unwrap();
    let filter = Filter::new(Arc::new(MemoryDevice::with_content(&content())));
    let target = Arc::new(MemoryDevice::new(1_600_000));
    let disks = vec![(Arc::clone(&filter), target as _)];
    let snapshot = Snapshot::attach(disks, &options(65536)).unwrap();
    let view = snapshot.views()[0].clone();
    snapshot.detach();
    let source: Arc<dyn Source> = Arc::new(SnapshotSource::new("drive-a", view));
    let job = to(&dir, "archive.vma");
    let error = archive(&[source], &job, None, &Silent, &CancelToken::new()).unwrap_err();
    assert!(
        error.chain().contains("has been detached"),
        "{}",
        error.chain()
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_filter_is_a_disk_over_nbd() {
    use fleece_nbd::{Address, Client, Server, ServerOptions};

    let filter = Filter::new(Arc::new(MemoryDevice::with_content(&content())));
    let dir = TempDir::new().unwrap();
    let address = Address::Unix(dir.path().join("nbd.sock"));
    let server = Server::start(&address, &ServerOptions::default()).unwrap();
    let export = FilterExport::new(Arc::clone(&filter) as _);
    server.add_export("disk", Arc::new(export)).unwrap();

    let client = Client::connect(&address, "disk", &fleece_nbd::Options::default()).unwrap();
    assert_eq!(client.size(), 1_600_000);
    let read = client
        .submit_read(1000, vec![0; 5000])
        .unwrap()
        .wait()
        .unwrap();
    assert!(read == content()[1000..6000]);
    client.disconnect();
    server.shutdown(Duration::from_secs(5)).unwrap();
}

#[test]
fn a_guest_of_another_process_is_backed_up_as_it_was() {
    let dir = TempDir::new().unwrap();
    let disk = MemoryDevice::with_content(&content());
    let server = Server::start(vec![("drive-a".into(), Arc::new(disk) as _)], dir.path()).unwrap();
    let guest = take(&server, dir.path()).unwrap();
    let busy = take(&server, dir.path()).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy, "{}", busy.chain());

    write_over_nbd(&server, 10_000, 500_000);
    let job = to(&dir, "archive.vma");
    guest
        .archive(None, &job, &Silent, &CancelToken::new())
        .unwrap();
    guest.detach().unwrap();

    let still = ImageSource::new("drive-a", Arc::new(MemoryDevice::with_content(&content())));
    let expected = to(&dir, "expected.vma");
    archive(
        &[Arc::new(still) as _],
        &expected,
        None,
        &Silent,
        &CancelToken::new(),
    )
    .unwrap();
    let read = |name| std::fs::read(dir.path().join(name)).unwrap();
    assert!(read("archive.vma") == read("expected.vma"));
    assert!(read("archive.vma.idx") == read("expected.vma.idx"));

    // Also a backup that dies gives the instant back.
    drop(take(&server, dir.path()).unwrap());
    attach_soon(&server, dir.path());
    drop(server);
    let mut left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    let archives = [
        "archive.vma",
        "archive.vma.idx",
        "expected.vma",
        "expected.vma.idx",
    ];
    assert_eq!(left, archives);
}

/// Writes as a guest would, with QEMU's client.
fn write_over_nbd(server: &Server, offset: u64, length: u64) {
    qemu_io(server, &format!("write -P 0xaa {offset} {length}"));
}

fn qemu_io(server: &Server, command: &str) {
    let uri = format!("nbd+unix:///drive-a?socket={}", server.nbd().display());
    match std::process::Command::new("qemu-io")
        .args(["-f", "raw", "-d", "unmap", "-c", command, &uri])
        .output()
    {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => eprintln!("SKIP: qemu-io: {error}"),
    }
}

#[test]
fn zeroes_keep_their_space_unless_the_guest_gives_it_up() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("disk");
    let disk = fleece_storage::block::RawFile::create(&path, 1 << 20).unwrap();
    disk.write_at(&[7; 1 << 20], 0).unwrap();
    let server = Server::start(vec![("drive-a".into(), Arc::new(disk) as _)], dir.path()).unwrap();
    let blocks = || std::fs::metadata(&path).unwrap().blocks();
    let before = blocks();
    qemu_io(&server, "write -z 0 512k");
    assert_eq!(blocks(), before);
    qemu_io(&server, "write -z -u 0 512k");
    assert!(blocks() < before);
    assert!(
        std::fs::read(&path).unwrap()[..512 << 10]
            .iter()
            .all(|byte| *byte == 0)
    );
}

/// The server notices the end of a connection a moment later.
fn attach_soon(server: &Server, fleecing: &Path) {
    for _ in 0..1000 {
        match take(server, fleecing) {
            Ok(guest) => return guest.detach().unwrap(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Request, "{}", error.chain()),
        }
        std::thread::yield_now();
    }
    panic!("the instant was not given back");
}

#[test]
fn what_a_guest_feels_before_its_backup_is_known() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let dir = TempDir::new().unwrap();
    let disk = MemoryDevice::with_content(&content());
    let server = Server::start(vec![("drive-a".into(), Arc::new(disk) as _)], dir.path()).unwrap();
    assert_eq!(
        take(&server, dir.path()).unwrap().before(),
        None,
        "it is idle"
    );
    let done = AtomicBool::new(false);
    let before = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                write_over_nbd(&server, 0, 4096);
            }
        });
        let before = std::iter::repeat_with(|| take(&server, dir.path()))
            .filter_map(|guest| guest.ok()?.before())
            .next();
        done.store(true, Ordering::Relaxed);
        before
    });
    let before = before.unwrap();
    assert!(
        before > Duration::ZERO && before < Duration::from_secs(10),
        "{before:?}"
    );
}

#[test]
fn a_directory_has_one_server_and_a_dead_one_is_replaced() {
    let dir = TempDir::new().unwrap();
    // What a killed server leaves.
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("control.sock")).unwrap());
    let disks = || vec![("drive-a".into(), Arc::new(MemoryDevice::new(4096)) as _)];
    let server = Server::start(disks(), dir.path()).unwrap();
    let error = Server::start(disks(), dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request, "{}", error.chain());
    take(&server, dir.path()).unwrap();
}

#[test]
fn a_server_that_goes_away_ends_the_backup_and_leaves_no_archive() {
    let dir = TempDir::new().unwrap();
    let disk = MemoryDevice::with_content(&content());
    let server = Server::start(vec![("drive-a".into(), Arc::new(disk) as _)], dir.path()).unwrap();
    let guest = take(&server, dir.path()).unwrap();
    drop(server);
    let job = to(&dir, "archive.vma");
    guest
        .archive(None, &job, &Silent, &CancelToken::new())
        .unwrap_err();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_no_socket_is_not_replaced() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("control.sock");
    std::fs::write(&file, "precious").unwrap();
    let disk = Arc::new(MemoryDevice::new(4096));
    let error = Server::start(vec![("drive-a".into(), disk as _)], dir.path()).unwrap_err();
    assert!(error.chain().contains("not a socket"), "{}", error.chain());
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_server_ends_though_somebody_removed_its_sockets() {
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(MemoryDevice::new(4096));
    let server = Server::start(vec![("drive-a".into(), disk as _)], dir.path()).unwrap();
    for socket in [server.control(), server.nbd()] {
        std::fs::remove_file(socket).unwrap();
    }
    drop(server);
}

#[test]
fn control_connections_that_say_nothing_or_too_little_make_room() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(MemoryDevice::new(1 << 20));
    let server = Server::start(vec![("drive-a".into(), disk as _)], dir.path()).unwrap();
    let held = take(&server, dir.path()).unwrap();
    let connect = || UnixStream::connect(server.control()).unwrap();
    let silent: Vec<_> = std::iter::repeat_with(connect).take(15).collect();
    // One that says a byte now and then.
    let mut dribbler = silent[0].try_clone().unwrap();
    let dribbling = std::thread::spawn(move || {
        while dribbler.write_all(b"[").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for mut stream in silent {
        // However it ends, it ends.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    dribbling.join().unwrap();
    // The one with a snapshot has it still, though it said nothing either.
    held.detach().unwrap();
}

#[test]
fn a_control_connection_too_many_hears_so() {
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(MemoryDevice::new(4096));
    let server = Server::start(vec![("drive-a".into(), disk as _)], dir.path()).unwrap();
    let connect = || std::os::unix::net::UnixStream::connect(server.control()).unwrap();
    let idle: Vec<_> = std::iter::repeat_with(connect).take(16).collect();
    let error = take(&server, dir.path()).unwrap_err();
    assert!(error.chain().contains("too many"), "{}", error.chain());
    drop(idle);
    attach_soon(&server, dir.path());
}

#[test]
fn both_sockets_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(MemoryDevice::new(4096));
    let server = Server::start(vec![("drive-a".into(), disk as _)], dir.path()).unwrap();
    for socket in [server.control(), server.nbd()] {
        let mode = std::fs::metadata(socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", socket.display());
    }
}

#[test]
fn a_client_of_another_version_hears_that_its_request_is_not_known() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(MemoryDevice::new(4096));
    let server = Server::start(vec![("drive-a".into(), disk as _)], dir.path()).unwrap();
    let mut stream = std::os::unix::net::UnixStream::connect(server.control()).unwrap();
    stream.write_all(b"{\"attach\":{\"colour\":1}}\n").unwrap();
    let answer: Vec<String> = BufReader::new(stream).lines().map(Result::unwrap).collect();
    assert_eq!(answer.len(), 1, "then it hangs up");
    assert!(
        answer[0].contains("request") && answer[0].contains("colour"),
        "{answer:?}"
    );
}

/// A server that takes connections and says nothing.
fn silent_server(dir: &TempDir) -> (std::path::PathBuf, std::os::unix::net::UnixListener) {
    let path = dir.path().join("control.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    (path, listener)
}

#[test]
fn a_signal_ends_waiting_for_a_server_that_does_not_answer() {
    let dir = TempDir::new().unwrap();
    let (path, _listener) = silent_server(&dir);
    let cancel = CancelToken::new();
    cancel.cancel(crate::job::cancel::CancelReason::Terminated);
    let error = Guest::attach(&path, dir.path(), &options(65536), &cancel).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Cancelled(crate::job::cancel::CancelReason::Terminated)
    );
}

#[test]
fn after_a_question_without_an_answer_none_is_asked() {
    use super::connection::Connection;
    use super::control::Request;
    let dir = TempDir::new().unwrap();
    let (path, listener) = silent_server(&dir);
    let mut connection = Connection::open(&path).unwrap();
    drop(listener.accept().unwrap());
    let cancel = CancelToken::new();
    let ask = |connection: &mut Connection| {
        let error = connection.ask(&Request::Status, &cancel).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Guest);
        error.chain()
    };
    let first = ask(&mut connection);
    assert!(first.contains("has ended"), "{first}");
    assert_eq!(ask(&mut connection), first);
}

/// NFS and most file systems in FUSE have no `O_TMPFILE`.
#[test]
fn a_fleecing_image_where_files_need_names_is_gone_with_its_backup() {
    let Some(mount) = fuse::Ext2::mount() else {
        return;
    };
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
    let unnamed = rustix::fs::open(mount.path(), flags, rustix::fs::Mode::RUSR);
    assert_eq!(unnamed.unwrap_err(), rustix::io::Errno::OPNOTSUPP);

    let dir = TempDir::new().unwrap();
    let disk = MemoryDevice::with_content(&content());
    let server = Server::start(vec![("drive-a".into(), Arc::new(disk) as _)], dir.path()).unwrap();
    let names = || -> Vec<_> {
        let entries = std::fs::read_dir(mount.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = names();
    let guest = take(&server, mount.path()).unwrap();
    write_over_nbd(&server, 10_000, 500_000);
    guest
        .archive(None, &to(&dir, "archive.vma"), &Silent, &CancelToken::new())
        .unwrap();
    guest.detach().unwrap();
    assert_eq!(names(), before);

    let archive = std::fs::File::open(dir.path().join("archive.vma")).unwrap();
    let mut reader = fleece_vma_format::Reader::new(archive).unwrap();
    let extent = reader.next_extent().unwrap().unwrap();
    let cluster = extent.clusters().next().unwrap();
    let (_, first) = cluster.runs().next().unwrap();
    assert!(first[..60_000] == content()[..60_000]);
}
