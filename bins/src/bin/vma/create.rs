//! `vma create`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fleece_vma_format::{Compression, DeviceSummary, Header, MAX_BLOB_SIZE, Source, Summary, pack};

use fleece_backup_core::{BaseArchive, PackedDisk};
use fleece_bins::advice::chain;
use serde_json::json;

use super::cli::{CreateArgs, OutputArgs};
use super::disk;
use super::failure::{Failure, Result, check};
use super::output;
use super::progress::{percent, progress_bar, progress_event};
use super::report::{self, talk};

/// Makes an archive of images.
pub(super) fn create(args: &CreateArgs) -> Result<()> {
    let drives = drives(args)?;
    let mut builder = args
        .output
        .builder(uuid::Uuid::new_v4().into_bytes(), now());
    for path in &args.configs {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        builder.add_config(name, config(path)?).map_err(refused)?;
    }
    let mut disks = Vec::new();
    for drive in &drives {
        let disk = disk::open(&drive.path, &drive.format)?;
        if drive.is_assumed {
            disk::check_format(&disk, &drive.path)?;
        }
        builder
            .add_device(&drive.name, disk.size())
            .map_err(refused)?;
        disks.push(disk);
    }
    let sources: Vec<&dyn Source> = disks.iter().map(|disk| disk as _).collect();
    let mut report = Report::new(
        args.verbose,
        args.progress,
        disks.iter().map(PackedDisk::size).sum(),
    );
    let header = builder.build()?;
    let summary = write(
        &header,
        &sources,
        (&args.archive, None),
        &args.output,
        Compression::None,
        &mut |d| {
            report.update(d);
        },
    )?;
    report.finish(&summary);
    tell(&args.archive, &summary)
}

/// What was written, for programs.
pub(super) fn tell(archive: &OsStr, summary: &Summary) -> Result<()> {
    report::summary(|| {
        let devices = summary.devices().iter().map(|device| {
            json!({"name": device.name(), "size": device.size(), "zero": device.zero_bytes()})
        });
        json!({"archive": archive.to_string_lossy(), "devices": devices.collect::<Vec<_>>()})
    })
}

/// Packs `sources` into a new archive, at a target that gets a mode if it is a file.
pub(super) fn write(
    header: &Header,
    sources: &[&dyn Source],
    (target, mode): (&OsStr, Option<u32>),
    how: &OutputArgs,
    default: Compression,
    progress: &mut (dyn FnMut(&[DeviceSummary]) + Send),
) -> Result<Summary> {
    let compression = how.compression(default);
    let beside = !how.no_index && !matches!(compression, Compression::Zstd(_));
    let base = base(how, &compression)?;
    let archive = output::begin(target, beside, !how.no_sync, mode)?;
    let mut output = archive.output(&compression, base.as_ref())?;
    if how.no_index {
        output = output.without_index();
    }
    let packed = pack(header, sources, output, &mut |devices| {
        progress(devices);
        check()
    });
    let (summary, ..) = packed.map_err(|error| output::failed(target, error))?;
    output::finish(archive)?;
    match base.as_ref().and_then(BaseArchive::warning) {
        Some(warning) => Err(Failure::warning(&warning.message)),
        None => Ok(summary),
    }
}

/// The archive with which the new one shares what has not changed.
fn base(how: &OutputArgs, compression: &Compression) -> Result<Option<BaseArchive>> {
    let Some(path) = &how.reuse else {
        return Ok(None);
    };
    match compression {
        Compression::None => Ok(Some(BaseArchive::open(path)?)),
        _ => Err(Failure::usage(
            "parts of a compressed archive cannot be shared: --reuse needs --compress none",
        )),
    }
}

/// A disk as it was asked for.
struct Drive {
    name: String,
    path: PathBuf,
    format: String,
    /// Whether nobody has said that this is its format.
    is_assumed: bool,
}

