//! Reading of a guest only what has changed since its last archive.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fleece_fleecing::bitmaps::{self, Tracking};
use fleece_fleecing::{Disk, Generation, Record, Session};
use fleece_nbd::Address;
use fleece_qmp_client::Client;
use fleece_vma_format::{CLUSTER_SIZE, DeviceId};
use jiff::Timestamp;

use super::job::{GuestBackup, Incrementally};
use super::trust;
use crate::clock;
use crate::dump::base::{self, Search};
use crate::job::Tracked;
use crate::job::archive::content::Content;
use crate::job::cancel::CancelToken;
use crate::pipeline::source::Source;
use crate::pipeline::source::incremental::{Incremental, Origins};
use crate::pipeline::source::marked::marked;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Counters, Counting, units};
use crate::target::base::{BaseArchive, digits};
use crate::target::deadline;

const CLUSTER: u64 = CLUSTER_SIZE as u64;

/// One backup's bitmaps and the archive that the old ones count against.
pub(super) struct Plan {
    how: Incrementally,
    base: Option<BaseArchive>,
    /// When the earlier archive was verified, if it is trusted.
    trusted: Option<Timestamp>,
    begun: Timestamp,
    /// On record, the new one last.
    generations: Vec<Generation>,
    /// Which disks' bitmaps are believed, and the disk in the base.
    believed: Vec<Option<DeviceId>>,
    origins: Arc<Origins>,
}

impl Plan {
    /// Finds the earlier archive, puts right what a killed backup has left, and looks at each disk's bitmap.
    pub(super) fn new(
        job: &GuestBackup,
        how: Incrementally,
        (client, record): (&Client, &Record),
        (disks, content): (&[Disk], &Content),
        reporter: &Counting<'_>,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let target = &job.archive.target;
        let path = target.path().ok_or_else(|| {
            let message = "what has not changed is taken from an earlier archive, and the target is no directory";
            Error::new(ErrorKind::Request, message)
        })?;
        let known = record.generations().into_iter().rev();
        let search = Search {
            archive: path.to_owned(),
            guest: job.record.guest().clone(),
            endings: base::ANY,
            best: known.map(|known| known.archive).collect(),
        };
        let base = search.run(target.timeout, reporter, cancel)?;
        let uuid = base.as_ref().map(BaseArchive::uuid);
        let is_there = |archive: &str| uuid.as_deref() == Some(archive);
        let old = bitmaps::settle(client, record, &is_there)?;
        let mut plan = Self {
            how,
            believed: vec![None; disks.len()],
            generations: Vec::new(),
            base,
            trusted: None,
            begun: clock::now().timestamp(),
            origins: Arc::default(),
        };
        let mut depth = 0;
        if let (Some(base), Some(mut old)) = (&plan.base, old) {
            let name = base
                .path()
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            reporter.info(format!("what has not changed is taken from {name}"));
            plan.believed = believed(client, disks, &old, (base, content), reporter)?;
            plan.trusted =
                trust::verified(base, old.sound.as_ref(), how.verify_base_after, plan.begun);
            let misled = match plan.trusted {
                Some(_) => None,
                None => check_headers(base, target.timeout, cancel)?,
            };
            if let Some(error) = misled {
                reporter.warning(error);
                plan.believed.fill(None);
            }
            plan.trusted = plan
                .trusted
                .filter(|_| base.fits(target.compression) && base.base().is_known());
            reporter.info(match plan.trusted {
                Some(at) => format!("{name} was verified at {at:.0}: it is taken over unread"),
                None => format!("{name} is read and checked"),
            });
            if how.full_every.is_some_and(|most| old.depth >= most) {
                reporter.info(format!(
                    "everything is read once after {} archives of which not everything was",
                    old.depth
                ));
                plan.believed.fill(None);
            } else if plan.believed.iter().any(Option::is_some) {
                depth = old.depth.saturating_add(1);
            }
            // What is not believed once is never believed again, whatever becomes of this backup.
            let named = |name: &str| disks.iter().position(|disk| disk.name == name);
            let is_believed = |n: usize| plan.believed.get(n).copied().flatten().is_some();
            old.disks
                .retain(|disk| named(&disk.name).is_some_and(is_believed));
            plan.generations.push(old);
        } else {
            for disk in disks {
                let name = short(&disk.name);
                reporter.info(format!("{name}: dirty-bitmap status: created new"));
            }
        }
        let uuid = digits(&content.uuid);
        plan.generations
            .push(bitmaps::generation(client, disks, uuid, depth)?);
        Ok(plan)
    }

