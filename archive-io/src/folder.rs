//! The directory that an archive is extracted to, where files have names and nothing else: on Windows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fleece_cancel::CancelToken;
use fleece_sparse_file::make_sparse;
use fleece_vma_format::restore::{Target, Targets};
use fleece_vma_format::verify::Watch;
use fleece_vma_format::{self as format, Device, DeviceId};

use crate::error::{Error, ErrorKind};
use crate::extract::{Recovery, RecoveryFolder, recover_to};
use crate::growing::Growing;
use crate::input::Input;
use crate::name::portable;
use crate::system::write_all_at;

/// A directory of our own making, with raw images of disks, and the configurations. Dropped before
/// [`Folder::publish`] has succeeded, it goes with all that was made in it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Open and locked as long as the directory is not complete.
    marker: Option<File>,
    made: Vec<String>,
    /// Files under temporary names, and what they will be called.
    pending: Vec<(String, String)>,
    disks: Vec<(DeviceId, Arc<NewDisk>)>,
    vmstate: Option<(DeviceId, Arc<Growing>)>,
    published: bool,
}

/// In the directory as long as it is not complete, with a line for each file.
const MARKER: &str = ".vma-extract";

/// More names than any archive has.
const MAX_MARKER: u64 = 1 << 20;

/// A new file of which nothing but data is written.
#[derive(Debug)]
struct NewDisk(File);

impl Target for NewDisk {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        write_all_at(&self.0, data, offset)
    }

    fn zero_at(&self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn zeroes_needed(&self) -> bool {
        false
    }
}

impl Folder {
    /// Makes the directory; it must not exist, unless a process that was killed has left it.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn create(path: &Path) -> Result<Self, Error> {
        let failed = |e: io::Error| {
            let what = format!("unable to create target directory {}", path.display());
            Error::caused(ErrorKind::Target, what, e)
        };
        fs::create_dir(path)
            .or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists if remove_left_over(path) => fs::create_dir(path),
                _ => Err(error),
            })
            .map_err(failed)?;
        let mut folder = Self {
            path: path.to_owned(),
            marker: None,
            made: Vec::new(),
            pending: Vec::new(),
            disks: Vec::new(),
            vmstate: None,
            published: false,
        };
        let marker = File::create_new(path.join(MARKER)).map_err(failed)?;
        // Where files cannot be locked, nobody removes what is left either.
        let _ = marker.try_lock();
        folder.marker = Some(marker);
        Ok(folder)
    }

    /// Writes a small file.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn write(&mut self, name: &str, data: &[u8]) -> Result<(), Error> {
        self.write_with(name, &mut |out| out.write_all(data))
    }

    /// Writes a file.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn write_with(
        &mut self,
        name: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        let name = portable(name).into_owned();
        let mut out = BufWriter::new(self.file(&name)?);
        write(&mut out)
            .and_then(|()| out.flush())
            .and_then(|()| out.get_ref().sync_all())
            .map_err(|e| self.failed(&name, e))
    }

    /// Makes the file for a device, under its temporary name until all is done: the result is its path until then. Saved
    /// RAM, whose name always is `vmstate.bin`, has none.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn device(&mut self, device: &Device) -> Result<Option<PathBuf>, Error> {
        if device.is_vmstate() {
            let file = self.pending("tmp-vmstate.bin".to_owned(), "vmstate.bin".to_owned())?;
            let growing = Growing::new(file, device.size());
            self.vmstate = Some((device.id(), Arc::new(growing)));
            return Ok(None);
        }
        let to = format!("disk-{}.raw", device.name());
        let name = format!("tmp-{to}");
        let file = self.pending(name.clone(), to)?;
        make_sparse(&file)
            .and_then(|_| file.set_len(device.size()))
            .map_err(|e| self.failed(&name, e))?;
        self.disks.push((device.id(), Arc::new(NewDisk(file))));
        Ok(Some(self.path.join(name)))
    }

    /// What is to be written to.
    #[must_use]
    pub fn targets(&self) -> Targets<'static> {
        let mut targets = Targets::new();
        for (device, disk) in &self.disks {
            targets.insert(*device, Box::new(Arc::clone(disk)));
        }
        if let Some((device, file)) = &self.vmstate {
            targets.insert(*device, Box::new(Arc::clone(file)));
        }
        targets
    }

    /// Ends the writing: with `sync`, all is on stable storage afterwards. Then the files get their final names.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn publish(&mut self, sync: bool) -> Result<(), Error> {
        for (_, disk) in self.disks.drain(..).filter(|_| sync) {
            let synced = disk.0.sync_all();
            synced.map_err(|e| cannot(&self.path, e))?;
        }
        if let Some((_, file)) = self.vmstate.take() {
            file.finish(sync).map_err(|e| cannot(&self.path, e))?;
        }
        // Windows renames nothing that is open.
        for (from, to) in self.pending.clone() {
            self.note(&to)?;
            let paths = (self.path.join(&from), self.path.join(&to));
            again(|| fs::rename(&paths.0, &paths.1)).map_err(|e| self.failed(&to, e))?;
        }
        self.marker = None;
        again(|| fs::remove_file(self.path.join(MARKER))).map_err(|e| self.failed(MARKER, e))?;
        self.published = true;
        Ok(())
    }

    /// A file that is renamed when all is done, and removed if that never comes.
    fn pending(&mut self, name: String, to: String) -> Result<File, Error> {
        let file = self.file(&name)?;
        self.pending.push((name, to));
        Ok(file)
    }

    fn file(&mut self, name: &str) -> Result<File, Error> {
        self.note(name)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = options.open(self.path.join(name));
        file.map_err(|e| self.failed(name, e))
    }

    /// Puts a name on record that is about to be given.
    fn note(&mut self, name: &str) -> Result<(), Error> {
        if let Some(mut marker) = self.marker.as_ref() {
            let noted = writeln!(marker, "{name}");
            noted.map_err(|e| self.failed(MARKER, e))?;
        }
        self.made.push(name.to_owned());
        Ok(())
    }

    fn failed(&self, name: &str, error: io::Error) -> Error {
        cannot(&self.path.join(name), error)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        self.disks.clear();
        self.vmstate = None;
        self.marker = None;
        let names = self.made.iter().map(String::as_str);
        for name in names.chain([MARKER]) {
            let path = self.path.join(name);
            if path.symlink_metadata().is_ok() {
                let _ = again(|| fs::remove_file(&path));
            }
        }
        let _ = again(|| fs::remove_dir(&self.path));
    }
}

