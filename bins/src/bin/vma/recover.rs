//! `vma recover`.

use std::io::Read;

use fleece_backup_core::input::{Cancellable, Input};
use fleece_backup_core::restore::{Directory, Extraction};
use fleece_bins::{exit, signals};
use fleece_storage::VolumeFormat;
use fleece_vma_format::Header;
use fleece_vma_format::recover::{Recovered, ddrescue_map, recover as format_recover};
use fleece_vma_format::restore::Targets;
use fleece_vma_format::verify::{Damage, Watch};
use serde_json::{Value, json};

use super::cli::RecoverArgs;
use super::failure::{Failure, Result};
use super::input::{index, open};
use super::report;
use super::report::print_text;
use super::verify::{tell, untold};

/// Restores all that is intact, and says what is not.
pub(super) fn recover(args: &RecoverArgs) -> Result<()> {
    let mut input = open(&args.archive)?;
    let mut job = Job {
        directory: Directory::create(&args.directory)?,
        extraction: Extraction::new(true, signals::token()),
        header: None,
    };
    let mut index = known(args, &input)?;
    let seekable = input.forgiving();
    let stream: Box<dyn Read + '_> = match &seekable {
        Some(zstd) => Box::new(zstd.reader()),
        None => Box::new(input.stream()?),
    };
    let open = |header: &Header| job.prepare(header);
    let stream = Cancellable::new(stream, signals::token());
    let known = index.as_mut().map(|index| index as &mut dyn Read);
    let recovered = format_recover(stream, known, open, &mut Tell)?;
    let disks = job.finish(&recovered)?;
    untold(recovered.damages());
    // The damage counts more than whether anybody reads this.
    let _ = report::summary(|| {
        json!({
            "directory": args.directory,
            "damages": recovered.damages(),
            "payload_checked": index.is_some(),
            "devices": disks,
        })
    });
    match recovered.damages() {
        0 if index.is_none() => {
            report::note("no damage found, but the payload has not been checked: there is no index")
        }
        0 => {}
        count => {
            if report::is_events() {
                return Err(Failure::silent(exit::DAMAGE));
            }
            let damages = if count == 1 { "damage" } else { "damages" };
            let message = format!("{count} {damages} found, what is intact has been restored");
            return Err(Failure::damage(Some(message)));
        }
    }
    Ok(())
}

/// One that cannot be had is not needed, unless it was asked for.
fn known(args: &RecoverArgs, input: &Input) -> Result<Option<Box<dyn Read + Send>>> {
    match index(input, args.index.as_deref()) {
        Ok(index) => Ok(index.map(|(_, index)| index)),
        Err(failure) if args.index.is_some() => Err(failure),
        Err(failure) => {
            report::warning(failure.message());
            Ok(None)
        }
    }
}

/// Where everything goes.
struct Job {
    directory: Directory,
    extraction: Extraction,
    header: Option<Header>,
}

impl Job {
    fn prepare(&mut self, header: &Header) -> Result<Targets<'static>> {
        self.header = Some(header.clone());
        for config in header.configs() {
            self.directory.write(config.name(), config.data())?;
        }
        for device in header.devices() {
            self.extraction
                .to_directory(device, VolumeFormat::Raw, &mut self.directory)?;
        }
        Ok(self.extraction.targets())
    }

    /// Names the disks, and writes beside each what it lacks; it gives that for programs.
    fn finish(mut self, recovered: &Recovered) -> Result<Vec<Value>> {
        self.extraction.finish()?;
        let mut told = String::new();
        let mut found = Vec::new();
        for device in self.header.iter().flat_map(Header::devices) {
            let name = device.name();
            if device.is_vmstate() {
                // How long it was, the archive does not tell.
                told.push_str(&format!("{name}: what is there of it is in vmstate.bin\n"));
                continue;
            }
            let map = format!("disk-{name}.map");
            let mut bytes = 0_u64;
            let lost = recovered.lost(device.id()).inspect(|range| {
                bytes = bytes.saturating_add(range.end.saturating_sub(range.start));
            });
            self.directory
                .write_with(&map, |out| ddrescue_map(out, device.size(), lost))?;
            let size = device.size();
            found.push(json!({"name": name, "size": size, "lost": bytes, "map": map}));
            told.push_str(&format!(
                "{name}: {bytes} of {size} bytes lost, see {map}\n"
            ));
        }
        self.directory.publish(true)?;
        if !report::is_events() {
            // Whether anybody reads it makes no difference to the work.
            let _ = print_text(&told);
        }
        Ok(found)
    }
}

struct Tell;

impl Watch for Tell {
    fn damage(&mut self, damage: Damage) {
        // Whether anybody reads it makes no difference to the work.
        let _ = tell(&damage);
    }
}
