use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use fleece_vma_format::HeaderBuilder;
use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;
use crate::dump::Reason;

const ARCHIVE: &str = "vzdump-qemu-100-2026_01_01-00_00_00.vma.zst";

fn directory(files: &[&str]) -> (tempfile::TempDir, DumpDirectory) {
    let temporary = tempfile::tempdir().unwrap();
    for file in files {
        fs::write(temporary.path().join(file), "archive").unwrap();
    }
    let directory = DumpDirectory::new(temporary.path());
    (temporary, directory)
}

/// An archive of nothing but one config.
fn archive() -> Vec<u8> {
    let mut header = HeaderBuilder::new([0; 16], 0);
    header.add_config("qemu-server.conf", "cores: 1\n").unwrap();
    header.build().unwrap().as_bytes().to_vec()
}

fn names(directory: &DumpDirectory) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn backups_are_listed_by_guest_and_time_and_nothing_else_is() {
    let (_keep, directory) = directory(&[
        "vzdump-qemu-101-2026_01_01-00_00_00.vma",
        "vzdump-qemu-100-2026_01_02-00_00_00.vma.gz",
        ARCHIVE,
        "mine.vma.lzo",
        "vzdump-qemu-100-2026_01_01-00_00_00.log",
        "vzdump-lxc-102-2026_01_01-00_00_00.tar.zst",
        ".vzdump-qemu-100-2026_01_03-00_00_00.vma.zst.tmp",
        "vzdump-qemu-100-2026_01_03-00_00_00.vma.dat",
    ]);
    fs::create_dir(directory.path().join("folder.vma")).unwrap();
    let backups = directory.list().unwrap();
    let listed: Vec<_> = backups
        .iter()
        .map(|b| (b.guest().map(GuestId::to_string), b.file_name()))
        .collect();
    assert_eq!(
        listed,
        [
            (None, "mine.vma.lzo"),
            (Some("100".to_owned()), ARCHIVE),
            (
                Some("100".to_owned()),
                "vzdump-qemu-100-2026_01_02-00_00_00.vma.gz"
            ),
            (
                Some("101".to_owned()),
                "vzdump-qemu-101-2026_01_01-00_00_00.vma"
            ),
        ]
    );
    assert_eq!(backups[0].size(), 7);
}

#[test]
fn notes_protection_and_verification_are_kept_beside_the_archive() {
    let (_keep, directory) = directory(&[ARCHIVE]);
    let backup = directory.find(ARCHIVE).unwrap();
    assert_eq!((backup.notes(), backup.is_protected()), (None, false));

    let time = "2026-02-03T04:05:06Z".parse().unwrap();
    directory
        .set_notes(&backup, "before the update\nsecond line\n")
        .unwrap();
    directory.set_protected(&backup, true).unwrap();
    directory
        .set_verified(&backup, Verified::Sound(time))
        .unwrap();
    let backup = directory.find(ARCHIVE).unwrap();
    assert_eq!(backup.notes(), Some("before the update\nsecond line"));
    assert!(backup.is_protected());
    assert_eq!(backup.verified(), Verified::Sound(time));
    let json = backup.to_json();
    assert_eq!(json["verified"], "sound");
    assert_eq!(json["verified_at"], "2026-02-03T04:05:06Z");
    assert_eq!(
        (&json["guest"], &json["vmid"]),
        (&"100".into(), &100.into())
    );

    directory.set_notes(&backup, " \n").unwrap();
    directory.set_protected(&backup, false).unwrap();
    directory.set_verified(&backup, Verified::Unknown).unwrap();
    assert_eq!(names(&directory), [ARCHIVE]);
}

#[test]
fn a_verification_does_not_outlive_a_change_of_the_archive() {
    let (_keep, directory) = directory(&[ARCHIVE]);
    let backup = directory.find(ARCHIVE).unwrap();
    directory
        .set_verified(&backup, Verified::Damaged(Timestamp::now()))
        .unwrap();
    assert!(matches!(
        directory.find(ARCHIVE).unwrap().verified(),
        Verified::Damaged(_)
    ));
    fs::write(backup.path(), "another archive").unwrap();
    assert_eq!(
        directory.find(ARCHIVE).unwrap().verified(),
        Verified::Unknown
    );
}

#[test]
fn removing_takes_everything_along_but_never_what_is_protected() {
    let log = "vzdump-qemu-100-2026_01_01-00_00_00.log";
    let notes = format!("{ARCHIVE}.notes");
    let index = format!("{ARCHIVE}.idx");
    let other = "vzdump-qemu-100-2026_01_02-00_00_00.vma.zst";
    let (_keep, directory) = directory(&[ARCHIVE, log, &notes, &index, other]);
    let backup = directory.find(ARCHIVE).unwrap();
    assert!(backup.is_indexed());

    directory.set_protected(&backup, true).unwrap();
    let error = directory.remove(&backup).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert_eq!(names(&directory).len(), 6);

    directory.set_protected(&backup, false).unwrap();
    directory.remove(&backup).unwrap();
    assert_eq!(names(&directory), [other]);
    directory.remove(&backup).unwrap();
}

