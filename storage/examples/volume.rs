//! Allocates a qcow2 volume in a directory, writes, reads and frees it: `volume DIRECTORY`.

use fleece_storage::block::Access;
use fleece_storage::{AllocationRequest, Storages, VolumeFormat, free_names};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, directory] = arguments.as_slice() else {
        return Err("usage: volume DIRECTORY".into());
    };
    // With `Storages::from_config` it could be a storage of Proxmox's `storage.cfg`, by its id.
    let storage = Storages::none().open(directory)?;
    storage.activate()?;
    println!("{} bytes are free", storage.status()?.available);

    let guest = "100".parse()?;
    let names = free_names(storage.as_ref(), &guest, "disk", 1)?;
    let name = names.into_iter().next().ok_or("no name")?;
    let request = AllocationRequest::new(name, VolumeFormat::Qcow2, 1 << 30);
    let id = storage.allocate(&request)?;

    let disk = storage.open(&id, Access::ReadWrite)?;
    disk.write_at(b"hello", 1 << 20)?;
    disk.flush()?;
    let mut read = [0; 5];
    disk.read_at(&mut read, 1 << 20)?;
    println!("{id}: {} bytes, {:?}", disk.size(), read.as_slice());
    for volume in storage.list(Some(&guest))? {
        println!(
            "{}: {} takes {:?} bytes",
            volume.guest, volume.id, volume.used
        );
    }
    drop(disk);
    storage.free(&id)?;
    Ok(())
}
