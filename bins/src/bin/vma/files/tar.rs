//! `tar`: files out of a volume, as one stream.

use std::borrow::Cow;
use std::collections::HashMap;
#[cfg(unix)]
use std::ffi::OsStr;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read, Write};
use std::ops::Range;
#[cfg(unix)]
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use fleece_archive_files::{FileTree, Follow, Kind, Limits, NodeId, Stat, Walk, resolve};
use fleece_bins::advice::chain;
use fleece_bins::exit;
use tar::{Builder, EntryType, Header};

use super::super::failure::{Failure, Result, check};
use super::super::report;
use super::entry::{joined, shown};
use super::failed::failed;
use super::records::{self, Records};

/// From when on a file with holes is stored as one.
const WORTH: u64 = 64 << 10;

/// How many pieces a file with holes is stored in at most.
const MAX_PIECES: usize = 1 << 20;

/// Writes files, and directories with all that is in them, to standard output.
pub(super) fn tar(tree: &dyn FileTree, paths: &[OsString]) -> Result<()> {
    if io::stdout().is_terminal() {
        return Err(Failure::usage("an archive is not written to a terminal"));
    }
    let mut stream = Stream {
        tree,
        out: Builder::new(io::BufWriter::with_capacity(1 << 20, io::stdout().lock())),
        names: HashMap::new(),
        without_attributes: 0,
    };
    let mut unread = 0_usize;
    for start in paths {
        let node = resolve(tree, start.as_encoded_bytes(), Follow::ToLink).map_err(failed)?;
        for found in Walk::new(tree, node, Limits::default()) {
            check()?;
            let path = joined(start.as_encoded_bytes(), &found.path);
            let result = found.stat.map_err(Trouble::Read);
            let result = result.and_then(|stat| stream.put(&path, found.node, &stat));
            let mut tell = |why: String| {
                unread = unread.saturating_add(1);
                report::warning(format_args!("{}: {why}", shown(&path)));
            };
            match result {
                Ok(()) => {}
                Err(Trouble::Read(error)) => tell(chain(&error)),
                Err(Trouble::Middle(error)) => {
                    // Its size has been written: nothing can follow.
                    return Err(Failure::new(format!(
                        "{}: {}; the stream is not complete",
                        shown(&path),
                        chain(&error)
                    )));
                }
                Err(Trouble::Write(error)) => return Err(Failure::output(error)),
            }
            if let Some(error) = &found.unread {
                tell(chain(error));
            }
        }
    }
    unread = unread.saturating_add(stream.without_attributes);
    let out = stream.out.into_inner().map_err(Failure::output)?;
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)
        .and_then(|mut out| out.flush())
        .map_err(Failure::output)?;
    match unread {
        0 => Ok(()),
        _ => Err(Failure::silent(exit::WARNINGS)),
    }
}

enum Trouble {
    /// It cannot be read, and nothing of it is written.
    Read(fleece_archive_files::Error),
    /// It cannot be read to its end.
    Middle(io::Error),
    /// Nobody reads the stream.
    Write(io::Error),
}

struct Stream<'t, W: Write> {
    tree: &'t dyn FileTree,
    out: Builder<W>,
    /// Files that have more names, by their first one.
    names: HashMap<NodeId, Vec<u8>>,
    without_attributes: usize,
}

