//! Where a new archive goes: a file that appears only when it is complete, a FIFO, a command, standard output.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use fleece_backup_core::{
    Advice, Cache, EncryptedTarget, FileOptions, FileTarget, NewArchive, SignedTarget,
    StreamTarget, Target,
};
use fleece_bins::advice::chain;
use fleece_bins::signals;
use fleece_vma_format::Error;

use super::encryption::Protection;
use super::failure::{Failure, Result};

/// Begins an archive at `target`, and with `index` the file for its index. Files get this `mode`, whatever the
/// umask, or that of archives. It is encrypted and signed as asked for.
pub(super) fn begin(
    target: &OsStr,
    index: bool,
    sync: bool,
    mode: Option<u32>,
    protection: Protection,
) -> Result<NewArchive> {
    let Protection { recipients, key } = protection;
    let encrypted = |target: Arc<dyn Target>| match recipients {
        Some(recipients) => Arc::new(EncryptedTarget::new(target, recipients)),
        None => target,
    };
    let path = Path::new(target);
    let stream = match target.as_bytes().strip_prefix(b"exec:") {
        Some(command) => StreamTarget::Command(OsStr::from_bytes(command).to_owned()),
        None if target == "-" && io::stdout().is_terminal() => {
            return Err(Failure::usage("an archive is not written to a terminal"));
        }
        None if target == "-" => StreamTarget::Stdout,
        None if fs::metadata(path).is_ok_and(|there| !there.is_file()) => {
            StreamTarget::Existing(path.to_owned())
        }
        None => {
            let mut options = FileOptions::default();
            options.mode = mode.unwrap_or(options.mode);
            options.cache = match sync {
                true => Cache::Keep,
                false => Cache::NotDurable,
            };
            let file = FileTarget::with(path, options);
            let file: Arc<dyn Target> = match key {
                Some(key) => Arc::new(SignedTarget::new(Arc::new(file), key, options)),
                None => Arc::new(file),
            };
            return Ok(NewArchive::begin(&*encrypted(file), index)?);
        }
    };
    if key.is_some() {
        let message = "only an archive in a file is signed: there is no place for the signature";
        return Err(Failure::usage(message));
    }
    // A FIFO waits for its reader.
    Ok(signals::at_once(|| {
        NewArchive::begin(&*encrypted(Arc::new(stream)), index)
    })?)
}

/// Makes everything durable, and the archive appear under its name. What is wrong with one that has it is a warning.
pub(super) fn finish(archive: NewArchive) -> Result<()> {
    let Some(warning) = archive.finish()?.into_iter().next() else {
        return Ok(());
    };
    Err(Failure::warning(&match warning.advice {
        Some(Advice::MakeIndex(_)) => format!("{}; `vma index` makes one", warning.message),
        _ => warning.message,
    }))
}

/// Why writing to `target` failed.
pub(super) fn failed(target: &OsStr, error: Error) -> Failure {
    match error.io_kind() {
        Some(io::ErrorKind::StorageFull) => Failure::new(format!(
            "{}: {}; make room there, or write to another place",
            target.display(),
            chain(&error)
        )),
        _ => error.into(),
    }
}
