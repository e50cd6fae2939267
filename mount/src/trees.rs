//! The files on volumes: what `files/` and everything below it is.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleece_archive_files::{Entry, Error, FileTree, NodeId, Result};

use crate::inode::{Node, Place};

/// How many directories are kept as they were listed, lest one be listed anew for each name that is looked up in it.
const KEPT: usize = 32;

/// How many entries a directory may have: ext4 has room for about twenty million with short names.
const MOST: usize = 20_000_000;

/// The files of some volumes, and the directories that lead to them.
#[derive(Debug)]
pub(crate) struct Trees {
    /// The first is `files/`.
    folders: Vec<Vec<(String, Place)>>,
    trees: Vec<Box<dyn FileTree>>,
    known: Mutex<HashMap<u64, Known>>,
    numbers: RandomState,
    listed: Mutex<VecDeque<(Node, Arc<Listing>)>>,
}

/// A node that the kernel knows by a number, and how often it was told.
#[derive(Debug)]
struct Known {
    node: Node,
    told: u64,
}

/// The entries of a directory, sorted by name.
#[derive(Debug)]
pub(crate) struct Listing(pub(crate) Vec<Entry>);

impl Trees {
    /// Trees under the names of their volumes, whose slashes separate directories. Also gives the paths where they are, which
    /// differ from the names where those are no paths, or where there is something else already.
    pub(crate) fn new(named: Vec<(String, Box<dyn FileTree>)>) -> (Self, Vec<String>) {
        let mut made = Self {
            folders: vec![Vec::new()],
            trees: Vec::new(),
            known: Mutex::default(),
            numbers: RandomState::new(),
            listed: Mutex::default(),
        };
        let mut paths = Vec::new();
        for (name, tree) in named {
            let place = Place::Node((made.trees.len(), tree.root()));
            made.trees.push(tree);
            paths.push(made.place(&name, place));
        }
        (made, paths)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.trees.is_empty()
    }

    fn place(&mut self, name: &str, place: Place) -> String {
        let parts = name.split('/').map(|part| match part {
            "" | "." | ".." => "_".to_owned(),
            part => part.replace('\0', "_"),
        });
        let mut parts: Vec<String> = parts.collect();
        let mut last = parts.pop().unwrap_or_default();
        let mut folder = 0;
        for part in &mut parts {
            folder = self.folder(folder, part);
        }
        while self.entry(folder, last.as_bytes()).is_some() {
            last.push('~');
        }
        if let Some(entries) = self.folders.get_mut(folder) {
            entries.push((last.clone(), place));
        }
        parts.push(last);
        parts.join("/")
    }

    /// The folder of this name in another one, made if there is none.
    fn folder(&mut self, above: usize, name: &mut String) -> usize {
        loop {
            match self.entry(above, name.as_bytes()) {
                Some(Place::Folder(there)) => return there,
                Some(_) => name.push('~'),
                None => break,
            }
        }
        let made = self.folders.len();
        self.folders.push(Vec::new());
        if let Some(entries) = self.folders.get_mut(above) {
            entries.push((name.clone(), Place::Folder(made)));
        }
        made
    }

    fn entry(&self, folder: usize, name: &[u8]) -> Option<Place> {
        let mut entries = self.entries(folder).iter();
        let found = entries.find(|(known, _)| known.as_bytes() == name);
        found.map(|(_, place)| *place)
    }

    /// What is in a folder.
    pub(crate) fn entries(&self, folder: usize) -> &[(String, Place)] {
        self.folders.get(folder).map_or(&[], Vec::as_slice)
    }

    /// What has this name in a folder.
    pub(crate) fn find_folder(&self, folder: usize, name: &OsStr) -> Option<Place> {
        self.entry(folder, name.as_bytes())
    }

    /// The tree of a node.
    ///
    /// # Errors
    /// Of a number that was never told: the kernel's would be a defect.
    pub(crate) fn tree(&self, node: Node) -> Result<&dyn FileTree> {
        let tree = self.trees.get(node.0);
        tree.map(|tree| &**tree).ok_or_else(unknown)
    }

