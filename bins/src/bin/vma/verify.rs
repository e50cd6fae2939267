//! `vma verify`.

use std::io::Read;

use fleece_backup_core::input::Input;
use fleece_vma_format::container::Container;
use fleece_vma_format::verify::{self as format, Damage, MAX_TOLD, Verified, Watch};
use fleece_vma_format::{Header, Tally};
use serde_json::json;

use fleece_bins::advice::text;

use super::cli::VerifyArgs;
use super::failure::{Failure, Result, talk};
use super::input::{index, open};
use super::list::{print, print_text};
use super::progress::Progress;

/// Looks for damage and tells all of it.
pub(super) fn verify(args: &VerifyArgs) -> Result<()> {
    let outcome = look(args);
    if args.json {
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
        talk(
            "vma: note: payload has not been checked, the format has no checksums for it; with an \
             index (see `vma index`) use --deep",
        );
    }
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
    if !args.deep
        && let Some(verified) = hop(&mut input, &mut watcher)?
    {
        return watcher.finish(verified);
    }
    let stream = input.stream()?;
    let index = index.as_mut().map(|index| index as &mut dyn Read);
    let verified = format::verify(stream, index, &mut watcher)?;
    watcher.finish(verified)
}

/// Verifies an uncompressed file by its headers alone; `None` if that cannot be or shows damage,
/// which is then looked for in full.
fn hop(input: &mut Input, watcher: &mut Watcher<'_>) -> Result<Option<Verified>> {
    if !input.is_file() {
        return Ok(None);
    }
    let archive = match input.archive() {
        Err(error) if error.kind().is_damage() => return Ok(None),
        archive => archive?,
    };
    let Some(plain) = archive
        .contents()
        .filter(|_| archive.container() == Container::Plain)
    else {
        return Ok(None);
    };
    match format::verify_headers(plain, watcher) {
        Err(error) if error.kind().is_damage() => Ok(None),
        other => Ok(Some(other?)),
    }
}

fn no_index() -> Failure {
    Failure::new(
        "there is no index to check the payload against; make one of a sound archive with `vma index`",
    )
}

fn tell_json(outcome: Result<Verified>) -> Result<()> {
    match outcome {
        Ok(verified) => {
            let sound = verified.damages == 0;
            let told = print_text(&format!(
                "{}\n",
                json!({
                    "type": "summary",
                    "sound": sound,
                    "damages": verified.damages,
                    "payload_checked": verified.deep,
                    "extents": verified.extents,
                    "bytes": verified.tally.bytes(),
                    "sparse_bytes": verified.tally.sparse(),
                })
            ));
            if sound {
                told
            } else {
                Err(Failure::damage(None))
            }
        }
        Err(failure) => {
            let line = json!({ "type": "error", "message": failure.message() });
            let _ = print_text(&format!("{line}\n"));
            Err(Failure::silent(failure.code()))
        }
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
        let progress = Progress::new(&devices, self.args.verbose, self.args.progress);
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
        if self.args.json {
            self.note(print_text(&format!("{}\n", as_json(&damage))));
        } else {
            tell(&damage);
        }
    }
}

/// Tells a damage on standard error.
pub(super) fn tell(damage: &Damage) {
    let cause = text(damage.error());
    let cause = cause.strip_prefix(&damage.error().to_string());
    talk(format_args!(
        "damage: {damage}{}",
        cause.unwrap_or_default()
    ));
}

/// Tells how many damages of `count` have not been told.
pub(super) fn untold(count: u64) {
    match count.saturating_sub(MAX_TOLD) {
        0 => {}
        more => talk(format_args!("damage: and {more} more")),
    }
}

fn as_json(damage: &Damage) -> serde_json::Value {
    let clusters = damage.clusters();
    json!({
        "type": "damage",
        "kind": format!("{:?}", damage.error().kind()),
        "message": text(damage.error()),
        "offset": damage.error().offset(),
        "length": damage.length(),
        "device": damage.device().map(|(_, name)| name),
        "first_cluster": clusters.as_ref().map(|range| range.start),
        "clusters": clusters.map(|range| range.end.saturating_sub(range.start)),
    })
}
