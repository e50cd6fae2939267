//! Which guests have no backup of this run: on record where their archives are, so that the night is not taken for one on which
//! nothing was due.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use fleece_backup_core::dump::{DumpDirectory, Recorder, RunError};
use fleece_backup_core::{Error, Places};
use fleece_fleet::Ended;
use fleece_guest_config::GuestId;
use jiff::Zoned;

use super::guests::Guest;
use fleece_bins::exit;

/// How long a target may take for one record.
const LIMIT: Duration = Duration::from_secs(3);

/// Puts on record what failed in a run that began at `began`. A backup does so itself, unless it was killed, refused, or never
/// begun.
pub(super) fn record(
    guests: &[Guest],
    ended: &[(Ended, u32)],
    began: &Zoned,
    places: &Places,
) -> Result<(), Error> {
    let (storages, state) = (places.storages()?, places.state_dir());
    let mut lost = BTreeSet::new();
    for (guest, (ended, _)) in guests.iter().zip(ended) {
        let id = guest.name.parse::<GuestId>().ok();
        let Some(id) = id.filter(|_| !ended.is_done() && !guest.target.is_empty()) else {
            continue;
        };
        let message = ended.message.as_deref().unwrap_or("it does not say why");
        let kind = match (&ended.kind, ended.code) {
            (Some(kind), _) => kind,
            (None, exit::USAGE) => "usage",
            _ => "internal",
        };
        let mut recorder = Recorder::new(began.clone());
        recorder.line("ERROR", message);
        let why = (&recorder, RunError::new(kind, message));
        let place = (Path::new(&*guest.target), &storages);
        // One that does not answer is asked once.
        let limit = (!lost.contains(&*guest.target)).then_some(LIMIT);
        let recorded = DumpDirectory::record_failure(place, &state, (&id, None), why, limit);
        if recorded.is_err() {
            lost.insert(&*guest.target);
        }
    }
    Ok(())
}
