//! `vma extract`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fleece_backup_core::restore::{Directory, Extraction};
use fleece_storage::VolumeFormat;
use fleece_units as units;
use fleece_vma_format::container::Container;
use fleece_vma_format::map;
use fleece_vma_format::{Archive, Config, Device, Tally};
use serde_json::{Value, json};

use super::cli::ExtractArgs;
use super::copy::{Make, open_seekable};
use super::failure::{Failure, Result, check};
use super::input::{chosen, open, warn_of_index};
use super::list;
use super::progress::Progress;
use super::report;
use fleece_bins::signals;

/// Writes configs and disks of an archive.
pub(super) fn extract(args: &ExtractArgs) -> Result<()> {
    let format = format(args)?;
    let mut archive = opened(args)?;
    let header = archive.header().clone();
    let wanted = chosen(&header, args.drives.as_deref())?;
    if args.directory.as_os_str() == "-" {
        return to_stdout(&archive, &wanted, args);
    }
    let mut directory = Directory::create(&args.directory)?;
    for config in header.configs() {
        directory.write(config.name(), config.data())?;
    }
    let written = args.in_place.then(Arc::<AtomicU64>::default);
    let mut job = Job {
        extraction: Extraction::new(!args.no_sync, signals::token()),
        places: Vec::new(),
    };
    match &args.map {
        Some(path) => {
            list::print(&header)?;
            job.mapped(&wanted, path, written.as_ref(), &mut directory)?;
        }
        None => wanted
            .iter()
            .try_for_each(|device| job.in_directory(device, format, &mut directory))?,
    }
    if archive.container() == Container::Plain && archive.is_seekable() {
        let file = open(&args.archive)?.shared_file();
        file.into_iter()
            .for_each(|file| job.extraction.share_with(file));
    }
    let read = job.extraction.reads(&archive);
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
    let run = job.extraction.run(&mut archive, &mut update);
    warn_of_index(&archive);
    run?;
    job.extraction.finish()?;
    directory.publish(!args.no_sync)?;
    progress.finish(&told)?;
    let written = written.map(|written| written.load(Ordering::Relaxed));
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
            "devices": job.places,
            "bytes": told.bytes(),
            "sparse_bytes": told.sparse(),
            "written": written,
        })
    })
}

/// The archive, or a copy of it, where that spares reading all of it.
fn opened(args: &ExtractArgs) -> Result<Archive<'static>> {
    let to_stdout = args.directory.as_os_str() == "-";
    let mut input = open(&args.archive)?;
    match input.is_file() && args.map.is_none() && (to_stdout || args.drives.is_some()) {
        true if to_stdout => open_seekable(&args.archive, &args.copy, Make::Needed),
        true => open_seekable(&args.archive, &args.copy, Make::Asked),
        false => Ok(input.archive()?),
    }
}

/// The format of the images; what is written by others' programs comes with the commands.
fn format(args: &ExtractArgs) -> Result<VolumeFormat> {
    match args.format.as_str() {
        "raw" => Ok(VolumeFormat::Raw),
        "qcow2" => Ok(VolumeFormat::Qcow2),
        other @ ("vmdk" | "vhdx" | "vdi" | "vpc" | "vhd" | "qed" | "parallels") => {
            let other = if other == "vhd" { "vpc" } else { other };
            let archive = args.archive.to_string_lossy();
            let archive = shlex::try_quote(&archive).unwrap_or_default();
            Err(Failure::usage(format!(
                "{other} images are written by qemu-img: `vma serve {archive} SOCKET`, and then for each URI that it prints \
                 `qemu-img convert -f raw -O {other} URI DISK`; or extract raw images, and convert those"
            )))
        }
        other => Err(Failure::usage(format!(
            "there is no image format {other}: use raw or qcow2"
        ))),
    }
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

/// Where everything goes, and how programs are told so.
struct Job {
    extraction: Extraction,
    places: Vec<Value>,
}

impl Job {
    fn add_place(&mut self, device: &Device, path: &Path) {
        let place = json!({"name": device.name(), "size": device.size(), "path": path});
        self.places.push(place);
    }

    /// A device to a file of its own.
    fn in_directory(
        &mut self,
        device: &Device,
        format: VolumeFormat,
        directory: &mut Directory,
    ) -> Result<()> {
        let path = self.extraction.to_directory(device, format, directory)?;
        let Some(path) = path else {
            self.add_place(device, Path::new("vmstate.bin"));
            return Ok(());
        };
        if !report::is_events() {
            report::print_text(&format!("DEVINFO {} {}\n", path.display(), device.size()))?;
        }
        self.add_place(device, &named(&path));
        Ok(())
    }

    /// Every device to where the map says.
    fn mapped(
        &mut self,
        wanted: &[&Device],
        path: &Path,
        written: Option<&Arc<AtomicU64>>,
        directory: &mut Directory,
    ) -> Result<()> {
        let cannot_open = |e| Failure::io(format!("unable to open fifo {}", path.display()), e);
        // Both wait for whoever says where the disks go.
        let records = signals::at_once(|| {
            let file = File::open(path).map_err(cannot_open)?;
            map::read(BufReader::new(file)).map_err(Failure::from)
        })?;
        for device in wanted.iter().filter(|device| device.is_vmstate()) {
            self.in_directory(device, VolumeFormat::Raw, directory)?;
        }
        let places: Result<Vec<_>> = self.extraction.to_mapped(wanted, records, written);
        for (device, path) in places? {
            self.add_place(device, &path);
        }
        Ok(())
    }
}

/// What a file is called once all are complete; as in the reference, it has another name before.
fn named(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    path.with_file_name(OsStr::from_bytes(
        name.strip_prefix(b"tmp-").unwrap_or(name),
    ))
}
