//! Restores a guest to a directory: `restore ARCHIVE DIRECTORY CONFIGURATION STATE-DIRECTORY`.

use std::{env, error::Error, path::PathBuf};

use fleece_backup_core::restore::{GuestRestore, restore_guest};
use fleece_backup_core::{CancelToken, Event, Place, Reporter};

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
    let mut next = || {
        arguments
            .next()
            .ok_or("ARCHIVE DIRECTORY CONFIGURATION STATE")
    };
    let (archive, directory, config, state) = (next()?, next()?, next()?, next()?);
    let mut job = GuestRestore::new(archive, config, Place::new(state, "101".parse()?, None));
    // A directory is a storage, too.
    job.storage = Some(directory.to_string_lossy().parse()?);
    let restored = restore_guest(&job, &Print, &CancelToken::new())?;
    for (disk, volume) in &restored.disks {
        println!("{disk} {volume}");
    }
    Ok(())
}
