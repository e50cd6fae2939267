//! Reading of a guest only what has changed since its last archive.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fleece_fleecing::bitmaps::{self, Tracking};
use fleece_fleecing::{Disk, Generation, Record, Session};
use fleece_nbd::Address;
use fleece_qmp_client::Client;
use fleece_vma_format::DeviceId;
use jiff::Timestamp;

use super::job::GuestBackup;
use crate::clock;
use crate::dump::base::{self, Search};
use crate::job::Tracked;
use crate::job::archive::Archived;
use crate::job::archive::content::Content;
use crate::job::cancel::CancelToken;
use crate::job::incremental::{Incrementally, lie, short};
use crate::pipeline::source::Source;
use crate::pipeline::source::incremental::{Incremental, Origins};
use crate::pipeline::source::marked::marked;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Counting, units};
use crate::target::base::{BaseArchive, digits};
use crate::target::trust::{self, Trust};

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
    /// What the disks are called in Proxmox's configuration.
    names: Vec<String>,
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
            names: disks
                .iter()
                .map(|disk| short(&disk.name).to_owned())
                .collect(),
            generations: Vec::new(),
            base,
            trusted: None,
            begun: clock::now().timestamp(),
            origins: Arc::default(),
        };
        let mut depth = 0;
        if let (Some(base), Some(mut old)) = (&plan.base, old) {
            let name = base.name();
            reporter.info(format!("what has not changed is taken from {name}"));
            plan.believed = believed(client, disks, &old, (base, content), reporter)?;
            let age = (how.verify_base_after, plan.begun);
            let trust = trust::judge(base, old.sound.as_ref(), age, target, reporter, cancel)?;
            if trust == Trust::Misled {
                plan.believed.fill(None);
            }
            plan.trusted = trust.unread();
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

    /// Whether any disk is not read in full.
    pub(super) fn is_incremental(&self) -> bool {
        self.believed.iter().any(Option::is_some)
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
            let seed = self.generations.last().map_or("", |new| &new.archive);
            match disk.compare(self.how.check_unchanged, seed)? {
                Some(cluster) => {
                    reporter.warning(lie(disk.name(), cluster));
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
    pub(super) fn tracked(&self, archived: &Archived) -> Tracked {
        Tracked {
            from_guest: self.origins.guest.load(Ordering::Relaxed),
            from_archive: archived
                .unread
                .saturating_add(self.origins.base.load(Ordering::Relaxed)),
            disks: self.believed.iter().flatten().count(),
            bitmaps: self
                .names
                .iter()
                .cloned()
                .zip(self.believed.iter().map(Option::is_some))
                .collect(),
        }
    }
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
                    "{name}: dirty-bitmap status: not used, the earlier archive has no such disk of that size; \
                     it is read in full"
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
