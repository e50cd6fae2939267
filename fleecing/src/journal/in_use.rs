//! Whether somebody uses a file or device.
//!
//! QEMU's programs lock their images, also across hosts. Whoever does not lock is found by the files that
//! its process has open, as far as this user may look; a name is compared, since to look at the file itself
//! may wait for a storage that hangs.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fleece_qmp_client::Interrupt;
use fleece_storage::block::{ErrorKind as BlockErrorKind, ImageLock};

use crate::liveness;

/// How long it may take to find out, all in all.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A QEMU that ends closes its monitor first and its disks last.
const LAST_MOMENTS: Duration = Duration::from_secs(3);

/// Who uses `path`, for people. What is not there is not used; a storage that hangs is.
pub(crate) fn user_of(path: &Path, interrupt: &Interrupt) -> Option<String> {
    let start = Instant::now();
    loop {
        let look = {
            let path = path.to_owned();
            move || locked(&path).or_else(|| opened(&path))
        };
        let user = match liveness::ask(liveness::TIMEOUT, interrupt, look) {
            Some(user) => user?,
            None => return Some("its storage does not answer".into()),
        };
        if start.elapsed() > LAST_MOMENTS || interrupt.has_fired() {
            return Some(user);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn locked(path: &Path) -> Option<String> {
    let busy = ImageLock::for_writing(path).is_err_and(|e| e.kind() == BlockErrorKind::Busy);
    busy.then(|| match opened(path) {
        Some(process) => process,
        None => "a program, most likely QEMU, has it open and locked".into(),
    })
}

fn opened(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let ourselves = std::process::id();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| *id != ourselves).find_map(|id| {
        has_open(id, &path).then(|| {
            let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            format!("process {id} ({}) has it open", name.trim().escape_debug())
        })
    })
}

fn has_open(process: u32, path: &PathBuf) -> bool {
    let files = fs::read_dir(format!("/proc/{process}/fd"));
    files.is_ok_and(|mut files| {
        files.any(|file| {
            file.and_then(|file| file.path().read_link())
                .is_ok_and(|target| target == *path)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_file_that_another_process_has_open_is_in_use_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        assert_eq!(user_of(&path, &Interrupt::default()), None);
        fs::write(&path, "data").unwrap();
        assert_eq!(user_of(&path, &Interrupt::default()), None);
        let mut reader = Command::new("cat")
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(fs::File::options().append(true).open(&path).unwrap())
            .spawn()
            .unwrap();
        let user = user_of(&path, &Interrupt::default()).unwrap();
        assert!(
            user.contains(&format!("process {} (cat)", reader.id())),
            "{user}"
        );
        reader.stdin.take().unwrap().flush().unwrap();
        reader.wait().unwrap();
        assert_eq!(user_of(&path, &Interrupt::default()), None);
    }
}
