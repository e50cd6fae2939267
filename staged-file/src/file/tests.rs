use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    (dir, path)
}

fn staged(path: &Path, data: &[u8]) -> StagedFile {
    let mut staged = StagedFile::create(path, 0o640).unwrap();
    staged.write_all(data).unwrap();
    staged
}

fn names(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn a_file_appears_on_commit_alone() {
    let (dir, path) = place();
    let file = staged(&path, b"whole");
    assert_eq!(names(&dir), [".a.tmp"]);
    assert!(file.commit_new().unwrap().warning().is_none());
    assert_eq!(names(&dir), ["a"]);
    assert_eq!(fs::read(&path).unwrap(), b"whole");
}

#[test]
fn what_is_dropped_leaves_nothing() {
    let (dir, path) = place();
    drop(staged(&path, b"half"));
    assert!(names(&dir).is_empty());
}

#[test]
fn a_new_file_replaces_nothing_and_a_replacement_does() {
    let (dir, path) = place();
    fs::write(&path, "old").unwrap();
    let error = staged(&path, b"new").commit_new().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(&dir), ["a"]);
    let _ = staged(&path, b"new").commit_replacing().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(&dir), ["a"]);
}

#[test]
fn what_a_dead_process_left_is_replaced_and_what_another_writes_is_not() {
    let (dir, path) = place();
    fs::write(temporary_name(&path), "left").unwrap();
    let first = staged(&path, b"first");
    let error = StagedFile::create(&path, 0o640).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    let _ = first.commit_new().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"first");
    assert_eq!(names(&dir), ["a"]);
}

#[test]
fn nothing_is_written_through_a_link_or_into_what_is_no_file() {
    let (dir, path) = place();
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, temporary_name(&path)).unwrap();
    let error = StagedFile::create(&path, 0o640).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    fs::remove_file(temporary_name(&path)).unwrap();
    fs::create_dir(temporary_name(&path)).unwrap();
    StagedFile::create(&path, 0o640).unwrap_err();
}

#[test]
fn modes_are_as_asked_for_or_as_they_were() {
    let (_dir, path) = place();
    let mode = || path.metadata().unwrap().mode() & 0o7777;
    // The umask of whoever runs the tests would take this away.
    let _ = StagedFile::create(&path, 0o666)
        .unwrap()
        .commit_new()
        .unwrap();
    assert_eq!(mode(), 0o666);
    let _ = StagedFile::create(&path, 0o600)
        .unwrap()
        .commit_replacing()
        .unwrap();
    assert_eq!(mode(), 0o600);
    let _ = StagedFile::create_like(&path, 0o644)
        .unwrap()
        .commit_replacing()
        .unwrap();
    assert_eq!(mode(), 0o600);
}

#[test]
fn what_was_written_can_be_kept_under_another_name() {
    let (dir, path) = place();
    staged(&path, b"half")
        .keep_as(&dir.path().join("a.partial"))
        .unwrap();
    assert_eq!(names(&dir), ["a.partial"]);
}
