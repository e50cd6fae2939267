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
    let pruned = directory
        .prune(
            &"keep-last=1".parse().unwrap(),
            Some(&GuestId::try_from(100).unwrap()),
        )
        .unwrap();
    let verdicts: Vec<_> = pruned.into_iter().map(|pruned| pruned.verdict).collect();
    let last = Reason::Rule("last", "2026-01-02 00:00:00".to_owned());
    assert_eq!(verdicts, [Verdict::Remove, Verdict::Keep(last)]);
    assert_eq!(names(&directory), [newer, other]);
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
