use std::io::Write as _;
use std::thread;

use fleece_cancel::CancelReason;
use fleece_vma_format::{ErrorKind as Kind, HeaderBuilder};
use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

use super::*;

fn header() -> Vec<u8> {
    let mut header = HeaderBuilder::new([7; 16], 0);
    header
        .add_config("qemu-server.conf", "memory: 1\n")
        .unwrap();
    header.build().unwrap().as_bytes().to_vec()
}

fn fifo(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("fifo");
    mkfifoat(CWD, &path, Mode::RWXU).unwrap();
    path
}

#[test]
fn a_fifo_without_a_writer_is_opened_and_read_until_the_job_is_cancelled() {
    let folder = TempDir::new().unwrap();
    let cancel = CancelToken::new();
    let mut input = Input::open(&fifo(&folder), &cancel).unwrap();
    let waiting = thread::spawn(move || input.stream().map(drop));
    cancel.cancel(CancelReason::Terminated);
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Io);
}

#[test]
fn a_fifo_gives_what_its_writer_writes_later_and_only_once() {
    let folder = TempDir::new().unwrap();
    let path = fifo(&folder);
    let mut input = Input::open(&path, &CancelToken::new()).unwrap();
    let writer = thread::spawn(move || {
        let mut file = File::options().write(true).open(path).unwrap();
        file.write_all(&header()).unwrap();
    });
    assert!(
        input
            .archive()
            .unwrap()
            .header()
            .config("qemu-server.conf")
            .is_some()
    );
    writer.join().unwrap();
    assert!(input.stream().is_err() && input.size().is_none() && !input.is_file());
}

#[test]
fn a_file_is_read_again_and_again_until_the_job_is_cancelled() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.vma");
    std::fs::write(&path, header()).unwrap();
    let cancel = CancelToken::new();
    let mut input = Input::open(&path, &cancel).unwrap();
    for _ in 0..2 {
        let mut plain = Vec::new();
        input.stream().unwrap().read_to_end(&mut plain).unwrap();
        assert!(plain == header());
    }
    cancel.cancel(CancelReason::Interrupted);
    assert!(input.stream().is_err() && input.archive().is_err());
    let error = Input::open(folder.path(), &CancelToken::new()).unwrap_err();
    assert!(
        error.chain().contains("is a directory"),
        "{}",
        error.chain()
    );
}