impl<W: Write> Stream<'_, W> {
    fn put(&mut self, path: &[u8], node: NodeId, stat: &Stat) -> std::result::Result<(), Trouble> {
        let parts = path.split(|byte| *byte == b'/');
        let parts: Vec<&[u8]> = parts
            .filter(|part| !matches!(*part, b"" | b"." | b".."))
            .collect();
        let name = parts.join(&b'/');
        if name.is_empty() {
            return Ok(());
        }
        let mut header = header(Header::new_gnu(), stat);
        let write = |done: io::Result<()>| done.map_err(Trouble::Write);
        if stat.kind == Kind::File
            && let Some(first) = self.names.get(&node)
        {
            header.set_entry_type(EntryType::Link);
            let first = as_path(first).into_owned();
            return write(self.out.append_link(&mut header, as_path(&name), first));
        }
        if stat.kind == Kind::Socket {
            report::note(format_args!("{} is left out: it is a socket", shown(path)));
            return Ok(());
        }
        let (records, read) = records::of(self.tree, node, stat);
        if let Err(error) = read {
            let why = chain(&error);
            report::warning(format_args!(
                "{}: its attributes are left out: {why}",
                shown(path)
            ));
            self.without_attributes = self.without_attributes.saturating_add(1);
        }
        if stat.kind != Kind::File {
            self.records(&records)?;
        }
        match stat.kind {
            Kind::File => {
                self.file(&name, node, stat, header, records)?;
                if stat.links > 1 {
                    self.names.insert(node, name);
                }
                Ok(())
            }
            Kind::Link => {
                let target = self.tree.link(node).map_err(Trouble::Read)?;
                let target = as_path(&target);
                write(self.out.append_link(&mut header, as_path(&name), target))
            }
            _ => write(
                self.out
                    .append_data(&mut header, as_path(&name), io::empty()),
            ),
        }
    }

    /// Writes what the header of the entry that follows has no room for: all at once, as the second of two such headers
    /// replaces the first.
    fn records(&mut self, records: &Records) -> std::result::Result<(), Trouble> {
        if records.is_empty() {
            return Ok(());
        }
        let records = records
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()));
        self.out
            .append_pax_extensions(records)
            .map_err(Trouble::Write)
    }

    fn file(
        &mut self,
        name: &[u8],
        node: NodeId,
        stat: &Stat,
        mut header: Header,
        mut records: Records,
    ) -> std::result::Result<(), Trouble> {
        let pieces = self.pieces(node, stat).map_err(Trouble::Read)?;
        let mut content = Content {
            tree: self.tree,
            node,
            before: Vec::new(),
            pieces: Vec::new(),
            failed: None,
        };
        let Some(pieces) = pieces else {
            self.records(&records)?;
            header.set_size(stat.size);
            content.pieces.push(0..stat.size);
            let written = self
                .out
                .append_data(&mut header, as_path(name), &mut content);
            return content.outcome(written);
        };
        // The form that GNU tar calls "PAX 1.0": the map is before the pieces, in text.
        let size = stat.size.to_string();
        records.extend(
            [
                ("GNU.sparse.major", &b"1"[..]),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", name),
                ("GNU.sparse.realsize", size.as_bytes()),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_vec())),
        );
        self.records(&records)?;
        let mut map = format!("{}\n", pieces.len());
        for piece in &pieces {
            let len = piece.end.saturating_sub(piece.start);
            map.push_str(&format!("{}\n{len}\n", piece.start));
        }
        let mut map = map.into_bytes();
        map.resize(map.len().next_multiple_of(512), 0);
        let lens = pieces
            .iter()
            .map(|piece| piece.end.saturating_sub(piece.start));
        let stored = lens.fold(map.len() as u64, u64::saturating_add);
        // GNU tar looks for such a map only behind a header of POSIX's kind. The name that counts is in the records.
        let mut header = self::header(Header::new_ustar(), stat);
        header.set_size(stored);
        // The first is read first.
        map.reverse();
        content.before = map;
        content.pieces = pieces;
        content.pieces.reverse();
        let other = Path::new("GNUSparseFile.0/file");
        let written = self.out.append_data(&mut header, other, &mut content);
        content.outcome(written)
    }

    /// Where a file has content, if it has holes that are worth it.
    fn pieces(
        &self,
        node: NodeId,
        stat: &Stat,
    ) -> fleece_archive_files::Result<Option<Vec<Range<u64>>>> {
        let mut pieces: Vec<Range<u64>> = Vec::new();
        let (mut next, mut stored) = (0, 0_u64);
        while let Some(range) = self.tree.data_at(node, next)? {
            stored = stored.saturating_add(range.end.saturating_sub(range.start));
            next = range.end.max(next.saturating_add(1));
            match pieces.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => pieces.push(range),
            }
            if pieces.len() > MAX_PIECES {
                return Ok(None);
            }
        }
        if stat.size.saturating_sub(stored) < WORTH {
            return Ok(None);
        }
        // GNU's own end with an empty piece at the end of the file.
        if pieces.last().is_none_or(|last| last.end < stat.size) {
            pieces.push(stat.size..stat.size);
        }
        Ok(Some(pieces))
    }
}

#[cfg(unix)]
fn as_path(name: &[u8]) -> Cow<'_, Path> {
    Cow::Borrowed(Path::new(OsStr::from_bytes(name)))
}

/// Names have to be Unicode there.
#[cfg(not(unix))]
fn as_path(name: &[u8]) -> Cow<'_, Path> {
    Cow::Owned(String::from_utf8_lossy(name).into_owned().into())
}

fn header(mut header: Header, stat: &Stat) -> Header {
    header.set_mode(stat.permissions);
    header.set_uid(stat.uid.into());
    header.set_gid(stat.gid.into());
    header.set_mtime(u64::try_from(stat.modified.seconds).unwrap_or_default());
    header.set_size(0);
    header.set_entry_type(match stat.kind {
        Kind::File | Kind::Socket => EntryType::Regular,
        Kind::Directory => EntryType::Directory,
        Kind::Link => EntryType::Symlink,
        Kind::Fifo => EntryType::Fifo,
        Kind::Character => EntryType::Char,
        Kind::Block => EntryType::Block,
    });
    // A header of this kind has room for them.
    let _ = header.set_device_major(stat.device.0);
    let _ = header.set_device_minor(stat.device.1);
    header
}

/// The bytes of a file's entry.
struct Content<'t> {
    tree: &'t dyn FileTree,
    node: NodeId,
    /// What comes first, the first byte last.
    before: Vec<u8>,
    /// What follows, the first piece last.
    pieces: Vec<Range<u64>>,
    failed: Option<io::Error>,
}

impl Content<'_> {
    fn outcome(&mut self, written: io::Result<()>) -> std::result::Result<(), Trouble> {
        match (written, self.failed.take()) {
            (_, Some(error)) => Err(Trouble::Middle(error)),
            (Err(error), None) => Err(Trouble::Write(error)),
            (Ok(()), None) => Ok(()),
        }
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.before.is_empty() {
            let mut count = 0_usize;
            for (byte, next) in buffer
                .iter_mut()
                .zip(std::iter::from_fn(|| self.before.pop()))
            {
                *byte = next;
                count = count.saturating_add(1);
            }
            return Ok(count);
        }
        loop {
            let Some(piece) = self.pieces.last_mut() else {
                return Ok(0);
            };
            if piece.start >= piece.end {
                self.pieces.pop();
                continue;
            }
            let left = usize::try_from(piece.end.saturating_sub(piece.start)).unwrap_or(usize::MAX);
            let len = left.min(buffer.len());
            let room = buffer.get_mut(..len).unwrap_or_default();
            let read = self
                .tree
                .read_at(self.node, piece.start, room)
                .map_err(io::Error::from);
            let read = read.and_then(|read| match read {
                0 if len > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
                read => Ok(read),
            });
            return match read {
                Ok(read) => {
                    piece.start = piece.start.saturating_add(read as u64);
                    Ok(read)
                }
                Err(error) => {
                    let told = io::Error::new(error.kind(), error.to_string());
                    self.failed = Some(error);
                    Err(told)
                }
            };
        }
    }
}