    /// What has this name in a directory.
    pub(crate) fn find(&self, directory: Node, name: &OsStr) -> Result<Option<Node>> {
        let (tree, name) = (self.tree(directory)?, name.as_bytes());
        let listing = self.list(directory)?;
        let exact = listing
            .0
            .binary_search_by(|entry| entry.name.as_slice().cmp(name));
        let found = match exact.ok().and_then(|at| listing.0.get(at)) {
            Some(entry) => Some(entry.node),
            None if tree.ignores_case() => tree.find(directory.1, name)?,
            None => None,
        };
        Ok(found.map(|node| (directory.0, node)))
    }

    /// The entries of a directory. What is listed before an error is lost: half a directory would look like a whole one.
    pub(crate) fn list(&self, directory: Node) -> Result<Arc<Listing>> {
        if let Some(kept) = self.kept(directory) {
            return Ok(kept);
        }
        let (mut entries, mut too_many) = (Vec::new(), false);
        self.tree(directory)?.list(directory.1, &mut |entry| {
            too_many = entries.len() >= MOST;
            if too_many {
                return ControlFlow::Break(());
            }
            entries.push(entry);
            ControlFlow::Continue(())
        })?;
        if too_many {
            return Err(std::io::Error::other("a directory has too many entries").into());
        }
        entries.sort_by(|a: &Entry, b: &Entry| a.name.cmp(&b.name));
        let listing = Arc::new(Listing(entries));
        let mut listed = self.listed();
        listed.truncate(KEPT.saturating_sub(1));
        listed.push_front((directory, Arc::clone(&listing)));
        Ok(listing)
    }

    /// A listing that is kept, which is now the last to go.
    fn kept(&self, directory: Node) -> Option<Arc<Listing>> {
        let mut listed = self.listed();
        let at = listed.iter().position(|(known, _)| *known == directory)?;
        let entry = listed.remove(at)?;
        let listing = Arc::clone(&entry.1);
        listed.push_front(entry);
        Some(listing)
    }

    fn listed(&self) -> MutexGuard<'_, VecDeque<(Node, Arc<Listing>)>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a node that the kernel is not told to keep: as a rule the one by which it is told.
    pub(crate) fn number(&self, node: Node) -> u64 {
        self.numbers.hash_one(node) >> 2
    }

    /// The number by which the kernel is told of a node. A node has the same one whenever it is told, unless two have one in
    /// common: so hard links show.
    pub(crate) fn tell(&self, node: Node) -> u64 {
        let mut number = self.number(node);
        let mut known = self.known();
        loop {
            let there = known.entry(number).or_insert(Known { node, told: 0 });
            if there.node == node {
                there.told = there.told.saturating_add(1);
                return number;
            }
            number = number.wrapping_add(1) & (u64::MAX >> 2);
        }
    }

    /// The node that the kernel knows by a number.
    pub(crate) fn told(&self, number: u64) -> Option<Node> {
        self.known().get(&number).map(|known| known.node)
    }

    /// The kernel has forgotten a number so many times.
    pub(crate) fn forget(&self, number: u64, times: u64) {
        let mut known = self.known();
        if let Some(there) = known.get_mut(&number) {
            there.told = there.told.saturating_sub(times);
            if there.told == 0 {
                known.remove(&number);
            }
        }
    }
}

/// Where data, or a hole, begins at or behind `offset` in a file, as `disk::seek` finds it.
pub(crate) fn seek_in_file(
    tree: &dyn FileTree,
    node: NodeId,
    offset: u64,
    data: bool,
) -> Result<Option<u64>> {
    let size = tree.stat(node)?.size;
    let mut at = offset;
    while at < size {
        let range = tree.data_at(node, at)?;
        match range.filter(|range| range.start < size) {
            None if data => return Ok(None),
            None => return Ok(Some(at)),
            Some(range) if data => return Ok(Some(range.start.max(at))),
            Some(range) if range.start > at => return Ok(Some(at)),
            // Data may follow on data.
            Some(range) => at = range.end.max(at.saturating_add(1)),
        }
    }
    Ok((!data && offset < size).then_some(size))
}

