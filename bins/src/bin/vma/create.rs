//! `vma create`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fleece_vma_format::{Compression, DeviceSummary, Header, Source, Summary, pack};

use fleece_backup_core::{BaseArchive, Compression as Kind, NamedFile, PackedDisk, VolumeFormat};
use fleece_bins::advice::made_raw;
use fleece_storage::block::Look;
use jiff::Timestamp;
use serde_json::json;

use super::cli::{CreateArgs, OutputArgs};
use super::encryption::protection;
use super::failure::{Failure, Result, check};
use super::output;
use super::progress::Progress;
use super::report::{self, talk};

/// Makes an archive of images.
pub(super) fn create(args: &CreateArgs) -> Result<()> {
    let drives = drives(args)?;
    let uuid = uuid::Uuid::new_v4().into_bytes();
    let mut builder = args.output.builder(uuid, Timestamp::now().as_second());
    for path in &args.configs {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        builder
            .add_config(name, NamedFile::new(path).read()?)
            .map_err(Failure::refused)?;
    }
    let mut disks = Vec::new();
    for drive in &drives {
        let disk = PackedDisk::open(&drive.path, drive.format)?;
        if drive.is_assumed {
            check_format(&disk, &drive.path)?;
        }
        builder
            .add_device(&drive.name, disk.size())
            .map_err(Failure::refused)?;
        disks.push(disk);
    }
    let sources: Vec<&dyn Source> = disks.iter().map(|disk| disk as _).collect();
    let total = disks.iter().map(PackedDisk::size).sum();
    let mut progress = Progress::new(total, args.verbose, args.progress);
    let header = builder.build()?;
    let summary = write(
        &header,
        &sources,
        (&args.archive, None),
        &args.output,
        Compression::None,
        &mut |devices| advance(&mut progress, total, devices),
    )?;
    finish(&progress, &summary);
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
    let protection = protection(how, target)?;
    let archive = output::begin(target, beside, !how.no_sync, mode, protection)?;
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
    let like = match compression {
        Compression::None => Kind::None,
        Compression::Zstd(options) => Kind::Zstd(options.level),
        _ => {
            let message = "parts of an archive in gzip cannot be shared: --reuse needs --compress none or zstd";
            return Err(Failure::usage(message));
        }
    };
    let base = BaseArchive::open(path)?;
    match base.fits(like) {
        true => Ok(Some(base)),
        false => Err(Failure::usage(format!(
            "{} is not compressed like the new archive, and nothing of it can be shared",
            path.display()
        ))),
    }
}

/// A disk as it was asked for.
struct Drive {
    name: String,
    path: PathBuf,
    format: VolumeFormat,
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
                    ..drive(text, n, VolumeFormat::Raw)?
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
        let format = image_format(&String::from_utf8_lossy(format))?;
        let rest = OsStr::from_bytes(rest.get(1..).unwrap_or_default());
        drive(rest, number, format)
    };
    args.drives.iter().zip(0..).map(parse).collect()
}

/// `NAME=PATH`, or a path alone, which is named after its number.
fn drive(text: &OsStr, number: usize, format: VolumeFormat) -> Result<Drive> {
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
        format,
        is_assumed: false,
    })
}

fn image_format(name: &str) -> Result<VolumeFormat> {
    name.parse().map_err(|_| {
        Failure::new(format!(
            "image format {name} is not supported: use raw or qcow2, or convert it with qemu-img"
        ))
    })
}

/// That a raw image does not look like one of another format.
fn check_format(disk: &PackedDisk, path: &Path) -> Result<()> {
    let Some(look) = disk.looks_like()? else {
        return Ok(());
    };
    let right = match look {
        Look::Image("qcow2") => "use -d format=qcow2:NAME=PATH",
        look => made_raw(look),
    };
    Err(Failure::new(format!(
        "{}: this looks like {look}; {right}, or use -d format=raw:NAME=PATH if these are the disk's own bytes",
        path.display()
    )))
}

/// Tells how far it is; whether anybody reads it makes no difference to the work.
fn advance(progress: &mut Progress, total: u64, devices: &[DeviceSummary]) {
    let done = devices.iter().map(DeviceSummary::bytes).sum();
    let zero: u64 = devices.iter().map(DeviceSummary::zero_bytes).sum();
    let _ = progress.advance(done, |percent| {
        talk(format_args!("progress {percent}% {done}/{total} {zero}"));
        Ok(())
    });
}

/// The reference's lines about each disk.
fn finish(progress: &Progress, summary: &Summary) {
    progress.clear();
    for device in summary.devices().iter().filter(|_| progress.has_lines()) {
        let (size, zeros) = (device.size(), device.zero_bytes());
        let saved = size.saturating_sub(zeros);
        talk(format_args!(
            "image {}: size={size} zeros={zeros} saved={saved}",
            device.name()
        ));
    }
}
