//! How far an earlier archive is trusted: when its contents were last looked at, and whether that is long ago.

use std::time::Duration;

use fleece_fleecing::Sound;
use jiff::{SignedDuration, Timestamp};

use crate::job::cancel::CancelToken;
use crate::report::Counting;
use crate::report::error::{Error, ErrorKind};
use crate::target::base::BaseArchive;
use crate::target::deadline;
use crate::target::options::ArchiveTarget;

/// What may be taken of an earlier archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Nothing by its index, which does not describe it.
    Misled,
    /// What is read and checked.
    Checked,
    /// All that has not changed, unread: it was verified at that time.
    Unread(Timestamp),
}

impl Trust {
    /// When it was verified, if it is taken over unread.
    pub(crate) fn unread(self) -> Option<Timestamp> {
        match self {
            Self::Unread(at) => Some(at),
            Self::Misled | Self::Checked => None,
        }
    }
}

/// Tells how far `base` is trusted by an archive that is begun `now` and goes to `target`. A verification is good for `age`.
pub(crate) fn judge(
    base: &BaseArchive,
    recorded: Option<&Sound>,
    (age, now): (Duration, Timestamp),
    target: &ArchiveTarget,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<Trust, Error> {
    let verified = verified(base, recorded, age, now);
    let mut misled = false;
    if verified.is_none()
        && let Some(error) = check_headers(base, target.timeout, cancel)?
    {
        reporter.warning(error);
        misled = true;
    }
    let can = base.fits(target.compression) && base.base().is_known();
    let trust = match verified.filter(|_| can) {
        _ if misled => Trust::Misled,
        Some(at) => Trust::Unread(at),
        None => Trust::Checked,
    };
    let name = base.name();
    match trust {
        Trust::Misled => {}
        Trust::Checked => reporter.info(format!("{name} is read and checked")),
        Trust::Unread(at) => reporter.info(format!(
            "{name} was verified at {at:.0}: it is taken over unread"
        )),
    }
    Ok(trust)
}

/// Why the earlier archive is no base, if its index does not describe it.
fn check_headers(
    base: &BaseArchive,
    limit: Duration,
    cancel: &CancelToken,
) -> Result<Option<Error>, Error> {
    let looked_at = base.clone();
    let look = move || Ok(looked_at.base().archive().check_headers().err());
    // Its headers are all over the archive: as for a sync, a slow target gets a second for each MiB.
    let limit = limit.saturating_add(Duration::from_secs(base.base().archive().size() >> 20));
    let failed = deadline::at_target("a look at the earlier archive", limit, cancel, look)?;
    let message = || format!("{} is not used", base.path().display());
    Ok(failed.map(|error| Error::caused(ErrorKind::Archive, message(), error)))
}

/// When `base` was verified last, by a backup that has left `recorded` or by a verification, if nothing has touched its
/// files since and it is less than `age` ago.
fn verified(
    base: &BaseArchive,
    recorded: Option<&Sound>,
    age: Duration,
    now: Timestamp,
) -> Option<Timestamp> {
    let (by_verifying, changed) = (base.verified(), base.changed()?);
    let by_backup = recorded.and_then(|sound| {
        let complete: Timestamp = sound.complete.parse().ok()?;
        let verified: Timestamp = sound.verified.parse().ok()?;
        (changed <= complete && verified <= complete).then_some(verified)
    });
    let by_verifying = by_verifying.filter(|at| changed <= *at);
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    // A time to come is one of a clock that was wrong.
    let is_recent = |at: &Timestamp| *at <= now && now.duration_since(*at) < age;
    by_backup.max(by_verifying).filter(is_recent)
}

/// For the record: complete as of `now`, and verified at that time.
pub(crate) fn sound(verified: Timestamp, now: Timestamp) -> Sound {
    Sound::new(verified.to_string(), now.to_string())
}