#[test]
fn pruning_removes_what_no_rule_keeps_of_the_guest_that_is_meant() {
    let newer = "vzdump-qemu-100-2026_01_02-00_00_00.vma.zst";
    let other = "vzdump-qemu-101-2025_01_01-00_00_00.vma.zst";
    let (_keep, directory) = directory(&[ARCHIVE, newer, other]);
    for name in names(&directory) {
        fs::write(directory.path().join(name), archive()).unwrap();
    }
    let pruned = directory
        .prune(
            &"keep-last=1".parse().unwrap(),
            Some(&GuestId::try_from(100).unwrap()),
        )
        .unwrap();
    let verdicts: Vec<_> = pruned.into_iter().map(|pruned| pruned.verdict).collect();
    let last = Reason::Rule("last", "2026-01-02 00:00:00".to_owned());
    assert_eq!(verdicts, [Verdict::Remove(None), Verdict::Keep(last)]);
    assert_eq!(names(&directory), [newer, other]);
}

#[test]
fn pruning_counts_only_what_begins_as_an_archive() {
    let night = |night: u32| format!("vzdump-qemu-100-2026_01_0{night}-00_00_00.vma.zst");
    let names: Vec<String> = (1..=7).map(night).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (_keep, directory) = directory(&names);
    let write = |n: usize, bytes: &[u8]| {
        fs::write(directory.path().join(names[n]), bytes).unwrap();
    };
    write(0, &archive());
    write(1, &archive());
    write(2, &archive()[..100]);
    let mut changed = archive();
    changed[60] ^= 1;
    write(3, &changed);
    write(4, &archive());
    // What may be in it, only a reader of bzip2 can tell.
    write(5, b"BZh91AY&SY");
    write(6, b"");
    let pruned = directory
        .prune(&"keep-last=2".parse().unwrap(), None)
        .unwrap();
    let kept = |n: usize| matches!(pruned[n].verdict, Verdict::Keep(Reason::Rule("last", _)));
    assert!(kept(1) && kept(4), "{pruned:?}");
    assert!(
        matches!(pruned[5].verdict, Verdict::Keep(Reason::Unreadable(_))),
        "{pruned:?}"
    );
    assert_eq!(pruned[0].verdict, Verdict::Remove(None));
    for n in [2, 3] {
        let fault = pruned[n].backup.fault().map(Fault::word);
        assert_eq!(fault, Some("no archive"), "{n}");
        assert!(!pruned[n].backup.path().exists());
    }
    assert!(pruned[6].backup.path().exists());
}

#[test]
fn the_mark_of_a_verification_belongs_to_one_file() {
    let (_keep, directory) = directory(&[ARCHIVE]);
    let backup = directory.find(ARCHIVE).unwrap();
    let verified = || directory.find(ARCHIVE).unwrap().verified();
    let damaged = Verified::Damaged("2026-02-03T04:05:06Z".parse().unwrap());
    directory.set_verified(&backup, damaged).unwrap();
    assert_eq!(verified(), damaged);
    // Another file of the same size and time.
    let time = fs::metadata(backup.path()).unwrap().modified().unwrap();
    let other = directory.path().join("other");
    fs::write(&other, "ARCHIVE").unwrap();
    fs::File::options()
        .write(true)
        .open(&other)
        .and_then(|file| file.set_modified(time))
        .unwrap();
    fs::rename(&other, backup.path()).unwrap();
    assert_eq!(verified(), Verified::Unknown);
    // A line as they once were.
    let line = format!(
        "damaged 2026-02-03T04:05:06Z 7 {}\n",
        backup.modified.as_second()
    );
    fs::write(directory.beside(&backup, "verified"), line).unwrap();
    assert_eq!(verified(), damaged);
}

#[test]
fn what_is_no_file_beside_an_archive_is_neither_waited_for_nor_followed() {
    let (keep, directory) = directory(&[ARCHIVE, "secret"]);
    let at = |name: &str| keep.path().join(name);
    let read = || {
        let backup = directory.find(ARCHIVE).unwrap();
        (backup.notes().map(str::to_owned), backup.verified())
    };
    for kind in ["notes", "verified"] {
        let side = at(&format!("{ARCHIVE}.{kind}"));
        mkfifoat(CWD, &side, Mode::RWXU).unwrap();
        assert_eq!(read(), (None, Verified::Unknown));
        fs::remove_file(&side).unwrap();
        let _socket = UnixListener::bind(&side).unwrap();
        assert_eq!(read(), (None, Verified::Unknown));
        fs::remove_file(&side).unwrap();
        symlink(at("secret"), &side).unwrap();
        assert_eq!(read(), (None, Verified::Unknown));
    }
    // Written, it takes the link's place.
    let backup = directory.find(ARCHIVE).unwrap();
    directory.set_notes(&backup, "mine").unwrap();
    assert_eq!(read().0.as_deref(), Some("mine"));
    assert_eq!(fs::read_to_string(at("secret")).unwrap(), "archive");
}

#[test]
fn names_that_lead_elsewhere_find_nothing() {
    let (_keep, directory) = directory(&[ARCHIVE]);
    for name in ["../a.vma", "/a.vma", "", ".", ".a.vma", "a.vma", "a.txt"] {
        assert_eq!(
            directory.find(name).unwrap_err().kind(),
            ErrorKind::Request,
            "{name}"
        );
    }
}

#[test]
fn a_directory_that_is_not_there_says_so() {
    let error = DumpDirectory::new("/no/such/directory").list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(error.to_string().contains("/no/such/directory"));
}
