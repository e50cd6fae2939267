//! What the kernel's numbers stand for, and what it is told of each.

use std::time::{Duration, SystemTime};

use fleece_archive_files::{FileTree, Kind, NodeId, Stat, Time};
use fuser::{FileAttr, FileType, INodeNo};

/// A node of one of the trees.
pub(crate) type Node = (usize, NodeId);

/// A file or a directory of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where it is mounted.
    Root,
    /// A disk, by its place in the list.
    Disk(usize),
    /// `files/`, or a directory between that and volumes.
    Folder(usize),
    /// Something of a volume.
    Node(Node),
}

/// Disks have the numbers behind that of the root, then come folders, and behind those nodes.
const FIRST_DISK: u64 = INodeNo::ROOT.0 + 1;
const FIRST_FOLDER: u64 = 1 << 32;
const FIRST_NODE: u64 = 1 << 62;

/// What a number stands for.
pub(crate) enum Number {
    Of(Place),
    /// A node that this number was made for.
    Node(u64),
}

pub(crate) fn number(inode: INodeNo) -> Number {
    let place = |from: u64| usize::try_from(inode.0.saturating_sub(from)).unwrap_or(usize::MAX);
    match inode.0 {
        FIRST_NODE.. => Number::Node(inode.0.saturating_sub(FIRST_NODE)),
        FIRST_FOLDER.. => Number::Of(Place::Folder(place(FIRST_FOLDER))),
        FIRST_DISK.. => Number::Of(Place::Disk(place(FIRST_DISK))),
        _ => Number::Of(Place::Root),
    }
}

/// The number of a place; of a node, the one that was made for it.
pub(crate) fn inode(place: Place, of_node: impl FnOnce(Node) -> u64) -> INodeNo {
    INodeNo(match place {
        Place::Root => INodeNo::ROOT.0,
        Place::Disk(at) => FIRST_DISK.saturating_add(at as u64),
        Place::Folder(at) => FIRST_FOLDER.saturating_add(at as u64),
        Place::Node(node) => FIRST_NODE.saturating_add(of_node(node)),
    })
}

/// What is told of a node of a volume.
pub(crate) fn attributes(inode: INodeNo, stat: &Stat, stored: u64) -> FileAttr {
    FileAttr {
        ino: inode,
        size: stat.size,
        blocks: stored.div_ceil(512),
        atime: system_time(stat.accessed),
        mtime: system_time(stat.modified),
        ctime: system_time(stat.changed),
        crtime: system_time(stat.created.unwrap_or(stat.changed)),
        kind: file_type(stat.kind),
        perm: u16::try_from(stat.permissions & 0o7777).unwrap_or_default(),
        nlink: stat.links,
        uid: stat.uid,
        gid: stat.gid,
        rdev: device(stat.device),
        blksize: 64 * 1024,
        flags: 0,
    }
}

/// How many ranges of data are looked at to tell how much of a file is stored; what is behind them counts as data.
const RANGES: usize = 16;

/// How much of a file is stored, as far as it can be told at once: tools look for holes only in files of which less is stored
/// than they are long.
pub(crate) fn stored(tree: &dyn FileTree, node: NodeId, stat: &Stat) -> u64 {
    if stat.kind != Kind::File {
        return 0;
    }
    let (mut stored, mut at) = (0_u64, 0);
    for _ in 0..RANGES {
        match tree.data_at(node, at) {
            Ok(Some(range)) => {
                let end = range.end.min(stat.size);
                stored = stored.saturating_add(end.saturating_sub(range.start));
                at = range.end;
            }
            Ok(None) => return stored,
            Err(_) => break,
        }
    }
    stored.saturating_add(stat.size.saturating_sub(at))
}

pub(crate) const fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Link => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
        Kind::Character => FileType::CharDevice,
        Kind::Block => FileType::BlockDevice,
    }
}

/// As the kernel's `new_encode_dev` puts the two numbers into one.
const fn device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

fn system_time(time: Time) -> SystemTime {
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = match time.seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(seconds),
        false => SystemTime::UNIX_EPOCH.checked_add(seconds),
    };
    let time =
        whole.and_then(|whole| whole.checked_add(Duration::from_nanos(time.nanoseconds.into())));
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_one_place() {
        let node = |number| Place::Node((3, NodeId { tree: 5, number }));
        for place in [
            Place::Root,
            Place::Disk(0),
            Place::Disk(127),
            Place::Folder(0),
            Place::Folder(9),
        ] {
            let Number::Of(found) = number(inode(place, |_| 0)) else {
                panic!("{place:?}");
            };
            assert_eq!(found, place);
        }
        for made in [0, 1, u64::MAX >> 2] {
            let Number::Node(found) = number(inode(node(1), |_| made)) else {
                panic!("{made}");
            };
            assert_eq!(found, made);
        }
    }

    #[test]
    fn times_before_1970_and_large_devices_are_what_they_are() {
        let time = |seconds, nanoseconds| {
            system_time(Time {
                seconds,
                nanoseconds,
            })
        };
        let half = Duration::from_millis(1500);
        assert_eq!(time(-2, 500_000_000), SystemTime::UNIX_EPOCH - half);
        assert_eq!(time(1, 500_000_000), SystemTime::UNIX_EPOCH + half);
        assert_eq!(device((8, 1)), 0x801);
        assert_eq!(device((0x103, 0x12345)), 0x1231_0345);
    }
}
