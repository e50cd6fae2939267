//! `vma verify`.

use std::io::Read;

#[cfg(unix)]
use fleece_encryption::signature::Checked;
use fleece_vma_format::verify::{Damage, MAX_TOLD, Verified, Watch};
use fleece_vma_format::{Header, Tally};
use serde_json::json;

use fleece_bins::advice::text;
use fleece_bins::{events, exit};

use super::cli::VerifyArgs;
#[cfg(unix)]
use super::encryption::check;
use super::failure::{Failure, Result};
use super::input::{index, open};
use super::list::print;
use super::progress::Progress;
use super::report::{self, talk};

/// Looks for damage and tells all of it.
pub(super) fn verify(args: &VerifyArgs) -> Result<()> {
    #[cfg(unix)]
    if !args.signed_by.is_empty() {
        let checked = check(&args.archive, &args.signed_by)?;
        // Whoever cannot read it knows all that there is to be known.
        if open(&args.archive)?.is_unreadable() {
            return tell_signed(&checked);
        }
        report::note(format_args!("signed by {}", checked.signer));
    }
    let outcome = look(args);
    if report::is_events() {
        return tell_json(outcome);
    }
    let verified = outcome?;
    untold(verified.damages);
    if verified.damages > 0 {
        let count = verified.damages;
        return Err(Failure::damage(Some(format!(
            "verify failed - {count} {} found",
            if count == 1 { "damage" } else { "damages" }
        ))));
    }
    if !verified.deep {
        report::note(
            "payload has not been checked, the format has no checksums for it; --deep does so by \
             the archive's index (see `vma index`)",
        );
    }
    Ok(())
}

/// What is known of an archive that is checked by its signature alone.
#[cfg(unix)]
fn tell_signed(checked: &Checked) -> Result<()> {
    if report::is_events() {
        return report::summary(
            || json!({"sound": true, "damages": 0, "signed_by": checked.signer, "file_size": checked.size}),
        );
    }
    report::note(format_args!(
        "every byte is as it was signed by {}; what is in the archive is encrypted, and was not looked at",
        checked.signer
    ));
    Ok(())
}

fn look(args: &VerifyArgs) -> Result<Verified> {
    let mut input = open(&args.archive)?;
    let mut index = match args.deep {
        true => Some(
            index(&input, args.index.as_deref())?
                .ok_or_else(no_index)?
                .1,
        ),
        false => None,
    };
    let mut watcher = Watcher {
        args,
        progress: None,
        failure: None,
    };
    let index = index.as_mut().map(|index| index as &mut dyn Read);
    let verified = input.verify(index, &mut watcher)?;
    watcher.finish(verified)
}

fn no_index() -> Failure {
    Failure::new(
        "there is no index to check the payload against; make one of a sound archive with `vma index`",
    )
}

fn tell_json(outcome: Result<Verified>) -> Result<()> {
    let verified = outcome?;
    untold(verified.damages);
    let sound = verified.damages == 0;
    let told = report::summary(|| {
        json!({
            "sound": sound,
            "damages": verified.damages,
            "payload_checked": verified.deep,
            "extents": verified.extents,
            "bytes": verified.tally.bytes(),
            "sparse_bytes": verified.tally.sparse(),
        })
    });
    match sound {
        true => told,
        // Each was told as an error.
        false => Err(Failure::silent(exit::DAMAGE)),
    }
}

/// Prints what is found.
struct Watcher<'a> {
    args: &'a VerifyArgs,
    progress: Option<Progress>,
    failure: Option<Failure>,
}

impl Watcher<'_> {
    fn finish(self, verified: Verified) -> Result<Verified> {
        let finished = match (self.failure, self.progress) {
            (Some(failure), _) => Err(failure),
            (None, Some(progress)) => progress.finish(&verified.tally),
            (None, None) => Ok(()),
        };
        // What could not be printed counts less than the damage that was found.
        match finished {
            Err(failure) if verified.damages == 0 => Err(failure),
            _ => Ok(verified),
        }
    }

    fn note(&mut self, result: Result<()>) {
        if let Err(failure) = result {
            self.failure.get_or_insert(failure);
        }
    }
}

impl Watch for Watcher<'_> {
    fn header(&mut self, header: &Header) {
        if self.args.verbose {
            self.note(print(header));
        }
        let devices: Vec<_> = header.devices().iter().collect();
        let progress = Progress::of_reading(&devices, self.args.verbose, self.args.progress);
        self.progress = Some(progress);
    }

    fn extent(&mut self, tally: &Tally) {
        let updated = self
            .progress
            .as_mut()
            .map_or(Ok(()), |progress| progress.update(tally));
        self.note(updated);
    }

    fn damage(&mut self, damage: Damage) {
        let told = tell(&damage);
        self.note(told);
    }
}

/// Tells a damage.
pub(super) fn tell(damage: &Damage) -> Result<()> {
    if report::is_events() {
        return report::event(&as_json(damage));
    }
    let cause = text(damage.error());
    let cause = cause.strip_prefix(&damage.error().to_string());
    talk(format_args!(
        "damage: {damage}{}",
        cause.unwrap_or_default()
    ));
    Ok(())
}

/// Tells how many damages of `count` have not been told.
pub(super) fn untold(count: u64) {
    match count.saturating_sub(MAX_TOLD) {
        0 => {}
        more if report::is_events() => report::warning(format_args!("and {more} more damages")),
        more => talk(format_args!("damage: and {more} more")),
    }
}

fn as_json(damage: &Damage) -> serde_json::Value {
    let clusters = damage.clusters();
    let more = json!({
        "offset": damage.error().offset(),
        "length": damage.length(),
        "device": damage.device().map(|(_, name)| name),
        "first_cluster": clusters.as_ref().map(|range| range.start),
        "clusters": clusters.map(|range| range.end.saturating_sub(range.start)),
    });
    let error = events::error(damage.error().kind().word(), &text(damage.error()));
    events::with(error, more)
}