    /// The earlier archive.
    pub(super) fn base(&self) -> Option<&BaseArchive> {
        self.base.as_ref()
    }

    /// Puts the new bitmaps on record, before they are added, and says which there will be.
    pub(super) fn begin(&self, record: &Record) -> Result<Tracking, Error> {
        record.note_generations(&self.generations)?;
        let (new, old) = match self.generations.as_slice() {
            [old, new] => (new, Some(old)),
            [new] => (new, None),
            _ => return Ok(Tracking::default()),
        };
        let of = |believed: &Option<DeviceId>| believed.and(old).map(|old| old.archive.clone());
        let old = self.believed.iter().map(of).collect();
        Ok(Tracking::new(new.archive.clone(), old))
    }

    /// The disks of the instant, each with what has not changed from the earlier archive.
    pub(super) fn sources(
        &self,
        session: &Session<'_>,
        address: &Address,
        views: Vec<Arc<dyn Source>>,
        reporter: &Counting<'_>,
    ) -> Result<Vec<Arc<dyn Source>>, Error> {
        let mut sources = Vec::new();
        for (n, view) in views.into_iter().enumerate() {
            let device = self.believed.get(n).copied().flatten();
            let (Some(base), Some(device), Some(bitmap)) = (&self.base, device, session.bitmap(n))
            else {
                sources.push(view);
                continue;
            };
            let archived = base.base().archive().device_size(device);
            if archived != Some(view.size()) {
                let name = short(view.name());
                reporter.info(format!(
                    "{name}: the disk is read in full, its size has changed"
                ));
                self.forget(session.record(), view.name())?;
                sources.push(view);
                continue;
            }
            let dirty = marked(address, &Session::export_name(n), &bitmap, view.as_ref())?;
            let mut disk = Incremental {
                view,
                dirty,
                base: base.clone(),
                device,
                trusted: None,
                origins: Arc::clone(&self.origins),
            };
            match self.compare(&disk)? {
                Some(cluster) => {
                    reporter.warning(format!(
                        "{}: cluster {cluster} has changed although its dirty bitmap does not say so: the bitmap                          is not believed, and the disk is read in full. Was the disk shrunk and grown again, or                          the bitmap changed by another program?",
                        short(disk.name())
                    ));
                    self.forget(session.record(), disk.name())?;
                    sources.push(disk.view);
                }
                None => {
                    let together = |cluster| base.base().together(cluster);
                    disk.trusted = self.trusted.map(|_| disk.dirty.widened(together));
                    disk.release_unread()?;
                    sources.push(Arc::new(disk));
                }
            }
        }
        Ok(sources)
    }

    /// Compares some clusters that should not have changed with the earlier archive; the first that has.
    fn compare(&self, disk: &Incremental) -> Result<Option<u64>, Error> {
        let clean = disk
            .size()
            .div_ceil(CLUSTER)
            .saturating_sub(disk.dirty.dirty());
        let count = match self.how.check_unchanged {
            true => clean,
            false => sampled(clean),
        };
        let seed = self.generations.last().map_or("", |new| &new.archive);
        let mut random =
            splitmix(u64::from_str_radix(seed.get(..16).unwrap_or("0"), 16).unwrap_or(0));
        for cluster in disk.dirty.sample(count, &mut random) {
            let offset = cluster.saturating_mul(CLUSTER);
            let length = CLUSTER.min(disk.size().saturating_sub(offset));
            let mut before = vec![0; usize::try_from(length).unwrap_or(0)];
            let now = disk.view.read(offset, before.clone())?;
            disk.origins.guest.fetch_add(length, Ordering::Relaxed);
            let archive = disk.base.base().archive();
            // What is damaged there says nothing about the bitmap; it will be met again.
            if archive.read_at(disk.device, offset, &mut before).is_ok() && now != before {
                return Ok(Some(cluster));
            }
        }
        Ok(None)
    }

