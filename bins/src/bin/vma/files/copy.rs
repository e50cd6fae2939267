//! `cp`: files out of a volume, into a directory.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fleece_archive_files::{FileTree, Follow, Found, Kind, Limits, NodeId, Stat, Walk, resolve};
use fleece_bins::advice::chain;
use fleece_bins::exit;
use fleece_vma_format as format;
use serde_json::json;

use super::super::cli::CpArgs;
use super::super::failure::{Failure, Result, check};
use super::super::report;
use super::BUFFER;
use super::beneath::{Beneath, mark};
use super::entry::{joined, shown};
use super::failed::{at, failed};

/// What is left out as a hole if it is zeroes.
const BLOCK: usize = 64 << 10;

/// Copies files, and directories with all that is in them.
pub(super) fn cp(tree: &dyn FileTree, args: &CpArgs) -> Result<()> {
    let target = Path::new(&args.target);
    let is_directory = target.is_dir();
    if !is_directory && args.paths.len() > 1 {
        return Err(Failure::new(format!(
            "{} is no directory: several files are copied into one",
            target.display()
        )));
    }
    let (directory, name) = match (is_directory, target.file_name()) {
        (true, _) | (false, None) => (target, None),
        (false, Some(name)) => {
            let parent = target
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            (
                parent.unwrap_or_else(|| Path::new(".")),
                Some(name.as_bytes()),
            )
        }
    };
    let opened = Beneath::open(directory);
    let into = opened.map_err(|e| Failure::io(format!("cannot use {}", directory.display()), e))?;
    let mut copy = Copy {
        tree,
        args,
        into,
        names: HashMap::new(),
        directories: Vec::new(),
        buffer: vec![0; BUFFER],
        done: Done::default(),
    };
    for path in &args.paths {
        // What is named is meant, and not the link to it.
        let node = resolve(tree, path.as_bytes(), Follow::Links).map_err(failed)?;
        let stat = tree
            .stat(node)
            .map_err(|error| at(path.as_bytes(), &error))?;
        if stat.kind == Kind::Directory && !args.recursive {
            return Err(Failure::new(format!(
                "{} is a directory: with -r it is copied with all that is in it",
                shown(path.as_bytes())
            )));
        }
        let last = path
            .as_bytes()
            .split(|byte| *byte == b'/')
            .rfind(|part| !part.is_empty());
        // The root has no name of its own: what is in it comes into the directory.
        let own = last
            .filter(|name| !matches!(*name, b"." | b".."))
            .unwrap_or_default();
        copy.all(path.as_bytes(), name.unwrap_or(own), node)?;
    }
    copy.finish()
}

#[derive(Default)]
struct Done {
    files: u64,
    directories: u64,
    links: u64,
    bytes: u64,
    skipped: u64,
    failed: u64,
}

struct Copy<'a> {
    tree: &'a dyn FileTree,
    args: &'a CpArgs,
    into: Beneath,
    /// Files that have more names, by the first one that was made.
    names: HashMap<NodeId, Vec<u8>>,
    /// They get their modes and times when all is in them.
    directories: Vec<(Vec<u8>, Stat)>,
    buffer: Vec<u8>,
    done: Done,
}

