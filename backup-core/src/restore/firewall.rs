//! The restored guest's firewall rules, in a file of their own.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fleece_staged_file::{Committed, StagedFile, sync_directory_of};
use fleece_vma_format::Header;

use crate::advice::Advice;
use crate::archive::content::FIREWALL;
use crate::error::{Error, ErrorKind};
use crate::report::{Counting, Warning};

/// Of rules that replace none.
const MODE: u32 = 0o600;

/// Rules that were written, and what was there before.
#[derive(Debug)]
pub(super) struct Rules(Option<(PathBuf, Option<Vec<u8>>)>);

impl Rules {
    /// Writes the archived rules to `path`, if there are some.
    pub(super) fn restore(
        header: &Header,
        path: Option<&Path>,
        reporter: &Counting<'_>,
    ) -> Result<Self, Error> {
        let configs = header.configs();
        let Some(rules) = configs.iter().find(|config| config.name() == FIREWALL) else {
            return Ok(Self(None));
        };
        let Some(path) = path else {
            let message =
                "the archived firewall rules are not restored, since it is not known where they go";
            reporter.warning(Warning::advised(message, Advice::NameFirewallDirectory));
            return Ok(Self(None));
        };
        let before = match fs::read(path) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(path, error)),
        };
        let committed = replace(path, rules.data()).map_err(|error| failed(path, error))?;
        if let Some(warning) = committed.warning() {
            reporter.warning(warning.to_owned());
        }
        reporter.info(format!("firewall rules are in {}", path.display()));
        Ok(Self(Some((path.to_owned(), before))))
    }

    /// Puts back what was there.
    pub(super) fn undo(&self, reporter: &Counting<'_>) {
        let Some((path, before)) = &self.0 else {
            return;
        };
        let undone = match before {
            Some(before) => replace(path, before).map(drop),
            None => fs::remove_file(path).and_then(|()| sync_directory_of(path)),
        };
        if let Err(error) = undone {
            reporter.warning(failed(path, error));
        }
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    let message = format!("cannot restore the firewall rules in {}", path.display());
    Error::caused(ErrorKind::Target, message, error)
}

/// All or nothing, also for who reads meanwhile.
fn replace(path: &Path, rules: &[u8]) -> io::Result<Committed> {
    let mut staged = StagedFile::create_like(path, MODE)?;
    staged.write_all(rules)?;
    staged.commit_replacing()
}