    /// Never believes a disk's old bitmap again.
    fn forget(&self, record: &Record, disk: &str) -> Result<(), Error> {
        let mut generations = record.generations();
        if let [old, _] = generations.as_mut_slice() {
            old.disks.retain(|known| known.name != disk);
        }
        Ok(record.note_generations(&generations)?)
    }

    /// Keeps the new bitmaps if the archive is complete, or the old ones with what was marked since. What cannot be
    /// done now, the next backup does.
    pub(super) fn end(
        &self,
        client: &Client,
        record: &Record,
        complete: bool,
        reporter: &Counting<'_>,
    ) {
        if let Err(error) = self.note_sound(record, complete) {
            reporter.warning(Error::from(error));
        }
        let new = self.generations.last().map(|new| new.archive.as_str());
        let is_complete = |archive: &str| complete || Some(archive) != new;
        if let Err(error) = bitmaps::settle(client, record, &is_complete) {
            reporter.warning(Error::from(error));
        }
    }

    /// Notes of the new archive how long ago its contents were looked at; after a failure, which may be due to the earlier
    /// one, that is looked at the next time.
    fn note_sound(&self, record: &Record, complete: bool) -> Result<(), fleece_fleecing::Error> {
        let mut generations = record.generations();
        match (complete, generations.as_mut_slice()) {
            (true, [.., new]) => {
                let verified = self.trusted.unwrap_or(self.begun);
                new.sound = Some(trust::sound(verified, clock::now().timestamp()));
            }
            (false, [old, _]) if self.trusted.is_some() => old.sound = None,
            _ => return Ok(()),
        }
        record.note_generations(&generations)
    }

    /// What came from where.
    pub(super) fn tracked(&self, counters: &Counters) -> Tracked {
        Tracked {
            from_guest: self.origins.guest.load(Ordering::Relaxed),
            from_archive: Counters::get(&counters.unread)
                .saturating_add(self.origins.base.load(Ordering::Relaxed)),
            disks: self.believed.iter().flatten().count(),
        }
    }
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

/// Which bitmaps are believed, with the disk of each in the archive; tells of each disk why, or why not.
fn believed(
    client: &Client,
    disks: &[Disk],
    old: &Generation,
    (base, content): (&BaseArchive, &Content),
    reporter: &Counting<'_>,
) -> Result<Vec<Option<DeviceId>>, Error> {
    let header = base.base().archive().header();
    let looked = bitmaps::look(client, disks, old)?;
    let mut believed = Vec::new();
    for (disk, found) in disks.iter().zip(looked) {
        let name = short(&disk.name);
        let archived = header.device_named(content.name(&disk.name));
        let known = old.disks.iter().find(|known| known.name == disk.name);
        let archived =
            archived.filter(|device| known.is_some_and(|known| known.size == device.size()));
        let device = match (found, archived) {
            (Ok(dirty), Some(device)) => {
                reporter.info(format!(
                    "{name}: dirty-bitmap status: OK ({} of {} dirty)",
                    units::bytes(dirty),
                    units::bytes(disk.size)
                ));
                Some(device.id())
            }
            (Ok(_), None) => {
                reporter.info(format!(
                    "{name}: dirty-bitmap status: not used, the earlier archive has no such disk of that size;                      it is read in full"
                ));
                None
            }
            (Err(reason), _) => {
                reporter.info(format!(
                    "{name}: dirty-bitmap status: not used, {reason}; the disk is read in full"
                ));
                None
            }
        };
        believed.push(device);
    }
    Ok(believed)
}

/// How many of so many clusters are compared: one in 500, at least 64 and at most 1024. If one in two hundred of
/// them has changed, 64 find it with a probability of 27 %, and 1024 with 99.4 %.
fn sampled(clean: u64) -> u64 {
    (clean / 500).clamp(64, 1024)
}

/// Numbers below a limit, spread evenly (the generator SplitMix64).
fn splitmix(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ mixed.wrapping_shr(30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed.wrapping_shr(27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed = mixed ^ mixed.wrapping_shr(31);
        mixed.checked_rem(below).unwrap_or(0)
    }
}

/// A disk's name as Proxmox tells it.
fn short(name: &str) -> &str {
    name.strip_prefix("drive-").unwrap_or(name)
}
