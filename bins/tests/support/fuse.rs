//! A directory that hangs, dies or is slow: one behind a FUSE daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A directory that shows another through `bindfs`; unmounted with the value.
pub(crate) struct Fuse {
    daemon: Child,
    place: PathBuf,
}

impl Fuse {
    /// Puts it over the directory `place`; `None` where that cannot be done.
    pub(crate) fn mount(place: PathBuf, options: &[&str]) -> Option<Self> {
        fleece_lab::require("bindfs")?;
        if !Path::new("/dev/fuse").exists() {
            eprintln!("SKIP: there is no /dev/fuse");
            return None;
        }
        let behind = place.with_extension("behind");
        fs::create_dir(&behind).unwrap();
        let daemon = Command::new("bindfs")
            .arg("-f")
            .args(options)
            .arg(behind)
            .arg(&place)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let fuse = Self { daemon, place };
        let start = Instant::now();
        while !fuse.is_mounted() {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "bindfs does not mount"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(fuse)
    }

    fn is_mounted(&self) -> bool {
        let place = format!(" {} fuse", self.place.display());
        fs::read_to_string("/proc/self/mounts")
            .unwrap()
            .contains(&place)
    }

    /// From now on whoever asks it for anything waits.
    pub(crate) fn hang(&self) {
        super::signal(self.daemon.id(), "-STOP");
    }

    /// It answers again.
    pub(crate) fn go_on(&self) {
        super::signal(self.daemon.id(), "-CONT");
    }

    /// From now on whoever asks it for anything gets an error.
    pub(crate) fn die(&mut self) {
        let _ = self.daemon.kill();
        self.daemon.wait().unwrap();
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        // First the daemon: who waits for it gets an error, and can end.
        self.die();
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}