impl Copy<'_> {
    fn all(&mut self, start: &[u8], name: &[u8], node: NodeId) -> Result<()> {
        let mut walk = Walk::new(self.tree, node, Limits::default());
        while let Some(found) = walk.next() {
            check()?;
            let from = joined(start, &found.path);
            let to = match (name, found.path.as_slice()) {
                (name, []) => name.to_vec(),
                ([], path) => path.to_vec(),
                (name, path) => [name, b"/", path].concat(),
            };
            let is_directory = found
                .stat
                .as_ref()
                .is_ok_and(|stat| stat.kind == Kind::Directory);
            match self.one(&from, to, &found) {
                Ok(()) => {}
                // Nothing more would be written, either.
                Err(Trouble::Fatal(failure)) => return Err(failure),
                Err(Trouble::One(why)) => {
                    self.done.failed = self.done.failed.saturating_add(1);
                    report::warning(format_args!("{}: {why}", shown(&from)));
                    if is_directory {
                        walk.leave();
                    }
                }
            }
            if let Some(error) = &found.unread {
                self.done.failed = self.done.failed.saturating_add(1);
                report::warning(format_args!("{}: {}", shown(&from), chain(error)));
            }
        }
        Ok(())
    }

    fn one(&mut self, from: &[u8], to: Vec<u8>, found: &Found) -> std::result::Result<(), Trouble> {
        let stat = found
            .stat
            .as_ref()
            .map_err(|error| Trouble::One(chain(error)))?;
        match stat.kind {
            Kind::Directory => {
                // The contents of the root go into what is there.
                if !to.is_empty() {
                    self.into.make_directory(&to).map_err(trouble)?;
                    self.directories.push((to, *stat));
                }
                self.done.directories = self.done.directories.saturating_add(1);
            }
            Kind::File => self.file(to, found.node, stat)?,
            Kind::Link if self.args.links => {
                let target = self
                    .tree
                    .link(found.node)
                    .map_err(|error| Trouble::One(chain(&error)))?;
                self.into.make_link(&to, &target).map_err(trouble)?;
                self.into
                    .mark_link(&to, stat, self.args.owners)
                    .map_err(trouble)?;
                self.done.links = self.done.links.saturating_add(1);
            }
            kind => {
                self.done.skipped = self.done.skipped.saturating_add(1);
                if kind != Kind::Link {
                    report::note(format_args!(
                        "{} is left out: it is a {}",
                        shown(from),
                        kind.word()
                    ));
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, to: Vec<u8>, node: NodeId, stat: &Stat) -> std::result::Result<(), Trouble> {
        if let Some(first) = self.names.get(&node) {
            let named = self.into.make_name(first, &to);
            if named.is_ok() {
                self.done.files = self.done.files.saturating_add(1);
                return Ok(());
            }
            // Where a file has only one name, it is copied again.
        }
        let file = self.into.make_file(&to).map_err(trouble)?;
        let written = self
            .content(&file, node, stat)
            .and_then(|()| mark(&file, stat, self.args.owners).map_err(trouble));
        if let Err(why) = written {
            // Half a file is none.
            let _ = self.into.remove_file(&to);
            return Err(why);
        }
        self.done.files = self.done.files.saturating_add(1);
        if stat.links > 1 {
            self.names.insert(node, to);
        }
        Ok(())
    }

    /// Writes what is stored; what is not, and what is zeroes, stays a hole.
    fn content(
        &mut self,
        file: &File,
        node: NodeId,
        stat: &Stat,
    ) -> std::result::Result<(), Trouble> {
        let one = |error: fleece_archive_files::Error| Trouble::One(chain(&error));
        let mut next = 0;
        while let Some(range) = self.tree.data_at(node, next).map_err(one)? {
            let mut offset = range.start;
            while offset < range.end {
                check().map_err(fatal)?;
                let left = usize::try_from(range.end.saturating_sub(offset)).unwrap_or(usize::MAX);
                let len = left.min(self.buffer.len());
                let room = self.buffer.get_mut(..len).unwrap_or_default();
                let read = self.tree.read_at(node, offset, room).map_err(one)?;
                if read == 0 {
                    return Err(Trouble::One("it is shorter than it says".into()));
                }
                let got = self.buffer.get(..read).unwrap_or_default();
                for (place, block) in got.chunks(BLOCK).enumerate() {
                    if !fleece_storage::block::is_zero(block) {
                        let within = (place as u64).saturating_mul(BLOCK as u64);
                        file.write_all_at(block, offset.saturating_add(within))
                            .map_err(trouble)?;
                    }
                }
                self.done.bytes = self.done.bytes.saturating_add(read as u64);
                offset = offset.saturating_add(read as u64);
            }
            next = offset.max(next.saturating_add(1));
        }
        file.set_len(stat.size).map_err(trouble)
    }

    fn finish(mut self) -> Result<()> {
        while let Some((path, stat)) = self.directories.pop() {
            if let Err(error) = self.into.mark_directory(&path, &stat, self.args.owners) {
                self.done.failed = self.done.failed.saturating_add(1);
                report::warning(format_args!("{}: {}", shown(&path), chain(&error)));
            }
        }
        let done = &self.done;
        if done.skipped > 0 && !self.args.links {
            report::note(format_args!(
                "{} symbolic links and special files are left out; --links copies links, and `tar` has all of them",
                done.skipped
            ));
        }
        report::summary(|| {
            json!({
                "files": done.files,
                "directories": done.directories,
                "links": done.links,
                "bytes": done.bytes,
                "skipped": done.skipped,
                "failed": done.failed,
            })
        })?;
        match done.failed {
            0 => Ok(()),
            _ => Err(Failure::silent(exit::WARNINGS)),
        }
    }
}

enum Trouble {
    /// With this file.
    One(String),
    /// With all that follow.
    Fatal(Failure),
}

fn fatal(error: format::Error) -> Trouble {
    Trouble::Fatal(error.into())
}

/// What the target's file system says: some of it holds for all files.
fn trouble(error: io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::ReadOnlyFilesystem => {
            Trouble::Fatal(Failure::io("cannot write to the target", error))
        }
        _ => Trouble::One(chain(&error)),
    }
}
