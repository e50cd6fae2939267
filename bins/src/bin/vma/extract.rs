//! `vma extract`.

mod place;
#[cfg(unix)]
#[path = "extract/unix.rs"]
mod places;
#[cfg(windows)]
#[path = "extract/windows.rs"]
mod places;

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use fleece_units as units;
use fleece_vma_format::{Archive, Config, Device, Tally};
use serde_json::json;

use super::cli::ExtractArgs;
use super::failure::{Failure, Result, check};
use super::input::{chosen, warn_of_index};
use super::list;
use super::progress::Progress;
use super::report;
use place::Place;
use places::Places;

/// Writes configs and disks of an archive.
pub(super) fn extract(args: &ExtractArgs) -> Result<()> {
    places::check(args)?;
    let mut archive = places::opened(args)?;
    let header = archive.header().clone();
    let wanted = chosen(&header, args.drives.as_deref())?;
    if args.directory.as_os_str() == "-" {
        return to_stdout(&archive, &wanted, args);
    }
    let mut places = Places::create(args, &header)?;
    let devices = match &args.map {
        Some(path) => {
            list::print(&header)?;
            places.mapped(&wanted, path)?
        }
        None => in_directory(&mut places, &wanted)?,
    };
    let read = places.reads(&archive);
    let mut progress = Progress::of_reading(&read, args.verbose, args.progress);
    let mut told = Tally::new(&header);
    let mut update = |tally: &Tally| {
        told = tally.clone();
        progress.update(tally).map_err(|failure| {
            let broken = io::Error::other(failure.message().to_owned());
            fleece_vma_format::Error::io("cannot report progress", broken)
        })?;
        check()
    };
    let run = places.run(args, &mut archive, &mut update);
    warn_of_index(&archive);
    run?;
    let written = places.finish()?;
    progress.finish(&told)?;
    if let Some(written) = written {
        let (written, bytes) = (units::bytes(written), units::bytes(told.bytes()));
        report::note(format_args!(
            "wrote {written} of {bytes}: the rest was there"
        ));
    }
    report::summary(|| {
        let configs = header.configs().iter().map(Config::name);
        json!({
            "directory": args.directory,
            "configs": configs.collect::<Vec<_>>(),
            "devices": devices.iter().map(Place::told).collect::<Vec<_>>(),
            "bytes": told.bytes(),
            "sparse_bytes": told.sparse(),
            "written": written,
        })
    })
}

/// Each device to a file of its own.
fn in_directory(places: &mut Places, wanted: &[&Device]) -> Result<Vec<Place>> {
    let mut devices = Vec::new();
    for device in wanted {
        let path = places.device(device)?;
        if let Some(path) = path.as_ref().filter(|_| !report::is_events()) {
            report::print_text(&format!("DEVINFO {} {}\n", path.display(), device.size()))?;
        }
        devices.push(Place::of(device, path.as_deref()));
    }
    Ok(devices)
}

/// Writes one device, from its first byte to its last, to standard output.
fn to_stdout(archive: &Archive<'static>, wanted: &[&Device], args: &ExtractArgs) -> Result<()> {
    let [device] = wanted else {
        let message = "standard output takes one device: choose it with -d";
        return Err(Failure::usage(message));
    };
    if args.map.is_some() || args.format != "raw" {
        return Err(Failure::usage(
            "standard output takes a raw disk; convert it behind the pipe, or `vma serve` it to qemu-img convert",
        ));
    }
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        return Err(Failure::usage("a disk is not written to a terminal"));
    }
    // Archives hold the clusters of a disk in any order.
    let open = archive.if_random_access()?;
    warn_of_index(archive);
    if open.is_none() {
        return Err(Failure::new(
            "this archive can only be read from front to back, and a pipe takes a disk in its own order; extract it to a \
             directory, or make a seekable archive with `vma reframe` first",
        ));
    }
    let mut reader = archive.device(device.name())?.reader()?;
    let mut data = vec![0; 1 << 20];
    loop {
        check()?;
        match reader.read(&mut data) {
            Ok(0) => break out.flush().map_err(Failure::output)?,
            Ok(count) => out
                .write_all(data.get(..count).unwrap_or_default())
                .map_err(Failure::output)?,
            Err(error) => return Err(Failure::io("cannot read the archive", error)),
        }
    }
    report::summary(
        || json!({"devices": [{"name": device.name(), "size": device.size(), "path": null}]}),
    )
}
