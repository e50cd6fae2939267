//! `vma files`: what is on the disks of an archive, and the files in it.

#[cfg(unix)]
mod beneath;
#[cfg(unix)]
mod copy;
mod disks;
mod entry;
mod failed;
mod list;
mod permissions;
mod records;
mod tar;
mod volumes;

use std::io::{self, Write as _};

use fleece_archive_files::{FileTree, Follow, Volume, Volumes, resolve};

use super::cli::{FilesAction, FilesArgs};
use super::failure::{Failure, Result, check};
use super::report;
#[cfg(unix)]
pub(super) use disks::DiskOfArchive;
pub(super) use disks::plain;
use failed::{at, failed};

/// How much is read at once.
const BUFFER: usize = 1 << 20;

/// Lists volumes, or does something with the files of one.
pub(super) fn files(args: &FilesArgs) -> Result<()> {
    let found = disks::volumes(args)?;
    let Some(action) = &args.action else {
        if let Some(name) = &args.volume {
            return volumes::print(found.named(plain(name)).map_err(failed)?, &found);
        }
        return volumes::list(&found);
    };
    let volume = chosen(&found, args.volume.as_deref())?;
    let tree = volume.open().map_err(failed)?;
    for note in tree.notes() {
        report::note(format_args!("{}: {note}", volume.name));
    }
    match action {
        FilesAction::Ls(args) => list::ls(&*tree, args),
        FilesAction::Find(args) => list::find(&*tree, args),
        FilesAction::Cat { paths } => cat(&*tree, paths),
        #[cfg(unix)]
        FilesAction::Cp(args) => copy::cp(&*tree, args).map_err(Failure::unfinished),
        FilesAction::Tar { paths } => tar::tar(&*tree, paths).map_err(Failure::unfinished),
    }
}

/// The volume that was named, or the only one that has files.
fn chosen<'v>(found: &'v Volumes, name: Option<&str>) -> Result<&'v Volume> {
    if let Some(name) = name {
        return found.named(plain(name)).map_err(failed);
    }
    let mut with_files = found.with_files();
    match (with_files.next(), with_files.next()) {
        (Some(only), None) => Ok(only),
        // With the names of those that there are.
        _ => found
            .named("")
            .map_err(|error| Failure::usage(error.to_string())),
    }
}

fn cat(tree: &dyn FileTree, paths: &[std::ffi::OsString]) -> Result<()> {
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; BUFFER];
    for path in paths {
        let node = resolve(tree, path.as_encoded_bytes(), Follow::Links).map_err(failed)?;
        let mut offset = 0_u64;
        loop {
            check()?;
            let read = tree.read_at(node, offset, &mut buffer);
            let read = read.map_err(|error| at(path.as_encoded_bytes(), &error))?;
            if read == 0 {
                break;
            }
            out.write_all(buffer.get(..read).unwrap_or_default())
                .map_err(Failure::output)
                .map_err(Failure::unfinished)?;
            offset = offset.saturating_add(read as u64);
        }
    }
    out.flush().map_err(Failure::output)
}
