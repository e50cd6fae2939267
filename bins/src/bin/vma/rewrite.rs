//! `vma reframe` and `vma optimize`: the same disks in another archive.

use std::ffi::OsStr;
use std::io::{self, Read, Write};

use fleece_vma_format::container::FrameOptions;
use fleece_vma_format::{
    Compression, DeviceId, ExtentWriter, Output, ReadAt, Reader, Source, Stretch,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::cli::RewriteArgs;
use super::create::{tell, write};
use super::failure::{Failure, Result};
use super::input::{Anywhere, need_anywhere, open, open_file};
use super::output;
use super::report;

/// Copies an archive into a container of our own: bit by bit, or aligned, which is another layout of the same.
pub(super) fn reframe(args: &RewriteArgs) -> Result<()> {
    if args.how.is_aligned() {
        return rewrite(args, |archive| *archive.header().uuid(), zstd());
    }
    let mut input = open(&args.archive)?;
    let mut reader = Reader::new(input.stream()?)?;
    let header = reader.header().clone();
    let compression = args.how.compression(zstd());
    let beside = !args.how.no_index && !matches!(compression, Compression::Zstd(_));
    let archive = output::begin(&args.output, beside, !args.how.no_sync, input.mode())?;
    let mut out = archive.output(&compression, None)?;
    if args.how.no_index {
        out = out.without_index();
    }
    copy(&mut reader, out).map_err(|error| output::failed(&args.output, error))?;
    output::finish(archive)?;
    report::summary(|| {
        let devices = header
            .devices()
            .iter()
            .map(|device| json!({"name": device.name(), "size": device.size(), "zero": null}));
        json!({"archive": args.output.to_string_lossy(), "devices": devices.collect::<Vec<_>>()})
    })
}

fn copy<W: Write>(
    reader: &mut Reader<impl Read>,
    output: Output<W>,
) -> fleece_vma_format::Result<()> {
    let mut writer = ExtentWriter::new(reader.header(), output)?;
    while let Some(extent) = reader.next_extent()? {
        writer.write(extent, &mut |extent| reader.recycle(extent))?;
    }
    writer.finish(&mut drop).map(drop)
}

/// Writes an archive's disks one after the other, each in order, under a uuid that depends on the
/// guest's devices and not on the day: what did not change is the same bytes in every backup.
pub(super) fn optimize(args: &RewriteArgs) -> Result<()> {
    rewrite(args, stable_uuid, Compression::None)
}

/// Writes an archive's disks in order, under another uuid.
fn rewrite(
    args: &RewriteArgs,
    uuid: impl Fn(&Anywhere) -> [u8; 16],
    default: Compression,
) -> Result<()> {
    let mut input = open_file(&args.archive)?;
    let archive = input.archive()?;
    let archive = need_anywhere(&archive)?;
    let old = archive.header();
    if old
        .devices()
        .iter()
        .any(fleece_vma_format::Device::is_vmstate)
    {
        return Err(Failure::new(
            "an archive with RAM state cannot be put in another order",
        ));
    }
    let mut builder = args.how.builder(uuid(archive), old.ctime());
    for config in old.configs() {
        builder.add_config(config.name(), config.data())?;
    }
    let mut disks = Vec::new();
    for device in old.devices() {
        builder.add_device(device.name(), device.size())?;
        disks.push(ArchivedDisk {
            archive,
            device: device.id(),
        });
    }
    let sources: Vec<&dyn Source> = disks.iter().map(|disk| disk as _).collect();
    let header = builder.build()?;
    let summary = write(
        &header,
        &sources,
        (OsStr::new(&args.output), input.mode()),
        &args.how,
        default,
        &mut |_| {},
    )?;
    tell(&args.output, &summary)
}

fn zstd() -> Compression {
    Compression::Zstd(FrameOptions::default())
}

/// The same for every backup of a guest with the same devices.
fn stable_uuid(archive: &Anywhere) -> [u8; 16] {
    let mut names = String::from("fleece optimize 1");
    for device in archive.header().devices() {
        names.push_str(&format!("\n{} {}", device.name(), device.size()));
    }
    let digest: [u8; 32] = Sha256::digest(names.as_bytes()).into();
    let start = digest.first_chunk().copied().unwrap_or_default();
    // The layout of a random uuid, for those who look at it.
    uuid::Builder::from_custom_bytes(start)
        .into_uuid()
        .into_bytes()
}

/// A disk inside an archive.
struct ArchivedDisk<'a> {
    archive: &'a Anywhere,
    device: DeviceId,
}

impl Source for ArchivedDisk<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.archive
            .device(self.device)?
            .read_exact_at(buffer, offset)
    }

    fn stretch_at(&self, offset: u64, _: u64) -> io::Result<Stretch> {
        Ok(self.archive.stretch_at(self.device, offset)?)
    }
}
