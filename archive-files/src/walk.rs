//! Everything below a directory.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::tree::{Entry, FileTree, Kind, NodeId, Stat};

/// What bounds a walk over a tree that may have been made to have no end.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by callers")]
pub struct Limits {
    /// How many directories are within each other.
    pub depth: usize,
    /// How many entries are visited.
    pub entries: u64,
}

impl Default for Limits {
    /// 4096 directories, as many as a path has room for, and a thousand million entries.
    fn default() -> Self {
        Self {
            depth: 4096,
            entries: 1_000_000_000,
        }
    }
}

/// What a walk has come to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Found {
    /// From where the walk began, without `/` before it; empty for that itself.
    pub path: Vec<u8>,
    /// The node.
    pub node: NodeId,
    /// What it is, or why that cannot be read.
    pub stat: Result<Stat>,
    /// Why its entries cannot be read, or not all of them, if it is a directory.
    pub unread: Option<Error>,
}

/// A walk over everything below a directory, each directory before what is in it. What cannot be read is told, and the walk
/// goes on behind it. It holds the entries of the directories that it is in, sorted by name.
#[derive(Debug)]
pub struct Walk<'t> {
    tree: &'t dyn FileTree,
    limits: Limits,
    left: u64,
    start: Option<NodeId>,
    within: Vec<Level>,
    /// Where the innermost of them is.
    path: Vec<u8>,
}

#[derive(Debug)]
struct Level {
    node: NodeId,
    /// How much of the path leads to it: a hostile disk may have long names within each other.
    path: usize,
    entries: VecDeque<Entry>,
}

/// How many entries of one directory are held: ext4 has room for about twenty million with short names.
const MAX_ENTRIES: usize = 20_000_000;

impl<'t> Walk<'t> {
    /// Begins at a node, which comes first.
    #[must_use]
    pub const fn new(tree: &'t dyn FileTree, start: NodeId, limits: Limits) -> Self {
        Self {
            tree,
            limits,
            left: limits.entries,
            start: Some(start),
            within: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Does not go into the directory that came last.
    pub fn leave(&mut self) {
        self.within.pop();
    }

    fn visit(&mut self, path: Vec<u8>, node: NodeId) -> Found {
        let mut found = Found {
            stat: self.tree.stat(node),
            path,
            node,
            unread: None,
        };
        if found
            .stat
            .as_ref()
            .is_ok_and(|stat| stat.kind == Kind::Directory)
        {
            let mut level = Level {
                node,
                path: found.path.len(),
                entries: VecDeque::new(),
            };
            found.unread = self.enter(&mut level).err();
            self.within.push(level);
            self.path.clone_from(&found.path);
        }
        found
    }

    fn enter(&self, level: &mut Level) -> Result<()> {
        if self.within.iter().any(|above| above.node == level.node) {
            return Err(Error::damaged("it is within itself"));
        }
        if self.within.len() >= self.limits.depth {
            return Err(Error::limit(format!(
                "more than {} directories are within each other",
                self.limits.depth
            )));
        }
        let mut too_many = false;
        let listed = self.tree.list(level.node, &mut |entry| {
            if level.entries.len() >= MAX_ENTRIES {
                too_many = true;
                return ControlFlow::Break(());
            }
            level.entries.push_back(entry);
            ControlFlow::Continue(())
        });
        level
            .entries
            .make_contiguous()
            .sort_by(|a, b| a.name.cmp(&b.name));
        match too_many {
            true => Err(Error::limit("it has more than twenty million entries")),
            false => listed,
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if let Some(start) = self.start.take() {
            return Some(self.visit(Vec::new(), start));
        }
        loop {
            let level = self.within.last_mut()?;
            let Some(entry) = level.entries.pop_front() else {
                self.within.pop();
                continue;
            };
            self.path.truncate(level.path);
            let mut path = self.path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                None => {
                    self.within.clear();
                    return Some(Found {
                        path,
                        node: entry.node,
                        stat: Err(Error::limit("there are more entries than are visited")),
                        unread: None,
                    });
                }
            }
            return Some(self.visit(path, entry.node));
        }
    }
}
