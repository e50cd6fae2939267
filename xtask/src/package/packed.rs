//! All packages of the two programs.

use std::path::{Path, PathBuf};

use super::maker::{Maker, fresh};
use super::{debian, rpm, tarball, tree};
use crate::run::workspace;

/// What was packed.
pub(super) struct Packages {
    pub(super) folder: PathBuf,
    /// `fleece`, for Debian.
    pub(super) debian: PathBuf,
    /// `fleece-proxmox`, the Perl modules for a Proxmox host.
    pub(super) proxmox: PathBuf,
    pub(super) rpm: PathBuf,
    pub(super) tarball: PathBuf,
}

impl Packages {
    /// Packs the two programs in the folder `programs`.
    pub(super) fn pack(programs: &Path) -> Result<Self, String> {
        let folder = workspace().join("target/package");
        fresh(&folder)?;
        let maker = Maker::new(&folder)?;
        let programs = tree::stripped(&maker, programs)?;
        Ok(Self {
            debian: debian::fleece(&maker, &programs)?,
            proxmox: debian::fleece_proxmox(&maker)?,
            rpm: rpm::pack(&maker, &programs)?,
            tarball: tarball::pack(&maker, &programs)?,
            folder,
        })
    }
}
