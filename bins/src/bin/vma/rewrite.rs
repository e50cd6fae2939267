//! `vma reframe` and `vma optimize`: the same disks in another archive.

use std::ffi::OsStr;

use fleece_vma_format::container::FrameOptions;
use fleece_vma_format::{Compression, Header, Reader, Repack, copy, stable_uuid};
use serde_json::json;

use super::cli::RewriteArgs;
use super::create::{tell, write};
use super::encryption::protection;
use super::failure::{Failure, Result, check};
use super::input::{anywhere, open, open_file};
use super::output;
use super::report;

/// Copies an archive into a container of our own: bit by bit, or aligned, which is another layout of the same.
pub(super) fn reframe(args: &RewriteArgs) -> Result<()> {
    if args.how.is_aligned() {
        return rewrite(args, |header| *header.uuid(), zstd());
    }
    let mut input = open(&args.archive)?;
    let mut reader = Reader::new(input.stream()?)?;
    let header = reader.header().clone();
    let compression = args.how.compression(zstd());
    let beside = !args.how.no_index && !matches!(compression, Compression::Zstd(_));
    let protection = protection(&args.how, &args.output)?;
    let sync = !args.how.no_sync;
    let archive = output::begin(&args.output, beside, sync, input.mode(), protection)?;
    let mut out = archive.output(&compression, None)?;
    if args.how.no_index {
        out = out.without_index();
    }
    copy(&mut reader, out, &mut |_| check())
        .map_err(|error| output::failed(&args.output, error))?;
    output::finish(archive)?;
    report::summary(|| {
        let devices = header
            .devices()
            .iter()
            .map(|device| json!({"name": device.name(), "size": device.size(), "zero": null}));
        json!({"archive": args.output.to_string_lossy(), "devices": devices.collect::<Vec<_>>()})
    })
}

/// Writes an archive's disks one after the other, each in order, under a uuid that depends on the
/// guest's devices and not on the day: what did not change is the same bytes in every backup.
pub(super) fn optimize(args: &RewriteArgs) -> Result<()> {
    rewrite(args, stable_uuid, Compression::None)
}

/// Writes an archive's disks in order, under another uuid.
fn rewrite(args: &RewriteArgs, uuid: fn(&Header) -> [u8; 16], default: Compression) -> Result<()> {
    let mut input = open_file(&args.archive)?;
    let archive = input.archive()?;
    let archive = anywhere(&archive)?;
    let builder = args
        .how
        .builder(uuid(archive.header()), archive.header().ctime());
    let repack = Repack::new(archive, builder).map_err(Failure::refused)?;
    let summary = write(
        repack.header(),
        &repack.sources(),
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
