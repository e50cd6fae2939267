//! The earlier archive of disks of which somebody else than a QEMU's bitmaps of ours tells what has changed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fleece_fleecing::{Generation, Record};
use fleece_vma_format::DeviceId;
use jiff::Timestamp;

use crate::clock;
use crate::job::Tracked;
use crate::job::archive::Archived;
use crate::job::cancel::CancelToken;
use crate::job::incremental::Incrementally;
use crate::pipeline::source::Source;
use crate::pipeline::source::incremental::{DirtyMap, Incremental, Origins};
use crate::report::Counting;
use crate::report::error::Error;
use crate::target::base::{BaseArchive, digits};
use crate::target::options::ArchiveTarget;
use crate::target::trust::{self, Trust};

/// An earlier archive, and how far it is trusted.
pub(crate) struct Earlier {
    how: Incrementally,
    begun: Timestamp,
    base: Option<BaseArchive>,
    /// How many archives since one of which everything was read.
    depth: u32,
    /// When the earlier one was verified, if it is taken over unread.
    trusted: Option<Timestamp>,
    origins: Arc<Origins>,
    disks: usize,
}

impl Earlier {
    /// Nothing, so far.
    pub(crate) fn none(how: Incrementally) -> Self {
        Self {
            how,
            begun: clock::now().timestamp(),
            base: None,
            depth: 0,
            trusted: None,
            origins: Arc::default(),
            disks: 0,
        }
    }

    /// What has not changed is taken of `base`, as far as it is trusted; `false`: not at all, it is only shared with.
    pub(crate) fn take(
        &mut self,
        base: BaseArchive,
        record: &Record,
        target: &ArchiveTarget,
        reporter: &Counting<'_>,
        cancel: &CancelToken,
    ) -> Result<bool, Error> {
        reporter.info(format!(
            "what has not changed is taken from {}",
            base.name()
        ));
        let uuid = base.uuid();
        let known = record.generations();
        let known = known.iter().find(|known| known.archive == uuid);
        let sound = known.and_then(|known| known.sound.as_ref());
        let age = (self.how.verify_base_after, self.begun);
        let trust = trust::judge(&base, sound, age, target, reporter, cancel)?;
        self.trusted = trust.unread();
        self.base = Some(base);
        let depth = known.map_or(0, |known| known.depth);
        if self.how.full_every.is_some_and(|most| depth >= most) {
            reporter.info(format!(
                "everything is read once after {depth} archives of which not everything was"
            ));
            return Ok(false);
        }
        self.depth = depth.saturating_add(1);
        Ok(trust != Trust::Misled)
    }

    /// Nothing is taken of `base`: it is only shared with.
    pub(crate) fn share(&mut self, base: BaseArchive) {
        self.base = Some(base);
    }

    /// The archive to share with.
    pub(crate) fn base(&self) -> Option<&BaseArchive> {
        self.base.as_ref()
    }

    /// The disk whose instant is `view` with what is not `dirty` from the base, where it has that number.
    pub(crate) fn disk(
        &mut self,
        view: Arc<dyn Source>,
        dirty: DirtyMap,
        device: DeviceId,
    ) -> Option<Incremental> {
        let base = self.base.clone()?;
        let together = |cluster| base.base().together(cluster);
        let trusted = self.trusted.map(|_| dirty.widened(together));
        self.disks = self.disks.saturating_add(1);
        Some(Incremental {
            view,
            dirty,
            base,
            device,
            trusted,
            origins: Arc::clone(&self.origins),
        })
    }

    /// A disk that was taken is read in full after all.
    pub(crate) fn forget(&mut self) {
        self.disks = self.disks.saturating_sub(1);
    }

    /// Notes of the new archive how long ago its contents were looked at; after a failure, which may be due to the earlier
    /// one, that is looked at the next time. What QEMU's bitmaps count against is not forgotten for it.
    pub(crate) fn end(
        &self,
        record: &Record,
        new: Option<&[u8; 16]>,
    ) -> Result<(), fleece_fleecing::Error> {
        let mut known = record.generations();
        if known.iter().any(|known| !known.disks.is_empty()) {
            return Ok(());
        }
        match new {
            Some(uuid) => {
                let inherited = self.trusted.filter(|_| self.disks > 0);
                let verified = inherited.unwrap_or(self.begun);
                let sound = trust::sound(verified, clock::now().timestamp());
                let depth = if self.disks > 0 { self.depth } else { 0 };
                known = vec![Generation::untracked(digits(uuid), depth, sound)];
            }
            None if self.trusted.is_some() => {
                known.iter_mut().for_each(|known| known.sound = None);
            }
            None => return Ok(()),
        }
        record.note_generations(&known)
    }

    /// What came from where.
    pub(crate) fn tracked(&self, archived: &Archived) -> Tracked {
        Tracked {
            from_guest: self.origins.guest.load(Ordering::Relaxed),
            from_archive: archived
                .unread
                .saturating_add(self.origins.base.load(Ordering::Relaxed)),
            disks: self.disks,
            ..Tracked::default()
        }
    }
}
