//! What the service manager need not say again: that a failure has been mailed.
//!
//! A unit that failed may have another unit write a mail. That one knows by `$MONITOR_INVOCATION_ID` (`systemd.exec(5)`, since
//! systemd 251) which run it is about, and finds here whether there was a mail already.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How the names of the files end; before it is the run's number, as systemd gives it.
pub const MAILED: &str = ".mailed";

/// Nobody has asked for one this old.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// Notes, in the directory that systemd gives its service for as long as the host runs, that this run's failure was mailed.
/// Outside of a service, or without such a directory, it does nothing.
///
/// # Errors
/// Those of the file system.
pub fn note_mailed() -> io::Result<()> {
    let directory = std::env::var_os("RUNTIME_DIRECTORY");
    let invocation = std::env::var("INVOCATION_ID");
    match (directory, invocation) {
        (Some(directory), Ok(invocation)) => note(&directory, &invocation),
        _ => Ok(()),
    }
}

fn note(directory: &OsStr, invocation: &str) -> io::Result<()> {
    let is_number = invocation.len() == 32 && invocation.bytes().all(|c| c.is_ascii_hexdigit());
    // Of several, which are separated by colons, any will do, but one is expected.
    let directory = Path::new(directory);
    if !is_number || !directory.is_dir() {
        return Ok(());
    }
    for entry in directory.read_dir()?.flatten() {
        let is_ours = entry.file_name().to_string_lossy().ends_with(MAILED);
        let age = entry.metadata().and_then(|file| file.modified());
        let age = age.ok().and_then(|time| time.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > FORGOTTEN) {
            // Another may remove it, too.
            let _ = fs::remove_file(entry.path());
        }
    }
    fs::write(directory.join(format!("{invocation}{MAILED}")), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, FileTimes};
    use std::time::SystemTime;

    #[test]
    fn a_note_is_named_by_the_run_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let old = File::create(dir.path().join("old.mailed")).unwrap();
        let yesterday = SystemTime::now() - 2 * FORGOTTEN;
        old.set_times(FileTimes::new().set_modified(yesterday))
            .unwrap();
        let run = "0123456789abcdef0123456789abcdef";
        note(dir.path().as_os_str(), run).unwrap();
        note(dir.path().as_os_str(), "../../etc/passwd").unwrap();
        note(OsStr::new("/nowhere"), run).unwrap();
        let names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, [OsStr::new(&format!("{run}.mailed"))]);
    }
}
