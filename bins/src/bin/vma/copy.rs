//! Archives that can only be read from front to back, read at any offset: through a copy that is made once.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use fleece_backup_core::Error;
use fleece_backup_core::input::{CopyCost, CopyPlace, FoundCopy, Input};
use fleece_bins::signals;
use fleece_units as units;
use fleece_vma_format::Archive;

use super::cli::CopyArgs;
use super::failure::{Failure, Result, check};
use super::input::open_file;
use super::progress::Progress;
use super::report;

/// When the rate is known well enough to tell how long it will take.
const MEASURED: Duration = Duration::from_secs(2);

/// Whether a copy is made where there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    /// Nothing else will do.
    Needed,
    /// Only if the command line speaks of copies.
    Asked,
}

/// Opens an archive, or a copy of it that can be read at any offset; the archive itself where there is none.
pub(super) fn open_seekable(path: &OsStr, args: &CopyArgs, make: Make) -> Result<Archive<'static>> {
    let mut input = open_file(path)?;
    let archive = input.archive()?;
    let asked = args.cache.is_some() || args.reframe_to.is_some();
    let Some(place) = args.place().filter(|_| !archive.is_seekable()) else {
        return Ok(archive);
    };
    match place.find(&input, archive.header(), signals::token())? {
        FoundCopy::Copy(mut copy) => return Ok(copy.archive()?),
        FoundCopy::None(warning) => {
            if let Some(warning) = warning {
                report::warning(warning);
            }
        }
    }
    if make == Make::Asked && !asked {
        report::note(
            "this archive can only be read from front to back, so all of it is read for these devices; with --cache DIR \
             a seekable copy is kept for the next time",
        );
        return Ok(archive);
    }
    let cost = place.cost(&input, archive.header()).map_err(elsewhere)?;
    drop(archive);
    Ok(made(&place, &mut input, &cost)?.archive()?)
}

/// Makes the copy, and says before what that costs, and soon how long it takes.
fn made(place: &CopyPlace, input: &mut Input, cost: &CopyCost) -> Result<Input> {
    report::note(format_args!(
        "this archive can only be read from front to back: all of it ({}) is read once now, and a seekable copy of about \
         that size is kept as {} ({} free there)",
        units::bytes(cost.bytes),
        cost.path.display(),
        units::bytes(cost.available),
    ));
    let begun = Instant::now();
    let mut is_told = false;
    let mut progress = Progress::new(cost.bytes, false, false);
    let copy = place.make(input, cost, &mut |read| {
        if !is_told && begun.elapsed() >= MEASURED {
            is_told = true;
            report::note(remaining(read, cost.bytes, begun.elapsed()));
        }
        // Whether anybody reads it makes no difference to the work.
        let _ = progress.advance(read, |_| Ok(()));
        check()
    })?;
    report::note(format_args!(
        "the seekable copy is made, in {}",
        units::duration(begun.elapsed())
    ));
    Ok(copy)
}

/// How long it takes if it goes on like that.
#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
fn remaining(read: u64, total: u64, elapsed: Duration) -> String {
    let rate = units::speed(read, elapsed);
    let seconds = total.saturating_sub(read) as f64 / rate.max(1.0);
    let left = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    format!(
        "about {} left at {}",
        units::duration(left),
        units::rate(rate)
    )
}

fn elsewhere(error: Error) -> Failure {
    match signals::token().reason() {
        Some(_) => error.into(),
        None => Failure::new(format!(
            "{}; choose another place with --cache DIR, allow more with --cache-size, or make a copy that stays with \
             --reframe-to FILE",
            error.chain()
        )),
    }
}

impl CopyArgs {
    /// Where copies are; nowhere if none are wanted, or nobody knows where.
    fn place(&self) -> Option<CopyPlace> {
        if let Some(file) = &self.reframe_to {
            return Some(CopyPlace::File(file.clone()));
        }
        let directory = self.cache.clone().or_else(CopyPlace::default_cache);
        let limit = self.cache_size;
        directory
            .filter(|_| limit > 0)
            .map(|directory| CopyPlace::Cache { directory, limit })
    }
}
