//! Gets one disk out of any archive: `read_disk ARCHIVE DEVICE FILE`. Without a device it lists them.

use std::env::args;
use std::fs::File;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: read_disk ARCHIVE [DEVICE FILE]";
    let path = args().nth(1).ok_or(usage)?;
    let mut archive = fleece_vma_format::open(path)?;
    let Some(name) = args().nth(2) else {
        for device in archive.header().devices() {
            println!("{} {}", device.name(), device.size());
        }
        return Ok(());
    };
    let file = File::create_new(args().nth(3).ok_or(usage)?)?;
    archive.copy_device(&name, &file)?;
    file.sync_all()?;
    Ok(())
}
