//! `vma serve`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fleece_nbd::{Address, Export, Extent, Server, ServerOptions};
use fleece_vma_format::{Archive, Device, DeviceId, Stretch};

use fleece_bins::advice::chain;

use super::cli::ServeArgs;
use super::copy::{Make, open_seekable};
use super::failure::{Failure, Result};
use super::input::need_anywhere;
use super::report;
use super::report::print_text;
use fleece_bins::{events, signals};
use serde_json::json;

/// How long clients' requests under way may take at the end.
const GRACE: Duration = Duration::from_secs(1);

/// How many extents are told at once, of 8 bytes each: whoever reads what is scattered would ask for each otherwise.
const MAX_EXTENTS: usize = 512;

/// Serves disks until a signal comes.
pub(super) fn serve(args: &ServeArgs) -> Result<()> {
    let archive = Arc::new(open_seekable(&args.archive, &args.copy, Make::Needed)?);
    need_anywhere(&archive)?;
    let disks = chosen(&archive, args.drives.as_deref())?;
    let address = Address::Unix(args.socket.clone());
    let server = Server::start(&address, &ServerOptions::default()).map_err(failed)?;
    let mut uris = String::new();
    for disk in disks {
        let export = ArchivedDisk {
            archive: Arc::clone(&archive),
            device: disk.id(),
            size: disk.size(),
        };
        server
            .add_export(disk.name(), Arc::new(export))
            .map_err(failed)?;
        let uri = address.uri(disk.name());
        report::event(&events::status_of(
            json!({"device": disk.name(), "uri": uri}),
        ))?;
        uris.push_str(&format!("{uri}\n"));
    }
    if !report::is_events() {
        print_text(&uris)?;
    }
    // Never a message: it is disconnected by a signal.
    let _ = signals::token().fired().recv();
    server.shutdown(GRACE).map_err(failed)
}

/// The disks that were asked for, or all. Saved RAM is no disk.
fn chosen<'a>(archive: &'a Archive<'static>, names: Option<&[String]>) -> Result<Vec<&'a Device>> {
    let disks = archive.header().devices().iter();
    let disks: Vec<_> = disks.filter(|device| !device.is_vmstate()).collect();
    if disks.is_empty() {
        return Err(Failure::new("the archive has no disks to serve"));
    }
    let Some(names) = names else {
        return Ok(disks);
    };
    let known: Vec<_> = disks.iter().map(|disk| disk.name()).collect();
    let named = |name: &String| {
        let disk = disks.iter().find(|disk| disk.name() == name).copied();
        disk.ok_or_else(|| {
            let known = known.join(", ");
            Failure::new(format!("the archive has no disk {name:?}; it has: {known}"))
        })
    };
    names.iter().map(named).collect()
}

fn failed(error: fleece_nbd::Error) -> Failure {
    Failure::new(chain(&error))
}

/// A disk as it was when it was backed up.
struct ArchivedDisk {
    archive: Arc<Archive<'static>>,
    device: DeviceId,
    size: u64,
}

impl Export for ArchivedDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        Ok(self
            .archive
            .random_access()?
            .read_at(self.device, offset, buffer)?)
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<Extent>> {
        let archive = self.archive.random_access()?;
        let stretches = archive.stretches_at(self.device, offset, length, MAX_EXTENTS)?;
        let extent = |stretch: Stretch| match stretch.data {
            true => Extent::data(stretch.length),
            false => Extent::hole(stretch.length),
        };
        Ok(stretches.into_iter().map(extent).collect())
    }
}
