use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;

use super::*;

fn edit_name(config: &mut GuestConfig) -> Result<(), Error> {
    config.main_mut().set("name", "new")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_update_replaces_the_file_keeps_its_mode_and_leaves_nothing_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("100.conf");
    fs::write(&path, "name: old\nmemory: 1\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    fs::write(directory.path().join(".100.conf.tmp"), "of a dead process").unwrap();

    ConfigFile::new(&path).update(edit_name).unwrap();

    assert_eq!(fs::read_to_string(&path).unwrap(), "name: new\nmemory: 1\n");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o604
    );
    assert_eq!(names(directory.path()), ["100.conf"]);
}

#[test]
fn a_failed_edit_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("100.conf");
    fs::write(&path, "name: old\n").unwrap();
    let result = ConfigFile::new(&path).update(|config| {
        config.main_mut().remove("name");
        config.main_mut().set("NAME", "x")
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidKey);
    assert_eq!(fs::read_to_string(&path).unwrap(), "name: old\n");
    assert_eq!(names(directory.path()), ["100.conf"]);
}

#[test]
fn an_update_through_a_link_keeps_the_link() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("real.conf");
    let link = directory.path().join("link.conf");
    fs::write(&path, "name: old\n").unwrap();
    symlink(&path, &link).unwrap();
    ConfigFile::new(&link).update(edit_name).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), "name: new\n");
}

#[test]
fn a_state_file_exists_only_while_it_says_something() {
    let directory = tempfile::tempdir().unwrap();
    let state = ConfigFile::state(directory.path().join("100.state"));
    assert!(state.load().unwrap().fleecing_images().is_empty());
    state
        .update(|config| config.set_fleecing_images(&["/f/vm-100-fleece-0.raw"]))
        .unwrap();
    assert_eq!(
        state.load().unwrap().fleecing_images(),
        ["/f/vm-100-fleece-0.raw"]
    );
    state
        .update(|config| config.set_fleecing_images::<&str>(&[]))
        .unwrap();
    assert!(names(directory.path()).is_empty());
}

#[test]
fn concurrent_updates_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("100.conf");
    fs::write(&path, "").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let file = ConfigFile::new(&path);
            scope.spawn(move || {
                for i in 0..8 {
                    let key = format!("unused{}", thread * 8 + i);
                    file.update(|config| config.main_mut().set(&key, "x"))
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(
        ConfigFile::new(&path)
            .load()
            .unwrap()
            .main()
            .entries()
            .count(),
        32
    );
    assert_eq!(names(directory.path()), ["100.conf"]);
}

#[test]
fn files_that_are_missing_or_huge_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("100.conf");
    let kind = || ConfigFile::new(&path).load().unwrap_err().kind();
    assert_eq!(kind(), ErrorKind::NotFound);
    fs::write(&path, vec![b'a'; MAX_SIZE + 1]).unwrap();
    assert_eq!(kind(), ErrorKind::TooLarge);
}

#[test]
fn what_is_no_utf_8_keeps_its_bytes_while_other_lines_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("100.conf");
    let text = b"\xef\xbb\xbf#caf\xe9\nargs: -name \xff\nmemory: 512\n\n[s\xe4]\nname: b\xfc\n";
    fs::write(&path, text).unwrap();
    let set = |value| {
        let edit = |config: &mut GuestConfig| config.main_mut().set("memory", value);
        ConfigFile::new(&path).update::<_, Error>(edit).unwrap();
    };
    set("1024");
    let changed = fs::read(&path).unwrap();
    assert_eq!(changed.len(), text.len() + 1);
    set("512");
    assert_eq!(fs::read(&path).unwrap(), text);
}
