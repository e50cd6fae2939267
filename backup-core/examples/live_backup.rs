//! Backs up the disks of a running QEMU: `live_backup MONITOR ARCHIVE STATE-DIRECTORY [NBD-SERVER]`.

use std::{env, error::Error, fs, path::PathBuf};

use fleece_backup_core::qemu::{self, Fleecing, GuestBackup};
use fleece_backup_core::{Address, ArchiveOptions, ArchiveTarget, CancelToken, Compression};
use fleece_backup_core::{Content, Event, Place, Reporter};

struct Print;

impl Reporter for Print {
    fn report(&self, event: &Event) {
        match event {
            Event::Info(message) => println!("{message}"),
            Event::Warning(warning) => eprintln!("warning: {}", warning.message),
            _ => {}
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let mut next = || arguments.next().ok_or("MONITOR ARCHIVE STATE-DIRECTORY");
    let (monitor, archive, state) = (Address::unix(next()?), next()?, next()?);
    let images = state.join("images");
    fs::create_dir_all(&images)?;
    let mut target = ArchiveTarget::file(archive);
    target.compression = Compression::Zstd(1);
    let archive = ArchiveOptions::new(Content::now(), target);
    let guest = Place::new(state, "100".parse()?, None);
    let fleecing = Fleecing::on(images.to_string_lossy());
    let mut job = GuestBackup::new(monitor, guest, fleecing, archive);
    job.nbd_server = next().ok().map(Address::unix);
    let outcome = qemu::backup(&job, &Print, &CancelToken::new())?;
    println!("{} bytes of archive", outcome.archived.size);
    Ok(())
}
