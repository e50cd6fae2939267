//! Reading of served disks only what their server knows to have changed since an archive.

use std::sync::Arc;

use fleece_fleecing::Record;

use super::guest::Guest;
use crate::dump::base::{self, Search};
use crate::job::archive::ArchiveOptions;
use crate::job::cancel::CancelToken;
use crate::job::earlier::Earlier;
use crate::job::incremental::{Incrementally, lie, short};
use crate::pipeline::source::Source;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Counting, units};
use crate::target::base::{BaseArchive, digits};

/// The disks of the instant, each with what has not changed from the earlier archive, and that one.
pub(super) fn sources(
    archive: &ArchiveOptions,
    how: Incrementally,
    guest: &Guest,
    record: &Record,
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<(Earlier, Vec<Arc<dyn Source>>), Error> {
    let mut earlier = Earlier::none(how);
    let views = guest.sources()?;
    let since: Vec<Option<&str>> = guest.since().collect();
    let base = find(archive, record, &since, reporter, cancel)?;
    let uuid = base.as_ref().map(BaseArchive::uuid);
    let header = base
        .as_ref()
        .map(|base| base.base().archive().header().clone());
    let counts = since
        .iter()
        .flatten()
        .any(|since| Some(*since) == uuid.as_deref());
    let mut believed = false;
    if let Some(base) = base {
        match counts {
            true => {
                believed = earlier.take(base, record, &archive.target, reporter, cancel)?;
            }
            false => earlier.share(base),
        }
    }
    let content = &archive.content;
    let seed = digits(&content.uuid);
    let mut sources = Vec::new();
    for (n, (view, since)) in views.into_iter().zip(since).enumerate() {
        let name = short(view.name()).to_owned();
        let told = |text: &str| reporter.info(format!("{name}: dirty-bitmap status: {text}"));
        let archived = header.as_ref();
        let archived = archived.and_then(|header| header.device_named(content.name(view.name())));
        let why = match (since, archived) {
            _ if counts && !believed => None,
            (None, _) => Some("created new; no account of its changes was kept"),
            (Some(since), _) if Some(since) != uuid.as_deref() => {
                Some("not used, the archive that it counts against is not at the target")
            }
            (_, Some(device)) if device.size() == view.size() => None,
            _ => Some("not used, the earlier archive has no such disk of that size"),
        };
        if let Some(why) = why {
            told(&format!("{why}; the disk is read in full"));
        }
        let Some(device) = archived.filter(|_| believed && why.is_none()) else {
            sources.push(view);
            continue;
        };
        let size = view.size();
        let dirty = guest.changes(n, size)?;
        let changed = dirty.dirty().saturating_mul(1 << 16).min(size);
        let (changed, size) = (units::bytes(changed), units::bytes(size));
        told(&format!("OK ({changed} of {size} dirty)"));
        let Some(disk) = earlier.disk(Arc::clone(&view), dirty, device.id()) else {
            sources.push(view);
            continue;
        };
        match disk.compare(how.check_unchanged, &seed)? {
            Some(cluster) => {
                reporter.warning(lie(disk.name(), cluster));
                earlier.forget();
                sources.push(view);
            }
            None => {
                disk.release_unread()?;
                sources.push(Arc::new(disk));
            }
        }
    }
    Ok((earlier, sources))
}

/// The archive that most of the accounts count against, or else the newest one to share with.
fn find(
    options: &ArchiveOptions,
    record: &Record,
    since: &[Option<&str>],
    reporter: &Counting<'_>,
    cancel: &CancelToken,
) -> Result<Option<BaseArchive>, Error> {
    let target = &options.target;
    let path = target.path().ok_or_else(|| {
        let message =
            "what has not changed is taken from an earlier archive, and the target is no directory";
        Error::new(ErrorKind::Request, message)
    })?;
    let mut best: Vec<String> = since.iter().flatten().map(ToString::to_string).collect();
    let count = |uuid: &String| {
        since
            .iter()
            .flatten()
            .filter(|known| *known == uuid)
            .count()
    };
    best.sort_by_key(|uuid| std::cmp::Reverse(count(uuid)));
    best.dedup();
    let search = Search {
        archive: path.to_owned(),
        guest: record.guest().clone(),
        endings: base::ANY,
        best,
    };
    search.run(target.timeout, reporter, cancel)
}
