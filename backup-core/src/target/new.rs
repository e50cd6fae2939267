//! A new archive that its caller writes, with its index.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use fleece_vma_format::{Compression, Output};

use crate::report::Warning;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::target::base::BaseArchive;
use crate::target::place::{Staged, Target};
use crate::target::share::Sharing;
use crate::target::shared::Shared;

/// An archive in the making, for those who write it themselves; a backup writes its own.
///
/// Dropped before [`NewArchive::finish`], it leaves nothing.
#[derive(Debug)]
pub struct NewArchive {
    path: PathBuf,
    archive: Shared,
    index: Option<Shared>,
}

impl NewArchive {
    /// Begins an archive at `target`, and with `index` the file for its index, where the target has a place for
    /// one. Blocks as long as the target does: a FIFO waits for its reader.
    ///
    /// # Errors
    /// Those of the target.
    pub fn begin(target: &dyn Target, index: bool) -> Result<Self, Error> {
        let archive = Shared::new(target.begin(0)?);
        let index = match index {
            true => target.begin_index()?.map(Shared::new),
            false => None,
        };
        Ok(Self {
            path: target.path().map(Path::to_owned).unwrap_or_default(),
            archive,
            index,
        })
    }

    /// Where bytes go that need no container.
    #[must_use]
    pub fn writer(&self) -> impl Write + Send + use<> {
        self.archive.clone()
    }

    /// What takes the archive's bytes; to be dropped, or finished, before [`NewArchive::finish`].
    ///
    /// An [aligned](fleece_vma_format::HeaderBuilder::aligned) archive shares with `base` what has not changed, where
    /// the file system can.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] for a compression that there is not.
    pub fn output(
        &self,
        compression: &Compression,
        base: Option<&BaseArchive>,
    ) -> Result<Output<impl Write + Send + use<>>, Error> {
        let index = self.index.clone().map(BufWriter::new);
        let index = index.map(|index| Box::new(index) as Box<dyn Write + Send>);
        let output = Output::new(self.archive.clone(), compression, index).map_err(|error| {
            Error::caused(ErrorKind::Request, "cannot compress the archive", error)
        })?;
        let Some(base) = base else {
            return Ok(output);
        };
        let sharing = Sharing::new(base.clone(), self.archive.can_share(base.file()));
        Ok(output.reusing(base.base().clone(), Box::new(sharing)))
    }

    /// Makes everything durable and the archive appear, then its index. The result is what people should know
    /// about an archive that is there.
    ///
    /// # Errors
    /// Those of the target; nothing has appeared then.
    pub fn finish(self) -> Result<Vec<Warning>, Error> {
        let mut index = self.index.and_then(|index| index.take());
        let gone = || Error::new(ErrorKind::Internal, "the archive is closed already");
        let mut archive = self.archive.take().ok_or_else(gone)?;
        archive.sync()?;
        if let Some(index) = &mut index {
            index.sync()?;
        }
        let mut warnings: Vec<Warning> = archive.commit()?.map(Warning::from).into_iter().collect();
        warnings.extend(index.and_then(|index| publish_index(index, self.path)));
        Ok(warnings)
    }
}

/// Gives the index of an archive that is there its name. What goes wrong is a warning.
pub(crate) fn publish_index(index: Box<dyn Staged>, archive: PathBuf) -> Option<Warning> {
    match index.commit() {
        Ok(warning) => warning.map(Warning::from),
        Err(error) => {
            let message = format!(
                "the archive is complete and has no index: {}",
                error.chain()
            );
            Some(Warning::advised(message, Advice::MakeIndex(archive)))
        }
    }
}
