//! Disks of this process as [`Source`]s.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use fleece_storage::block::{self, ReadDevice, Status};

use crate::cbw::{self, SnapshotView};
use crate::pipeline::source::{Extent, Source};
use crate::report::error::{Error, ErrorKind};

/// One disk of a [`cbw::Snapshot`].
#[derive(Debug)]
pub struct SnapshotSource {
    name: String,
    view: SnapshotView,
    /// Bytes released so far of clusters that were not released as a whole, by their offsets.
    partly: Mutex<HashMap<u64, u64>>,
}

impl SnapshotSource {
    /// The disk behind `view`, under the name that it gets in the archive.
    #[must_use]
    pub fn new(name: impl Into<String>, view: SnapshotView) -> Self {
        Self {
            name: name.into(),
            view,
            partly: Mutex::default(),
        }
    }

    pub(super) fn view(&self) -> &SnapshotView {
        &self.view
    }

    fn error(&self, what: &str, error: cbw::Error) -> Error {
        Error::caused(
            kind_of(error.kind()),
            format!("{}: cannot {what}", self.name),
            error,
        )
    }

    /// The bytes of the cluster in which `position` lies; never none, also beyond the disk's end,
    /// which the view then refuses.
    fn cluster_at(&self, position: u64) -> Range<u64> {
        let size = self.view.cluster_size().bytes();
        let start = position & !size.saturating_sub(1);
        start
            ..start
                .saturating_add(size)
                .min(self.view.size().max(position.saturating_add(1)))
    }

    /// Note that a part of a cluster was released; true if that was the last part.
    fn is_complete(&self, cluster: &Range<u64>, released: &Range<u64>) -> bool {
        let length = |range: &Range<u64>| range.end.saturating_sub(range.start);
        let mut partly = self.partly.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = partly.entry(cluster.start).or_insert(0);
        *sum = sum.saturating_add(length(released));
        let complete = *sum >= length(cluster);
        if complete {
            partly.remove(&cluster.start);
        }
        complete
    }
}

impl Source for SnapshotSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.view.size()
    }

    fn block_status(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        extents(offset, length, |offset, length| {
            self.view
                .block_status(offset, length)
                .map_err(|error| self.error("get the block status", error))
        })
    }

    fn read(&self, offset: u64, mut buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
        self.view
            .read_at(&mut buffer, offset)
            .map_err(|error| self.error(&format!("read at {offset}"), error))?;
        Ok(buffer)
    }

    /// Each byte once: parts of a cluster are added up until the cluster is complete.
    fn release(&self, offset: u64, length: u64) -> Result<(), Error> {
        let end = offset.saturating_add(length);
        // What is complete has no gaps: only the first and the last cluster can be partial.
        let mut complete: Option<Range<u64>> = None;
        let mut position = offset;
        while position < end {
            let cluster = self.cluster_at(position);
            let released = position..cluster.end.min(end);
            position = cluster.end;
            if released == cluster || self.is_complete(&cluster, &released) {
                let start = complete.map_or(cluster.start, |complete| complete.start);
                complete = Some(start..cluster.end);
            }
        }
        let Some(complete) = complete else {
            return Ok(());
        };
        let length = complete.end.saturating_sub(complete.start);
        self.view
            .release(complete.start, length)
            .map_err(|error| self.error("free what was read", error))
    }
}

/// As QEMU has it, a disk's size is whole sectors of this many bytes: zeroes fill up the last one.
const SECTOR: u64 = 512;

/// An image of a stopped guest, which nobody may write to meanwhile.
#[derive(Debug)]
pub struct ImageSource {
    name: String,
    image: Arc<dyn ReadDevice>,
}

impl ImageSource {
    /// The disk in `image`, under the name that it gets in the archive.
    #[must_use]
    pub fn new(name: impl Into<String>, image: Arc<dyn ReadDevice>) -> Self {
        Self {
            name: name.into(),
            image,
        }
    }

    fn error(&self, error: block::Error) -> Error {
        Error::caused(ErrorKind::Storage, self.name.clone(), error)
    }
}

impl Source for ImageSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.image.size().next_multiple_of(SECTOR)
    }

    fn block_status(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let there = self.image.size().saturating_sub(offset).min(length);
        let mut extents = extents(offset, there, |offset, length| {
            self.image
                .block_status(offset, length)
                .map_err(|error| self.error(error))
        })?;
        let behind = length.saturating_sub(there);
        match extents.last_mut() {
            Some(last) => last.length = last.length.saturating_add(behind),
            None => extents.push(Extent {
                length: behind,
                zero: true,
            }),
        }
        Ok(extents)
    }

    fn read(&self, offset: u64, mut buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
        let there = self.image.size().saturating_sub(offset);
        let there = usize::try_from(there)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let (data, behind) = buffer.split_at_mut_checked(there).unwrap_or_default();
        behind.fill(0);
        self.image
            .read_at(data, offset)
            .map_err(|error| self.error(error))?;
        Ok(buffer)
    }

    fn release(&self, _offset: u64, _length: u64) -> Result<(), Error> {
        Ok(())
    }
}

/// Ask for one extent after the other until the range is covered; equal neighbours become one.
fn extents(
    mut offset: u64,
    mut length: u64,
    ask: impl Fn(u64, u64) -> Result<block::Extent, Error>,
) -> Result<Vec<Extent>, Error> {
    let mut extents: Vec<Extent> = Vec::new();
    while length > 0 {
        let found = ask(offset, length)?;
        let zero = found.status == Status::Zero;
        match extents.last_mut().filter(|last| last.zero == zero) {
            Some(last) => last.length = last.length.saturating_add(found.len),
            None => extents.push(Extent {
                length: found.len,
                zero,
            }),
        }
        offset = offset.saturating_add(found.len);
        length = length.saturating_sub(found.len);
    }
    Ok(extents)
}

/// Who has to do something about it.
pub(super) fn kind_of(kind: cbw::ErrorKind) -> ErrorKind {
    use cbw::ErrorKind as Kind;
    match kind {
        Kind::TargetFull | Kind::TargetFailed | Kind::TargetTimedOut | Kind::TargetTooSmall => {
            ErrorKind::Storage
        }
        Kind::SourceFailed | Kind::SwitchTimedOut => ErrorKind::Guest,
        Kind::Busy => ErrorKind::Busy,
        Kind::InvalidClusterSize => ErrorKind::Request,
        Kind::Detached => ErrorKind::Snapshot,
        _ => ErrorKind::Internal,
    }
}

/// A snapshot that could not be taken.
impl From<cbw::Error> for Error {
    fn from(error: cbw::Error) -> Self {
        Self::caused(
            kind_of(error.kind()),
            "there is no snapshot of the disks",
            error,
        )
    }
}
