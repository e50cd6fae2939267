//! What of a machine no configuration of Proxmox's can say.

use fleece_guest_config::{CardRecord, DiskRecord, MachineRecord};
use fleece_qmp_client::Client;
use serde_json::Value;

use super::Hardware;
use crate::command_line::{self, without_secrets};
use crate::discover::qom;
use crate::disk::Disk;
use crate::error::Error;

/// More words than any command line of people's; beyond, it is left out.
const MAX_COMMAND_LINE: usize = 24 << 10;

impl Hardware {
    /// The record of this machine with these `disks`.
    ///
    /// # Errors
    /// [`ErrorKind::Qemu`](crate::error::ErrorKind::Qemu).
    pub fn record(&self, client: &Client, disks: &[Disk]) -> Result<MachineRecord, Error> {
        let mut record = MachineRecord::new();
        record.machine.clone_from(&self.machine);
        record.threads = u32::try_from(self.threads).unwrap_or(1);
        if self.kernel.is_some() {
            record.kernel.clone_from(&self.kernel);
            let text = |property| qom::text(client, "/machine", property);
            let said = |text: &String| !text.is_empty();
            record.initrd = text("initrd")?.filter(said);
            let append = text("append")?.filter(said);
            record.append = append.and_then(|append| without_secrets(&[append]).pop());
        }
        let line = without_secrets(&self.command_line);
        if line.iter().map(String::len).sum::<usize>() <= MAX_COMMAND_LINE {
            record.command_line = line;
        }
        // The last one counts, and its first word is the model.
        let cpu = command_line::values(&self.command_line, "cpu").last();
        let flags = cpu.unwrap_or_default().split(',').skip(1);
        record.cpu_flags = flags.map(str::to_owned).collect();
        for card in &self.cards {
            let mut place = CardRecord::default();
            place.slot = slot(client, &card.path)?;
            record.cards.push(place);
        }
        for disk in disks {
            record.disks.push(attached(client, disk)?);
        }
        Ok(record)
    }
}

fn attached(client: &Client, disk: &Disk) -> Result<DiskRecord, Error> {
    let mut record = DiskRecord::default();
    record.device.clone_from(&disk.name);
    record.driver = disk.device_type.clone().unwrap_or_default();
    let Some(path) = disk.device_path.as_deref() else {
        return Ok(record);
    };
    let number = |property| number(client, path, property);
    // Of the device on the bus; its disk is within.
    record.slot = slot(client, path.trim_end_matches("/virtio-backend"))?;
    if record.driver.starts_with("scsi-") {
        record.target = number("scsi-id")?;
        record.lun = number("lun")?;
    }
    record.serial = qom::text(client, path, "serial")?.filter(|serial| !serial.is_empty());
    let wwn = qom::get(client, path, "wwn")?;
    record.wwn = wwn.as_ref().and_then(Value::as_u64).filter(|wwn| *wwn != 0);
    record.rotation_rate = number("rotation_rate")?.filter(|rate| *rate != 0);
    record.logical_block_size = number("logical_block_size")?;
    record.physical_block_size = number("physical_block_size")?;
    Ok(record)
}

fn number(client: &Client, path: &str, property: &str) -> Result<Option<u32>, Error> {
    let value = qom::get(client, path, property)?;
    let number = value.as_ref().and_then(Value::as_u64);
    Ok(number.and_then(|number| u32::try_from(number).ok()))
}

/// A device's slot, if it is on the first PCI bus, and its first function (QEMU's `addr`: slot times eight and the
/// function).
fn slot(client: &Client, path: &str) -> Result<Option<u32>, Error> {
    let bus = qom::text(client, path, "parent_bus")?.unwrap_or_default();
    if !bus.ends_with("/pci.0") && !bus.ends_with("/pcie.0") {
        return Ok(None);
    }
    let address = number(client, path, "addr")?;
    Ok(address.filter(|at| at & 7 == 0).map(|at| at >> 3))
}
