//! Backs up a disk of this process while it is written to: `own_disk DISK ARCHIVE STATE-DIRECTORY`.

use std::{env, error::Error, fs, path::PathBuf, sync::Arc};

use fleece_backup_core::block::{Access, BlockDevice, Geometry as _, RawFile, WriteAt as _};
use fleece_backup_core::cbw::{Filter, Options, Snapshot};
use fleece_backup_core::native::SnapshotSource;
use fleece_backup_core::{ArchiveOptions, ArchiveTarget, CancelToken, Content, Event};
use fleece_backup_core::{Job, Place, Reporter, Storages};

struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Event) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let mut next = || arguments.next().ok_or("DISK ARCHIVE STATE-DIRECTORY");
    let (disk, archive, state) = (next()?, next()?, next()?);
    // From now on the guest uses the filter in place of its disk.
    let disk = Filter::new(Arc::new(RawFile::open(&disk, Access::ReadWrite)?));
    let cancel = CancelToken::new();
    let guest = Place::new(&state, "100".parse()?, None);
    let job = Job::open(&guest, &Storages::none(), &Silent, &cancel)?;
    let image = state.join("fleecing.raw");
    let saved: Arc<dyn BlockDevice> = Arc::new(RawFile::create(&image, disk.size())?);
    let disks = vec![(Arc::clone(&disk), saved)];
    let snapshot = Snapshot::attach(disks, &Options::default())?;
    disk.write_at(b"written after the instant", 0)?;
    let view = snapshot.views().first().cloned().ok_or("no disk")?;
    let source = Arc::new(SnapshotSource::new("drive-scsi0", view));
    let archive = ArchiveOptions::new(Content::now(), ArchiveTarget::file(archive));
    let archived = job.archive(&[source], &archive, None, &Silent, &cancel)?;
    snapshot.detach();
    fs::remove_file(&image)?;
    println!("{} bytes of archive", archived.size);
    Ok(())
}