fn unknown() -> Error {
    std::io::Error::from(std::io::ErrorKind::NotFound).into()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use std::ops::Range;

    use fleece_archive_files::Stat;

    use super::*;

    /// Every node is a directory with two entries.
    #[derive(Debug)]
    struct Tree(u64);

    impl FileTree for Tree {
        fn root(&self) -> NodeId {
            NodeId {
                tree: self.0,
                number: 2,
            }
        }

        fn notes(&self) -> Vec<String> {
            Vec::new()
        }

        fn stat(&self, _node: NodeId) -> Result<Stat> {
            Err(unknown())
        }

        fn list(
            &self,
            _directory: NodeId,
            each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
        ) -> Result<()> {
            for (name, number) in [("b", 3), ("A", 4)] {
                let node = NodeId {
                    tree: self.0,
                    number,
                };
                let name = name.as_bytes().to_vec();
                let _ = each(Entry { name, node });
            }
            Ok(())
        }

        fn ignores_case(&self) -> bool {
            self.0 == 1
        }

        fn read_at(&self, _node: NodeId, _offset: u64, _buffer: &mut [u8]) -> Result<usize> {
            Err(unknown())
        }

        fn data_at(&self, _node: NodeId, _offset: u64) -> Result<Option<Range<u64>>> {
            Err(unknown())
        }

        fn link(&self, _node: NodeId) -> Result<Vec<u8>> {
            Err(unknown())
        }
    }

    fn trees(names: &[&str]) -> (Trees, Vec<String>) {
        let named = names.iter().zip(0..);
        let named = named.map(|(name, at)| {
            let tree: Box<dyn FileTree> = Box::new(Tree(at));
            ((*name).to_owned(), tree)
        });
        Trees::new(named.collect())
    }

    #[test]
    fn volumes_are_at_the_paths_that_their_names_are_and_never_at_that_of_another() {
        let names = [
            "scsi0:1",
            "scsi0:vg/root",
            "scsi0:vg/home",
            "scsi0:vg",
            "scsi0:1/x",
            "a:md/..",
            "a:md//etc",
            "scsi0:1",
        ];
        let (made, paths) = trees(&names);
        let expected = [
            "scsi0:1",
            "scsi0:vg/root",
            "scsi0:vg/home",
            "scsi0:vg~",
            "scsi0:1~/x",
            "a:md/_",
            "a:md/_~/etc",
            "scsi0:1~~",
        ];
        assert_eq!(paths, expected);
        for (at, path) in paths.iter().enumerate() {
            let mut found = Some(Place::Folder(0));
            for part in path.split('/') {
                found = match found {
                    Some(Place::Folder(folder)) => made.find_folder(folder, part.as_ref()),
                    _ => None,
                };
            }
            let root = made.trees[at].root();
            assert_eq!(found, Some(Place::Node((at, root))), "{path}");
        }
    }

    #[test]
    fn names_are_found_by_case_only_where_it_counts() {
        let (made, _) = trees(&["a", "b"]);
        let number = |tree, name: &str| {
            let found = made.find((tree, made.trees[tree].root()), name.as_ref());
            found.unwrap().map(|(_, node)| node.number)
        };
        assert_eq!((number(0, "b"), number(0, "a")), (Some(3), None));
        assert_eq!(
            (number(1, "A"), number(1, "a"), number(1, "c")),
            (Some(4), Some(4), None)
        );
    }

    #[test]
    fn a_node_keeps_its_number_until_it_is_forgotten_as_often_as_it_was_told() {
        let (made, _) = trees(&["a"]);
        let node = |number| (0, NodeId { tree: 0, number });
        let number = made.tell(node(7));
        assert_eq!(made.tell(node(7)), number);
        assert_ne!(made.tell(node(8)), number);
        made.forget(number, 1);
        assert_eq!(made.told(number), Some(node(7)));
        // Another one has the same number.
        let taken = made.number(node(9));
        made.known().insert(
            taken,
            Known {
                node: node(10),
                told: 1,
            },
        );
        assert_eq!(made.tell(node(9)), taken + 1);
        assert_eq!(made.told(taken + 1), Some(node(9)));
        made.forget(number, 1);
        assert_eq!(made.told(number), None);
        assert_eq!(made.tell(node(7)), number);
        assert_eq!(made.known().len(), 4);
    }

    #[test]
    fn directories_that_were_used_last_are_kept() {
        let (made, _) = trees(&["a"]);
        let of = |number| (0, NodeId { tree: 0, number });
        let first = made.list(of(0)).unwrap();
        for number in 1..100 {
            made.list(of(number)).unwrap();
            assert!(Arc::ptr_eq(&first, &made.list(of(0)).unwrap()));
        }
        assert_eq!(made.listed().len(), KEPT);
        assert!(first.0.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(first.0.first().map(|entry| &*entry.name), Some(&b"A"[..]));
    }
}
