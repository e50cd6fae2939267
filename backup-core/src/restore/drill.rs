//! The drill: a guest is started from its archive, in a QEMU that reaches nothing, until it shows that it has booted.
//!
//! It is a live restore (`behind`) into a temporary directory, of which nothing is copied and nothing stays: the archive is
//! served to QEMU by this process, and what the guest writes goes to images that lie over it. QEMU ends with this process,
//! however that ends; the directory is the record of itself, and the next drill or a clean-up removes what a killed one left.

mod check;
mod machine;
mod marker;
mod place;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fleece_encryption::Identities;
use fleece_storage::VolumeFormat;

use super::anywhere::anywhere;
use super::behind;
use super::folder::{FolderRestore, Isolation, restore_folder};
use crate::job::cancel::CancelToken;
use crate::report::error::Error;
use crate::report::{Counting, Reporter, units};
pub use check::FileSystemCheck;
use machine::Running;
pub use marker::Marker;
use place::Place;
pub use place::sweep_drills;

/// A drill.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Drill {
    /// The archive.
    pub archive: PathBuf,
    /// Where temporary directories are made: that of the records.
    pub state_dir: PathBuf,
    /// What shows that the guest has booted, all of it; if nothing is said, whichever comes first of a serial console that
    /// asks for a `login:`, and an answer of the guest's agent.
    pub markers: Vec<Marker>,
    /// How long that may take.
    pub timeout: Duration,
    /// Where the screen is kept as a picture; the ending tells the format.
    pub screenshot: Option<PathBuf>,
    /// Check the file systems of its disks afterwards.
    pub fsck: bool,
    /// Another accelerator than KVM where that is, such as `tcg`.
    pub accelerator: Option<String>,
    /// Another size of its memory, in MiB.
    pub memory: Option<u32>,
}

impl Drill {
    /// One with the default marker, of five minutes at most.
    #[must_use]
    pub const fn new(archive: PathBuf, state_dir: PathBuf) -> Self {
        Self {
            archive,
            state_dir,
            markers: Vec::new(),
            timeout: Duration::from_secs(300),
            screenshot: None,
            fsck: false,
            accelerator: None,
            memory: None,
        }
    }
}

/// What a drill has shown.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Drilled {
    /// Whether the guest has booted, and no check has found damage.
    pub boots: bool,
    /// What has shown that, or what was missing.
    pub why: String,
    /// From the start of QEMU on.
    pub took: Duration,
    /// The screen, if it could be kept.
    pub screenshot: Option<PathBuf>,
    /// What was checked afterwards.
    pub checks: Vec<FileSystemCheck>,
}

/// Starts the guest of an archive where it reaches nothing, and waits until it has booted. Nothing of it stays but the
/// picture.
///
/// # Errors
/// Those of the archive; kind `Guest` if QEMU cannot be started; `Target` for the temporary directory. A guest that does
/// not boot is no error.
pub fn drill(job: &Drill, reporter: &dyn Reporter, cancel: &CancelToken) -> Result<Drilled, Error> {
    let reporter = Counting::new(reporter);
    for left in sweep_drills(&job.state_dir)? {
        reporter.info(format!(
            "removed {}, which a killed drill has left",
            left.display()
        ));
    }
    let place = Place::create(&job.state_dir)?;
    let ports = job.markers.iter().filter_map(|marker| match marker {
        Marker::Port(port) => Some(*port),
        _ => None,
    });
    let isolation = Isolation::new(&ports.collect::<Vec<_>>())?;
    let archive = anywhere(
        &job.archive,
        &Identities::new(),
        place.scratch("archive.vma.zst"),
        &reporter,
        cancel,
    )?;
    let mut folder = FolderRestore::new(archive, place.guest());
    folder.format = VolumeFormat::Qcow2;
    folder.startable = true;
    folder.is_live = true;
    folder.isolation = Some(isolation.clone());
    restore_folder(&folder, &Quietly(&reporter), cancel)?;
    let server = behind::server(&place.guest(), &place.socket(behind::SOCKET), cancel)?;

    let begun = Instant::now();
    let mut running = Running::start(job, &place)?;
    let shown = running.wait(job, &place, &isolation, cancel);
    let took = begun.elapsed();
    let screenshot = job.screenshot.as_ref().and_then(|path| {
        let kept = running.screenshot(path);
        kept.map_err(|why| reporter.warning(format!("there is no picture of the screen: {why}")))
            .ok()
    });
    running.end(job.fsck && shown.as_ref().is_ok_and(|shown| shown.boots));
    let shown = shown?;
    let mut drilled = Drilled {
        boots: shown.boots,
        why: shown.why,
        took,
        screenshot,
        checks: Vec::new(),
    };
    if job.fsck {
        drilled.checks = check::all(&place, &reporter, cancel)?;
        let is_damaged = |check: &&FileSystemCheck| check.sound == Some(false);
        if let Some(check) = drilled.checks.iter().find(is_damaged) {
            drilled.boots = false;
            drilled.why = format!(
                "{}; but {} is damaged: {}",
                drilled.why, check.place, check.said
            );
        }
    }
    drop(server);
    if let Some(reason) = cancel.reason() {
        return Err(Error::cancelled(reason));
    }
    let verdict = if drilled.boots {
        "it boots"
    } else {
        "it does not boot"
    };
    reporter.info(format!(
        "{verdict}: {}, after {}",
        drilled.why,
        units::duration(drilled.took)
    ));
    Ok(drilled)
}

/// Only what is wrong: where images lie for a moment is no news.
struct Quietly<'a>(&'a dyn Reporter);

impl Reporter for Quietly<'_> {
    fn report(&self, event: &crate::report::Event) {
        if matches!(event, crate::report::Event::Warning(_)) {
            self.0.report(event);
        }
    }
}
