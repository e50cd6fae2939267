//! The devices of an archive on their way to disks and files, without a guest.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use fleece_archive_io::{Growing, read_devices, write_devices};
use fleece_storage::VolumeFormat;
use fleece_storage::block::{BlockDevice, WriteAt};
use fleece_vma_format::restore::{self, Targets};
use fleece_vma_format::{self as format, Archive, Device, DeviceId, Tally};

use super::compared::Compared;
use super::directory::Directory;
use super::target::DiskTarget;
use crate::job::cancel::CancelToken;
use crate::pace::rate::RateLimit;
use crate::report::error::{Error, ErrorKind};
use crate::target::writeback::Writeback;

/// Where devices of an archive go.
#[derive(Debug)]
pub struct Extraction {
    disks: Vec<Disk>,
    vmstate: Option<(DeviceId, Arc<Growing>)>,
    sync: bool,
    cancel: CancelToken,
    archive: Option<Arc<File>>,
}

#[derive(Debug)]
struct Disk {
    device: DeviceId,
    name: String,
    target: Arc<dyn WriteAt>,
    write_zeroes: bool,
    limit: Option<Arc<RateLimit>>,
    /// What sends it to the disk meanwhile.
    writeback: Option<Arc<Writeback>>,
    /// The disk itself, if what is there is compared.
    old: Option<Arc<dyn BlockDevice>>,
}

impl Extraction {
    /// Nothing yet. With `sync`, what is written is on stable storage at the end; `cancel` ends the waiting for
    /// limits.
    #[must_use]
    pub fn new(sync: bool, cancel: &CancelToken) -> Self {
        Self {
            disks: Vec::new(),
            vmstate: None,
            sync,
            cancel: cancel.clone(),
            archive: None,
        }
    }

    /// Shares with the file of an archive, which is not compressed, the blocks that images can have of it: where the file
    /// systems can, and without a word where not.
    pub fn share_with(&mut self, archive: File) {
        self.archive = Some(Arc::new(archive));
    }

    /// Sends a device to a file of its own in a directory, an image of this `format`. The result is its path until the
    /// directory is published; saved RAM has none.
    ///
    /// # Errors
    /// Those of the directory.
    pub fn to_directory(
        &mut self,
        device: &Device,
        format: VolumeFormat,
        directory: &mut Directory,
    ) -> Result<Option<PathBuf>, Error> {
        if device.is_vmstate() {
            self.vmstate = Some((device.id(), Arc::new(directory.growing(device)?)));
            return Ok(None);
        }
        let (path, target) = directory.disk(device, format)?;
        // A qcow2's metadata would be written over and over.
        let writeback = (self.sync && format == VolumeFormat::Raw).then(|| {
            let target = Arc::clone(&target);
            Writeback::new(move || target.flush().map_err(io::Error::other)).map(Arc::new)
        });
        let writeback = writeback
            .transpose()
            .map_err(|error| Error::caused(ErrorKind::Internal, "cannot start a thread", error))?;
        self.disks.push(Disk {
            device: device.id(),
            name: device.name().to_owned(),
            target,
            write_zeroes: false,
            limit: None,
            writeback,
            old: None,
        });
        Ok(Some(path))
    }

    /// Sends a device to a disk that is there, which holds zeroes only unless they are to be written.
    pub fn to_disk(
        &mut self,
        device: &Device,
        target: Arc<dyn WriteAt>,
        write_zeroes: bool,
        limit: Option<Arc<RateLimit>>,
    ) {
        self.disks.push(Disk {
            device: device.id(),
            name: device.name().to_owned(),
            target,
            write_zeroes,
            limit,
            // Devices and their caches are the storage's business.
            writeback: None,
            old: None,
        });
    }

    /// Sends a device to a disk that holds something already: what is there is read, and only what differs is written, and
    /// counted in `written`, in bytes. Of an archive with an index that can be read anywhere, only that is read, too.
    pub fn onto_disk(
        &mut self,
        device: &Device,
        disk: Arc<dyn BlockDevice>,
        written: &Arc<AtomicU64>,
        limit: Option<Arc<RateLimit>>,
    ) {
        let compared = Compared::new(Arc::clone(&disk), Arc::clone(written));
        self.to_disk(device, Arc::new(compared), true, limit);
        if let Some(added) = self.disks.last_mut() {
            added.old = Some(disk);
        }
    }

    /// What is to be written to.
    #[must_use]
    pub(crate) fn targets(&self) -> Targets<'static> {
        let mut targets = Targets::new();
        for disk in &self.disks {
            let target = DiskTarget::new(Arc::clone(&disk.target), disk.write_zeroes)
                .limited(disk.limit.clone())
                .cancelled_by(&self.cancel)
                .sharing(self.archive.clone())
                .comparing(disk.old.clone())
                .written_back(disk.writeback.clone());
            targets.insert(disk.device, Box::new(target));
        }
        if let Some((device, file)) = &self.vmstate {
            targets.insert(*device, Box::new(Arc::clone(file)));
        }
        targets
    }

    /// The devices of an archive that are read to write those that are wanted: all, unless it can be read anywhere.
    #[must_use]
    pub fn reads<'a>(&self, archive: &'a Archive<'_>) -> Vec<&'a Device> {
        read_devices(archive, &self.targets())
    }

    /// Writes everything, on many threads.
    ///
    /// # Errors
    /// Those of reading and writing, and that of `progress`.
    pub fn run(
        &self,
        archive: &mut Archive<'_>,
        progress: &mut dyn FnMut(&Tally) -> format::Result<()>,
    ) -> format::Result<()> {
        let targets = self.targets();
        if self.disks.iter().any(|disk| disk.old.is_some())
            && let Some(archive) = archive.if_random_access()?
        {
            // What is not read must be what the index describes.
            archive.check_headers()?;
            return restore::from_archive(archive, &targets, progress);
        }
        write_devices(archive, &targets, progress)
    }

    /// Waits until all that was written is on stable storage, if it is to be.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Target`].
    pub fn finish(&self) -> Result<(), Error> {
        for disk in self.disks.iter().filter(|_| self.sync) {
            let failed = || format!("cannot write device {}", disk.name);
            if let Some(writeback) = &disk.writeback {
                let written = writeback.finish();
                written.map_err(|e| Error::caused(ErrorKind::Target, failed(), e))?;
            }
            let flushed = disk.target.flush();
            flushed.map_err(|e| Error::caused(ErrorKind::Target, failed(), e))?;
        }
        match &self.vmstate {
            Some((_, file)) => file
                .finish(self.sync)
                .map_err(|e| Error::caused(ErrorKind::Target, "cannot write vmstate.bin", e)),
            None => Ok(()),
        }
    }
}