fn drives(args: &CreateArgs) -> Result<Vec<Drive>> {
    if args.drives.is_empty() {
        if !args.legacy.is_empty() {
            report::warning("disks without -d are deprecated, use -d format=raw:NAME=PATH");
        }
        return args
            .legacy
            .iter()
            .zip(0..)
            .map(|(text, n)| {
                Ok(Drive {
                    is_assumed: true,
                    ..drive(text, n, "raw")?
                })
            })
            .collect();
    }
    if let Some(extra) = args.legacy.first() {
        let what = extra.display();
        return Err(Failure::usage(format!(
            "Unexpected extra argument {what} - specify all devices via '-d'"
        )));
    }
    let parse = |(text, number): (&OsString, usize)| {
        let rest = text.as_bytes().strip_prefix(b"format=");
        let at = rest.and_then(|rest| rest.iter().position(|&byte| byte == b':'));
        let split = rest
            .zip(at)
            .and_then(|(rest, at)| rest.split_at_checked(at));
        let missing = || {
            Failure::usage(format!(
                "No format specified for device: '{}'",
                text.display()
            ))
        };
        let (format, rest) = split.ok_or_else(missing)?;
        let format = String::from_utf8_lossy(format);
        drive(
            OsStr::from_bytes(rest.get(1..).unwrap_or_default()),
            number,
            &format,
        )
    };
    args.drives.iter().zip(0..).map(parse).collect()
}

/// `NAME=PATH`, or a path alone, which is named after its number.
fn drive(text: &OsStr, number: usize, format: &str) -> Result<Drive> {
    let bytes = text.as_bytes();
    let at = bytes.iter().position(|&byte| byte == b'=');
    let (name, path) = match at.and_then(|at| bytes.split_at_checked(at)) {
        Some((name, path)) => (
            String::from_utf8_lossy(name).into_owned(),
            path.get(1..).unwrap_or_default(),
        ),
        None => (format!("disk{number}"), bytes),
    };
    if path.is_empty() {
        return Err(Failure::usage(format!("no path for device '{name}'")));
    }
    Ok(Drive {
        name,
        path: PathBuf::from(OsStr::from_bytes(path)),
        format: format.to_owned(),
        is_assumed: false,
    })
}

/// Reads a config, but not much more than an archive can hold.
fn config(path: &Path) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let limit = (MAX_BLOB_SIZE as u64).saturating_add(1);
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut data));
    read.map_err(|e| Failure::io(format!("Unable to read file: {}", path.display()), e))?;
    if data.len() > MAX_BLOB_SIZE {
        let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let size = match size.max(limit) {
            least if least == limit => format!("more than {MAX_BLOB_SIZE}"),
            size => size.to_string(),
        };
        return Err(Failure::new(format!(
            "config {} has {size} bytes, an archive holds at most {MAX_BLOB_SIZE} each",
            path.display()
        )));
    }
    Ok(data)
}

/// What cannot be put into an archive is no damage of one.
fn refused(error: fleece_vma_format::Error) -> Failure {
    Failure::new(chain(&error))
}

fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// The reference's lines on standard error, or a bar.
struct Report {
    verbose: bool,
    total: u64,
    percent: Option<u64>,
    bar: indicatif::ProgressBar,
}

impl Report {
    fn new(verbose: bool, bar: bool, total: u64) -> Self {
        Self {
            verbose,
            total,
            percent: None,
            bar: progress_bar(total, bar),
        }
    }

    fn update(&mut self, devices: &[DeviceSummary]) {
        let done: u64 = devices.iter().map(DeviceSummary::bytes).sum();
        self.bar.set_position(done);
        let percent = percent(done, self.total);
        let is_told = self.verbose || report::is_events();
        if is_told && self.percent.replace(percent) != Some(percent) {
            if report::is_events() {
                // Whether anybody reads it makes no difference to the work.
                let _ = report::event(&progress_event(done, self.total));
                return;
            }
            let zero: u64 = devices.iter().map(DeviceSummary::zero_bytes).sum();
            talk(format_args!(
                "progress {percent}% {done}/{} {zero}",
                self.total
            ));
        }
    }

    fn finish(&self, summary: &Summary) {
        self.bar.finish_and_clear();
        let is_told = self.verbose && !report::is_events();
        for device in summary.devices().iter().filter(|_| is_told) {
            let (size, zeros) = (device.size(), device.zero_bytes());
            let saved = size.saturating_sub(zeros);
            talk(format_args!(
                "image {}: size={size} zeros={zeros} saved={saved}",
                device.name()
            ));
        }
    }
}
