//! The restored guest's firewall rules, in a file of their own.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fleece_staged_file::{Committed, StagedFile, sync_directory_of};
use fleece_vma_format::Header;

use crate::job::archive::content::FIREWALL;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
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
        let Some((rules, path)) = rules(header, path, reporter) else {
            return Ok(Self(None));
        };
        let before = match fs::read(path) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(path, error)),
        };
        let committed = replace(path, rules).map_err(|error| failed(path, error))?;
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

/// The archived rules and where they go; if only the place is missing, that is told.
fn rules<'h, 'p>(
    header: &'h Header,
    path: Option<&'p Path>,
    reporter: &Counting<'_>,
) -> Option<(&'h [u8], &'p Path)> {
    let mut configs = header.configs().iter();
    let rules = configs.find(|config| config.name() == FIREWALL)?;
    if path.is_none() {
        let message =
            "the archived firewall rules are not restored, since it is not known where they go";
        reporter.warning(Warning::advised(message, Advice::NameFirewallDirectory));
    }
    Some((rules.data(), path?))
}

/// Tells what would become of the rules.
pub(super) fn foresee(header: &Header, path: Option<&Path>, reporter: &Counting<'_>) {
    if let Some((_, path)) = rules(header, path, reporter) {
        reporter.info(format!("would write firewall rules to {}", path.display()));
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
