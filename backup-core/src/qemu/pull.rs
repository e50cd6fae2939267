//! The backup of a domain by libvirt's own mode: libvirt makes the point in time, and we read what QEMU serves.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fleece_fleecing::domain::pull::{PullSession, PulledDisk};
use fleece_fleecing::{Disk, Record};
use fleece_nbd::{Client, Options};
use fleece_storage::block::MemoryDevice;

use super::disks;
use super::instant::quiesced;
use super::job::{GuestBackup, InDomain};
use super::lasting::lasting;
use super::peers::{connect, storage};
use super::tpm::TpmState;
use crate::job::archive::{self, content::Content};
use crate::job::cancel::CancelToken;
use crate::job::{Job, Outcome};
use crate::native::source::ImageSource;
use crate::pipeline::source::Source;
use crate::pipeline::source::nbd::NbdSource;
use crate::pipeline::transfer::Settings;
use crate::report::Counting;
use crate::report::error::{Error, ErrorKind};
use crate::report::units;

/// Backs up a domain by libvirt's own mode.
pub(super) fn run(
    job: &GuestBackup,
    domain: &InDomain,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<Outcome, Error> {
    let on_record = Job::open_for_qemu(&job.record, &job.qmp, &job.storages, reporter, cancel)?;
    let client = connect(&job.qmp, cancel)?;
    fleece_fleecing::check_guest(&client)?;
    let disks = disks::select(job, fleece_fleecing::discover(&client)?, reporter)?;
    for disk in &disks {
        let size = units::bytes(disk.size);
        reporter.info(format!(
            "include disk '{}' '{}' {size}",
            disk.name, disk.image
        ));
    }
    let mut content = disks::described(job, &client, &disks, reporter)?;
    let tpm = TpmState::before(&client, &mut content, reporter)?;
    let named: Vec<_> = disks
        .iter()
        .map(|disk| (disk.name.as_str(), disk.size))
        .collect();
    content.header(&named)?;
    let Sorted { pulled, variables } = Sorted::of(disks, domain)?;
    reporter.info("backup mode: snapshot, which libvirt makes".into());
    let mut session = PullSession::new(
        client,
        &domain.address,
        storage(job)?,
        on_record.record(),
        pulled,
    )?;
    // Before the guest is touched: can the archive be written at all?
    let (destination, begun) = on_record.begin(&job.archive.target, cancel)?;
    let done = session.prepare().map_err(Error::from).and_then(|()| {
        let at = (job, &mut content, tpm.as_ref(), variables.as_ref());
        let (sources, frozen) = fix(at, &session, on_record.record(), reporter, cancel)?;
        let settings = Settings::new(&job.archive.pacing, &job.archive.target);
        let archived = archive::write(
            destination,
            &sources,
            &content,
            settings,
            None,
            reporter,
            cancel,
        );
        Ok((archived?, frozen))
    });
    for error in session.finish().err().unwrap_or_default() {
        reporter.warning(error);
    }
    begun.end(done.is_ok(), reporter);
    let (archived, frozen) = done?;
    Ok(Outcome {
        archived,
        switched: None,
        frozen,
        down: None,
        fleecing_peak: None,
        tracked: None,
        warnings: reporter.warnings(),
    })
}

type Sources = Vec<Arc<dyn Source>>;

/// Has libvirt fix the instant, and connects to it.
fn fix(
    (job, content, tpm, variables): (
        &GuestBackup,
        &mut Content,
        Option<&TpmState>,
        Option<&Variables>,
    ),
    session: &PullSession<'_>,
    record: &Record,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<(Sources, Option<Duration>), Error> {
    let is_alive = || session.client().closed().is_none();
    let (took, frozen) = quiesced(job, record, &is_alive, reporter, cancel, || session.begin())?;
    if let Some(reason) = cancel.reason() {
        return Err(Error::cancelled(reason));
    }
    if let Some(tpm) = tpm {
        tpm.after(content, reporter);
    }
    reporter.info(format!(
        "copy-before-write is active (libvirt's own, {}; the guest was not stopped)",
        units::millis(took)
    ));
    let server = fleece_nbd::Address::Unix(session.socket().to_owned());
    let mut sources = Sources::new();
    for PulledDisk { disk, .. } in session.disks() {
        let client = Client::connect(&server, &disk.name, &Options::default());
        let client = client.map_err(|error| {
            let message = format!("{}: cannot be read from QEMU's NBD server", disk.name);
            Error::caused(ErrorKind::Snapshot, message, error)
        })?;
        let meaning = |_: &_| (ErrorKind::Snapshot, "");
        // The exports are read-only: there is nothing to release.
        sources.push(Arc::new(
            NbdSource::new(disk.name.clone(), client, meaning).keep(),
        ));
    }
    if let Some(variables) = variables {
        sources.push(Arc::new(variables.after(reporter)));
    }
    Ok((sources, frozen))
}

/// The guest's disks, by who gives them.
struct Sorted {
    pulled: Vec<PulledDisk>,
    variables: Option<Variables>,
}

impl Sorted {
    /// The EFI variables are no disk to libvirt, but a file.
    fn of(disks: Vec<Disk>, domain: &InDomain) -> Result<Self, Error> {
        let mut sorted = Self {
            pulled: Vec::new(),
            variables: None,
        };
        for disk in disks {
            let name = disk.name.trim_start_matches("drive-");
            let target = domain.targets.iter().find(|(called, _)| called == name);
            match (target, &domain.nvram) {
                (Some((_, target)), _) => {
                    let target = target.clone();
                    sorted.pulled.push(PulledDisk { disk, target });
                }
                (None, Some(nvram)) if name == "efidisk0" => {
                    sorted.variables = Some(Variables::before(&disk, nvram)?);
                }
                (None, _) => {
                    let message = format!("disk '{}' is none that libvirt can back up", disk.name);
                    let advice = fleece_fleecing::Advice::ExcludeDisks(vec![name.to_owned()]);
                    let error = Error::new(ErrorKind::Guest, message);
                    return Err(error.advise(crate::report::advice::Advice::Fleecing(advice)));
                }
            }
        }
        if sorted.pulled.is_empty() {
            let message = "the domain has no disk that libvirt could back up";
            return Err(Error::new(ErrorKind::Guest, message));
        }
        Ok(sorted)
    }
}

/// The EFI variables, as they were before the instant.
struct Variables {
    name: String,
    path: std::path::PathBuf,
    before: Vec<u8>,
}

impl Variables {
    fn before(disk: &Disk, path: &Path) -> Result<Self, Error> {
        let failed = |error| {
            let message = format!("cannot read the EFI variables in {}", path.display());
            Error::caused(ErrorKind::Guest, message, error)
        };
        let before = fs::read(path).map_err(failed)?;
        if before.len() as u64 != disk.size {
            let message = format!("{} is not a plain image", path.display());
            return Err(failed(std::io::Error::other(message)));
        }
        Ok(Self {
            name: disk.name.clone(),
            path: path.to_owned(),
            before,
        })
    }

    /// They are written beside libvirt's point in time, at boot and rarely later.
    fn after(&self, reporter: &Counting<'_>) -> ImageSource {
        let read = || {
            fs::read(&self.path).map(|now| match now.len() == self.before.len() {
                true => now,
                false => self.before.clone(),
            })
        };
        let now = lasting(&self.before, read).ok().flatten().unwrap_or_else(|| {
            reporter.warning(format!(
                "{}: the EFI variables cannot be read again after the instant, or change all the time; the archive has \
                 those before it",
                self.name
            ));
            self.before.clone()
        });
        ImageSource::new(
            self.name.clone(),
            Arc::new(MemoryDevice::with_content(&now)),
        )
    }
}