fn cannot(path: &Path, error: io::Error) -> Error {
    let what = format!("cannot write {}", path.display());
    Error::caused(ErrorKind::Target, what, error)
}

/// Removes what a process that was killed has left: a directory with a marker that nobody holds. Tells whether it is gone.
fn remove_left_over(path: &Path) -> bool {
    let removed = || -> io::Result<()> {
        let marker = path.join(MARKER);
        let mut names = String::new();
        let file = OpenOptions::new().read(true).write(true).open(&marker)?;
        file.try_lock()?;
        (&file).take(MAX_MARKER).read_to_string(&mut names)?;
        drop(file);
        for name in names.lines().filter(|name| !name.contains(['/', '\\'])) {
            let _ = fs::remove_file(path.join(name));
        }
        fs::remove_file(&marker)?;
        fs::remove_dir(path)
    };
    removed().is_ok()
}

/// How often something is tried that a virus scanner or an indexer, which open what is new, may be in the way of.
const TRIES: u32 = 8;

/// What Windows says then: ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION.
const IN_THE_WAY: [i32; 3] = [5, 32, 33];

/// Does something again for a while, if others are in the way.
fn again(act: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let mut wait = Duration::from_millis(10);
    for _ in 1..TRIES {
        match act() {
            Err(error)
                if cfg!(windows)
                    && error
                        .raw_os_error()
                        .is_some_and(|code| IN_THE_WAY.contains(&code)) => {}
            done => return done,
        }
        thread::sleep(wait);
        wait = wait.saturating_mul(2);
    }
    act()
}

/// Recovers the configs and disks of an archive into a new directory, as [`recover_to`].
///
/// # Errors
/// As [`recover_to`]; there is no directory then.
pub fn recover_into<E: From<format::Error> + From<Error>>(
    directory: &Path,
    input: &mut Input,
    index: Option<&mut dyn Read>,
    watch: &mut dyn Watch,
    cancel: &CancelToken,
) -> Result<Recovery, E> {
    recover_to(Folder::create(directory)?, input, index, watch, cancel)
}

/// A folder for what is recovered.
impl RecoveryFolder for Folder {
    type Error = Error;

    fn config(&mut self, name: &str, data: &[u8]) -> Result<(), Error> {
        self.write(name, data)
    }

    fn device(&mut self, device: &Device) -> Result<(), Error> {
        Self::device(self, device).map(drop)
    }

    fn targets(&self) -> Targets<'static> {
        Self::targets(self)
    }

    fn file(
        &mut self,
        name: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        self.write_with(name, write)
    }

    fn written(&mut self) -> Result<(), Error> {
        // Done when it is published.
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Error> {
        Self::publish(self, true)
    }
}

#[cfg(test)]
mod tests {
    use fleece_vma_format::HeaderBuilder;

    use super::*;

    fn device() -> Device {
        let mut header = HeaderBuilder::new([7; 16], 0);
        header.add_device("drive-scsi0", 1 << 20).unwrap();
        header.build().unwrap().devices()[0].clone()
    }

    #[test]
    fn files_have_their_names_only_when_all_are_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut folder = Folder::create(&path).unwrap();
        folder.write("NUL.conf", b"memory: 1\n").unwrap();
        let temporary = folder.device(&device()).unwrap().unwrap();
        assert!(temporary.ends_with("tmp-disk-drive-scsi0.raw"));
        for target in folder.targets().values() {
            target.write_at(4096, &[1; 4096]).unwrap();
        }
        assert!(!path.join("disk-drive-scsi0.raw").exists());
        folder.publish(true).unwrap();
        drop(folder);
        let disk = fs::read(path.join("disk-drive-scsi0.raw")).unwrap();
        assert!(disk.len() == 1 << 20 && disk[4096..8192] == [1; 4096] && disk[8192] == 0);
        assert_eq!(fs::read(path.join("%4EUL.conf")).unwrap(), b"memory: 1\n");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
        let error = Folder::create(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target);
    }

    #[test]
    fn what_is_not_published_is_gone_and_what_a_killed_process_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut folder = Folder::create(&path).unwrap();
        folder.device(&device()).unwrap();
        // Somebody works there.
        Folder::create(&path).unwrap_err();
        drop(folder);
        assert!(!path.exists());

        let mut killed = Folder::create(&path).unwrap();
        killed.device(&device()).unwrap();
        killed.marker = None;
        killed.published = true;
        drop(killed);
        let mut folder = Folder::create(&path).unwrap();
        folder.publish(false).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }
}
