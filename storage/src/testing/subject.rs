//! The storage under test, and why a check ends early.

use std::fmt;
use std::fmt::Write as _;

use fleece_guest_config::GuestId;

use crate::error::Error;
use crate::name::{VolumeFormat, VolumeName};
use crate::plugin::{AllocationRequest, Capabilities, Plugin};
use crate::volume::VolumeId;

/// Why a check ends early.
#[derive(Debug)]
pub(super) enum Verdict {
    NotApplicable(String),
    Failed(String),
}

pub(super) type Checked<T = ()> = Result<T, Verdict>;

/// The storage under test.
pub(super) struct Subject<'a> {
    pub(super) storage: &'a dyn Plugin,
    pub(super) vmid: u32,
    pub(super) guest: GuestId,
    pub(super) capabilities: Capabilities,
}

impl<'a> Subject<'a> {
    pub(super) fn begin(storage: &'a dyn Plugin, vmid: u32) -> Checked<Self> {
        storage.activate()?;
        let guest = guest(vmid)?;
        ensure(storage.list(Some(&guest))?.is_empty(), || {
            format!("guest {guest} has volumes already")
        })?;
        Ok(Self {
            storage,
            vmid,
            guest,
            capabilities: storage.capabilities()?,
        })
    }

    pub(super) fn clean(&self) -> Checked {
        for volume in self.storage.list(Some(&self.guest))? {
            self.storage.free(&volume.id)?;
        }
        Ok(())
    }

    /// The format that the storage prefers.
    pub(super) fn format(&self) -> Checked<VolumeFormat> {
        let format = self.capabilities.formats.first().copied();
        format.ok_or_else(|| failed("it has no formats"))
    }

    pub(super) fn name(&self, n: u32) -> Checked<VolumeName> {
        Ok(VolumeName::numbered(&self.guest, "conform", n)?)
    }

    pub(super) fn request(
        &self,
        n: u32,
        format: VolumeFormat,
        size: u64,
    ) -> Checked<AllocationRequest> {
        Ok(AllocationRequest::new(self.name(n)?, format, size))
    }

    pub(super) fn allocate(&self, n: u32, size: u64) -> Checked<VolumeId> {
        Ok(self
            .storage
            .allocate(&self.request(n, self.format()?, size)?)?)
    }

    /// A size as the storage shows it after rounding.
    pub(super) fn rounded(&self, size: u64) -> Checked<u64> {
        let rounding = self.capabilities.size_rounding;
        size.checked_next_multiple_of(rounding)
            .ok_or_else(|| failed("it rounds sizes to zero"))
    }
}

pub(super) fn guest(vmid: u32) -> Checked<GuestId> {
    GuestId::try_from(vmid).map_err(|error| failed(error.to_string()))
}

impl From<Error> for Verdict {
    fn from(error: Error) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        Self::Failed(text)
    }
}

pub(super) fn failed(message: impl Into<String>) -> Verdict {
    Verdict::Failed(message.into())
}

pub(super) fn ensure(condition: bool, message: impl FnOnce() -> String) -> Checked {
    if condition {
        Ok(())
    } else {
        Err(Verdict::Failed(message()))
    }
}

pub(super) fn ensure_eq<T: PartialEq + fmt::Debug>(what: &str, actual: T, expected: T) -> Checked {
    ensure(actual == expected, || {
        format!("{what}: {actual:?} instead of {expected:?}")
    })
}
