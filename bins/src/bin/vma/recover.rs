//! `vma recover`.

use std::fs;
use std::io::Read;
use std::sync::Arc;

use fleece_vma_format::recover::{ddrescue_map, recover as format_recover};
use fleece_vma_format::restore::Targets;
use fleece_vma_format::verify::{Damage, Watch};
use fleece_vma_format::{Error, Header};

use super::cli::{Format, RecoverArgs};
use super::disk::DiskTarget;
use super::extract::{Directory, Growing};
use super::failure::{Failure, Result};
use super::input::Input;
use super::list::print_text;
use super::verify::{Interruptible, tell};

/// Restores all that is intact, and says what is not.
pub(super) fn recover(args: &RecoverArgs) -> Result<()> {
    let mut input = Input::open(&args.archive)?;
    let mut directory = Directory::create(&args.directory)?;
    let mut header = None;
    let mut vmstate: Option<(u64, Arc<Growing>)> = None;
    let seekable = input.forgiving();
    let stream: Box<dyn Read + '_> = match &seekable {
        Some(zstd) => Box::new(zstd.reader()),
        None => Box::new(input.stream()?),
    };
    let open = |known: &Header| {
        header = Some(known.clone());
        prepare(known, &mut directory, &mut vmstate)
            .map_err(|failure| Error::io(failure.message(), std::io::ErrorKind::Other.into()))
    };
    let recovered = format_recover(Interruptible(stream), open, &mut Tell)?;
    let Some(header) = header else {
        return Err(Failure::new("the archive has no header"));
    };
    if let Some((size, file)) = vmstate {
        file.finish(size)?;
    }
    directory.publish()?;
    for device in header.devices() {
        let lost = recovered.lost.iter().find(|(id, _)| *id == device.id());
        let lost = lost.map_or(&[][..], |(_, ranges)| &ranges[..]);
        let map = args.directory.join(format!("disk-{}.map", device.name()));
        let written = fs::write(&map, ddrescue_map(device.size(), lost));
        written.map_err(|e| Failure::io(format!("cannot write {}", map.display()), e))?;
        let bytes: u64 = lost
            .iter()
            .map(|range| range.end.saturating_sub(range.start))
            .sum();
        let name = device.name();
        print_text(&format!(
            "{name}: {bytes} of {} bytes lost, see disk-{name}.map\n",
            device.size()
        ))?;
    }
    let count = recovered.damages;
    // Never a success: if nothing was found wrong, there was no reason to recover.
    let message = match count {
        0 => "no damage found; use `vma extract`".to_owned(),
        _ => format!("{count} damages found, what is intact has been restored"),
    };
    Err(Failure::damage(Some(message)))
}

fn prepare(
    header: &Header,
    directory: &mut Directory,
    vmstate: &mut Option<(u64, Arc<Growing>)>,
) -> Result<Targets<'static>> {
    for config in header.configs() {
        directory.write(config.name(), config.data())?;
    }
    let mut targets = Targets::new();
    for device in header.devices() {
        let name = device.name();
        if device.is_vmstate() {
            let file = Arc::new(directory.growing("vmstate.bin")?);
            *vmstate = Some((device.size(), Arc::clone(&file)));
            targets.insert(device.id(), Box::new(file));
            continue;
        }
        let (_, disk) = directory.disk(device, Format::Raw)?;
        directory.rename_later(format!("tmp-disk-{name}.raw"), format!("disk-{name}.raw"));
        targets.insert(device.id(), Box::new(DiskTarget::new(disk, false)));
    }
    Ok(targets)
}

struct Tell;

impl Watch for Tell {
    fn damage(&mut self, damage: Damage) {
        // Standard error that cannot be written to leaves nothing to be done.
        let _ = tell(&damage);
    }
}
