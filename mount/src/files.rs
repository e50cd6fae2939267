//! The file system: a file for each disk, and `files/` with what is in the file systems on them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fleece_archive_files::ErrorKind;
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use crate::disk::{Disk, seek};
use crate::inode::{self, Node, Number, Place, file_type, number, stored};
use crate::trees::{Listing, Trees, seek_in_file};

/// How long the kernel need not ask again: nothing changes but by its own writes.
const FOR_LONG: Duration = Duration::from_secs(3600);

/// The most that the kernel asks for at once, and what it reads ahead.
const MAX_READ: u32 = 1 << 20;

/// What holes are answered with.
static ZEROES: [u8; MAX_READ as usize] = [0; MAX_READ as usize];

thread_local! {
    /// Each thread's buffer, neither allocated nor cleared anew for each request.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is shown, and whose it is.
pub(crate) struct Files {
    pub(crate) disks: Vec<(String, Box<dyn Disk>)>,
    pub(crate) trees: Trees,
    /// Directories that somebody has open, by their handles.
    pub(crate) open: Mutex<HashMap<u64, Arc<Listing>>>,
    pub(crate) handles: AtomicU64,
    pub(crate) owner: (u32, u32),
    pub(crate) time: SystemTime,
    /// Whether others may read them, too.
    pub(crate) others: bool,
}

/// The directory of the volumes' files.
pub(crate) const FILES: &str = "files";

/// What readers are told of what failed below.
fn errno(error: &io::Error) -> Errno {
    match error.kind() {
        io::ErrorKind::StorageFull => Errno::ENOSPC,
        io::ErrorKind::ReadOnlyFilesystem => Errno::EROFS,
        _ => Errno::EIO,
    }
}

/// The same of volumes.
fn unreadable(error: fleece_archive_files::Error) -> Errno {
    match error.kind() {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::WrongKind => Errno::EINVAL,
        ErrorKind::Unsupported => Errno::EOPNOTSUPP,
        _ => Errno::EIO,
    }
}

impl Files {
    fn place(&self, inode: INodeNo) -> Result<Place, Errno> {
        match number(inode) {
            Number::Of(place) => Ok(place),
            Number::Node(made) => self.trees.told(made).map(Place::Node).ok_or(Errno::ESTALE),
        }
    }

    fn disk(&self, at: usize) -> Result<&dyn Disk, Errno> {
        let found = self.disks.get(at);
        found.map(|(_, disk)| &**disk).ok_or(Errno::ENOENT)
    }

    /// The disk of an inode; nothing else can be written to.
    fn disk_of(&self, inode: INodeNo) -> Result<&dyn Disk, Errno> {
        match self.place(inode)? {
            Place::Disk(at) => self.disk(at),
            _ => Err(Errno::EROFS),
        }
    }

    /// What has this name in a directory.
    fn find(&self, parent: INodeNo, name: &OsStr) -> Result<Option<Place>, Errno> {
        Ok(match self.place(parent)? {
            Place::Root if name == FILES && !self.trees.is_empty() => Some(Place::Folder(0)),
            Place::Root => {
                let mut disks = self.disks.iter();
                disks
                    .position(|(known, _)| name == known.as_str())
                    .map(Place::Disk)
            }
            Place::Disk(_) => return Err(Errno::ENOTDIR),
            Place::Folder(folder) => self.trees.find_folder(folder, name),
            Place::Node(directory) => {
                let found = self.trees.find(directory, name).map_err(unreadable)?;
                found.map(Place::Node)
            }
        })
    }

    /// What a place is, under the number that it has.
    fn attributes(&self, inode: INodeNo, place: Place) -> Result<FileAttr, Errno> {
        match place {
            Place::Node((tree, node)) => {
                let tree = self.trees.tree((tree, node)).map_err(unreadable)?;
                let stat = tree.stat(node).map_err(unreadable)?;
                Ok(inode::attributes(inode, &stat, stored(tree, node, &stat)))
            }
            Place::Root | Place::Folder(_) => Ok(self.own(inode, FileType::Directory, 0o500)),
            Place::Disk(at) => {
                let disk = self.disk(at)?;
                let mode = if disk.is_writable() { 0o600 } else { 0o400 };
                Ok(FileAttr {
                    size: disk.size(),
                    blocks: disk.stored().div_ceil(512),
                    ..self.own(inode, FileType::RegularFile, mode)
                })
            }
        }
    }

    /// The attributes of something empty that is in no volume.
    fn own(&self, inode: INodeNo, kind: FileType, mode: u16) -> FileAttr {
        let readable: u16 = match (self.others, kind) {
            (false, _) => 0,
            (true, FileType::Directory) => 0o055,
            (true, _) => 0o044,
        };
        FileAttr {
            ino: inode,
            size: 0,
            blocks: 0,
            atime: self.time,
            mtime: self.time,
            ctime: self.time,
            crtime: self.time,
            kind,
            perm: mode | readable,
            nlink: if kind == FileType::Directory { 2 } else { 1 },
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            // Archives are made of clusters of 64 KiB.
            blksize: 64 * 1024,
            flags: 0,
        }
    }

    /// The number of a place that the kernel is told of until it forgets it, and what it is.
    fn tell(&self, place: Place) -> (INodeNo, Result<FileAttr, Errno>) {
        let inode = inode::inode(place, |node| self.trees.tell(node));
        (inode, self.attributes(inode, place))
    }

    /// The kernel has forgotten a number so many times, or was not told it after all.
    fn forgotten(&self, inode: INodeNo, times: u64) {
        if let Number::Node(made) = number(inode) {
            self.trees.forget(made, times);
        }
    }

    /// The entries of a directory that is none of a volume's.
    fn entries(&self, place: Place) -> Result<Vec<(&str, Place)>, Errno> {
        match place {
            Place::Root => {
                let disks = self.disks.iter().enumerate();
                let disks = disks.map(|(at, (name, _))| (name.as_str(), Place::Disk(at)));
                let files = (!self.trees.is_empty()).then_some((FILES, Place::Folder(0)));
                Ok(disks.chain(files).collect())
            }
            Place::Folder(folder) => {
                let entries = self.trees.entries(folder).iter();
                Ok(entries
                    .map(|(name, place)| (name.as_str(), *place))
                    .collect())
            }
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// What an entry is listed as. Of one that cannot be read, whoever asks for more is told.
    fn listed(&self, place: Place) -> (INodeNo, FileType) {
        let kind = match place {
            Place::Root | Place::Folder(_) => FileType::Directory,
            Place::Disk(_) => FileType::RegularFile,
            Place::Node(node) => {
                let tree = self.trees.tree(node);
                let stat = tree.and_then(|tree| tree.stat(node.1));
                stat.map_or(FileType::RegularFile, |stat| file_type(stat.kind))
            }
        };
        (inode::inode(place, |node| self.trees.number(node)), kind)
    }

    /// Gives the entries of an open directory behind the first `skipped`, each with its own place in the order, until one is
    /// said to have no room. The two that have dots for names have no place in the tree.
    fn list(
        &self,
        inode: INodeNo,
        handle: FileHandle,
        skipped: u64,
        is_full: &mut dyn FnMut(&OsStr, u64, Option<Place>) -> bool,
    ) -> Result<(), Errno> {
        let place = self.place(inode)?;
        let listing = self.handles().get(&handle.0).map(Arc::clone);
        let (own, of_node) = match (place, &listing) {
            (Place::Node(_), None) => return Err(Errno::EBADF),
            (Place::Node((tree, _)), Some(listing)) => (Vec::new(), Some((tree, &listing.0))),
            (place, _) => (self.entries(place)?, None),
        };
        let dots = [".", ".."].map(|name| (OsStr::new(name), None));
        let own = own
            .iter()
            .map(|(name, place)| (OsStr::new(*name), Some(*place)));
        let of_node = of_node.into_iter().flat_map(|(tree, entries)| {
            let entries = entries.iter();
            entries.map(move |entry| {
                let name = OsStr::from_bytes(&entry.name);
                (name, Some(Place::Node((tree, entry.node))))
            })
        });
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let entries = dots.into_iter().chain(own).chain(of_node);
        for ((name, place), next) in entries.zip(1..).skip(skipped) {
            if is_full(name, next, place) {
                break;
            }
        }
        Ok(())
    }

    fn handles(&self) -> MutexGuard<'_, HashMap<u64, Arc<Listing>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a disk up to its end.
    fn read_disk(disk: &dyn Disk, offset: u64, size: u32, reply: ReplyData) {
        let left = disk.size().saturating_sub(offset).min(size.into());
        let length = usize::try_from(left).unwrap_or(0);
        if let Some(zeroes) = ZEROES.get(..length)
            && (length == 0
                || disk
                    .run_at(offset, left)
                    .is_ok_and(|run| !run.data && run.length >= left))
        {
            return reply.data(zeroes);
        }
        filled(length, reply, |part| {
            disk.read_at(offset, part).map_err(|error| errno(&error))?;
            Ok(part.len())
        });
    }

    fn read_node(&self, node: Node, offset: u64, size: u32, reply: ReplyData) {
        let length = usize::try_from(size.min(MAX_READ)).unwrap_or(0);
        filled(length, reply, |part| {
            let tree = self.trees.tree(node).map_err(unreadable)?;
            tree.read_at(node.1, offset, part).map_err(unreadable)
        });
    }

    /// The extended attributes of a node.
    fn extended(&self, inode: INodeNo) -> Result<Attributes, Errno> {
        match self.place(inode)? {
            Place::Node(node) => {
                let tree = self.trees.tree(node).map_err(unreadable)?;
                tree.attributes(node.1).map_err(unreadable)
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// Names and values.
type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// Answers with what `fill` puts into this thread's buffer.
fn filled(length: usize, reply: ReplyData, fill: impl FnOnce(&mut [u8]) -> Result<usize, Errno>) {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        let part = buffer.get_mut(..length).unwrap_or_default();
        match fill(part) {
            Ok(read) => reply.data(part.get(..read).unwrap_or_default()),
            Err(error) => reply.error(error),
        }
    });
}

/// Answers with an extended attribute, or with how long it is if there is no room at all.
fn answer(data: &[u8], room: u32, reply: ReplyXattr) {
    match u32::try_from(data.len()) {
        Ok(length) if room == 0 => reply.size(length),
        Ok(length) if length <= room => reply.data(data),
        _ => reply.error(Errno::ERANGE),
    }
}

impl Filesystem for Files {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Where the kernel allows less, that is what it uses.
        if let Err(most) = config.set_max_readahead(MAX_READ) {
            let _ = config.set_max_readahead(most);
        }
        if let Err(most) = config.set_max_write(MAX_READ) {
            let _ = config.set_max_write(most);
        }
        // Who lists a directory and then looks at each entry is told all at once, and several are answered at a time.
        let _ = config.add_capabilities(
            config.capabilities()
                & (InitFlags::FUSE_DO_READDIRPLUS
                    | InitFlags::FUSE_READDIRPLUS_AUTO
                    | InitFlags::FUSE_PARALLEL_DIROPS),
        );
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.find(parent, name);
        let found = found.and_then(|place| place.ok_or(Errno::ENOENT));
        let answer = found.and_then(|place| {
            let (inode, attributes) = self.tell(place);
            // What is answered with an error was not told.
            if attributes.is_err() {
                self.forgotten(inode, 1);
            }
            attributes
        });
        match answer {
            Ok(attributes) => reply.entry(&FOR_LONG, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn forget(&self, _request: &Request, inode: INodeNo, times: u64) {
        self.forgotten(inode, times);
    }

    fn getattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        let place = self.place(inode);
        match place.and_then(|place| self.attributes(inode, place)) {
            Ok(attributes) => reply.attr(&FOR_LONG, &attributes),
            Err(error) => reply.error(error),
        }
    }

    /// Disks keep their sizes; times are taken and forgotten, as programs set them that do not care.
    fn setattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let place = match self.place(inode) {
            Ok(place @ Place::Disk(_)) => place,
            Ok(_) => return reply.error(Errno::EROFS),
            Err(error) => return reply.error(error),
        };
        let attributes = match self.attributes(inode, place) {
            Ok(attributes) => attributes,
            Err(error) => return reply.error(error),
        };
        let other_size = size.is_some_and(|size| size != attributes.size);
        match mode.is_some() || uid.is_some() || gid.is_some() || other_size {
            true => reply.error(Errno::EPERM),
            false => reply.attr(&FOR_LONG, &attributes),
        }
    }

    fn readlink(&self, _request: &Request, inode: INodeNo, reply: ReplyData) {
        let link = self.place(inode).and_then(|place| match place {
            Place::Node(node) => {
                let tree = self.trees.tree(node).map_err(unreadable)?;
                tree.link(node.1).map_err(unreadable)
            }
            _ => Err(Errno::EINVAL),
        });
        match link {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _request: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        // Of what nobody can write to the kernel asks this once: it opens and closes files by itself, and keeps what it
        // has read.
        if !self.disks.iter().any(|(_, disk)| disk.is_writable()) {
            return reply.error(Errno::ENOSYS);
        }
        let writes = flags.acc_mode() != OpenAccMode::O_RDONLY;
        let writable = match self.place(inode) {
            Ok(Place::Disk(at)) => self.disk(at).map(Disk::is_writable),
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        };
        match writable {
            Ok(false) if writes => reply.error(Errno::EROFS),
            // What the kernel has read stays true.
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.place(inode) {
            Ok(Place::Disk(at)) => match self.disk(at) {
                Ok(disk) => Self::read_disk(disk, offset, size, reply),
                Err(error) => reply.error(error),
            },
            Ok(Place::Node(node)) => self.read_node(node, offset, size, reply),
            Ok(_) => reply.error(Errno::EISDIR),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let disk = match self.disk_of(inode) {
            Ok(disk) => disk,
            Err(error) => return reply.error(error),
        };
        let left = disk.size().saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
        // As on a block device, behind whose end there is no room.
        let Some(part) = data.get(..length).filter(|part| !part.is_empty()) else {
            return reply.error(Errno::ENOSPC);
        };
        match disk.write_at(offset, part) {
            Ok(()) => reply.written(u32::try_from(length).unwrap_or(u32::MAX)),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn lseek(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        /// Of lseek(2), on Linux.
        const SEEK_DATA: i32 = 3;
        const SEEK_HOLE: i32 = 4;
        let data = match whence {
            SEEK_DATA => true,
            SEEK_HOLE => false,
            _ => return reply.error(Errno::EINVAL),
        };
        let found = u64::try_from(offset)
            .map_err(|_| Errno::ENXIO)
            .and_then(|offset| match self.place(inode)? {
                Place::Disk(at) => {
                    seek(self.disk(at)?, offset, data).map_err(|error| errno(&error))
                }
                Place::Node(node) => {
                    let tree = self.trees.tree(node).map_err(unreadable)?;
                    seek_in_file(tree, node.1, offset, data).map_err(unreadable)
                }
                _ => Err(Errno::EINVAL),
            });
        match found {
            Ok(Some(place)) => reply.offset(i64::try_from(place).unwrap_or(i64::MAX)),
            Ok(None) => reply.error(Errno::ENXIO),
            Err(error) => reply.error(error),
        }
    }

    fn opendir(&self, _request: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let listing = match self.place(inode) {
            Ok(Place::Node(node)) => self.trees.list(node).map_err(unreadable),
            Ok(_) => return reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => Err(error),
        };
        match listing {
            Ok(listing) => {
                let handle = self.handles.fetch_add(1, Ordering::Relaxed);
                self.handles().insert(handle, listing);
                reply.opened(FileHandle(handle), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn releasedir(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.handles().remove(&handle.0);
        reply.ok();
    }

    fn readdir(
        &self,
        _request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.list(inode, handle, offset, &mut |name, next, place| {
            let (inode, kind) = match place {
                Some(place) => self.listed(place),
                None => (inode, FileType::Directory),
            };
            reply.add(inode, next, kind, name)
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn readdirplus(
        &self,
        _request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.list(inode, handle, offset, &mut |name, next, place| {
            let Some(place) = place else {
                // The kernel takes only the number of these.
                let attributes = self.own(inode, FileType::Directory, 0o500);
                return reply.add(inode, next, name, &FOR_LONG, &attributes, Generation(0));
            };
            let (inode, attributes) = self.tell(place);
            // Of one that cannot be read this is true for no time: whoever asks for more is told.
            let (time, attributes) = match attributes {
                Ok(attributes) => (FOR_LONG, attributes),
                Err(_) => (Duration::ZERO, self.own(inode, FileType::RegularFile, 0)),
            };
            let is_full = reply.add(inode, next, name, &time, &attributes, Generation(0));
            if is_full {
                self.forgotten(inode, 1);
            }
            is_full
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn statfs(&self, _request: &Request, _inode: INodeNo, reply: ReplyStatfs) {
        let sizes = self.disks.iter().map(|(_, disk)| disk.size());
        let blocks = sizes.fold(0, u64::saturating_add).div_ceil(4096);
        let files = self.disks.len() as u64;
        reply.statfs(blocks, 0, 0, files, 0, 4096, 255, 4096);
    }

    /// Nothing waits to be written: the kernel asks once.
    fn flush(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// What is written lasts as long as the mount, which a power failure ends.
    fn fsync(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn getxattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        match self.extended(inode) {
            Ok(all) => {
                let found = all.iter().find(|(known, _)| known == name.as_bytes());
                match found {
                    Some((_, value)) => answer(value, size, reply),
                    None => reply.error(Errno::ENODATA),
                }
            }
            Err(error) => reply.error(error),
        }
    }

    fn listxattr(&self, _request: &Request, inode: INodeNo, size: u32, reply: ReplyXattr) {
        match self.extended(inode) {
            Ok(all) => {
                let names = all.iter().flat_map(|(name, _)| [name.as_slice(), b"\0"]);
                answer(&names.collect::<Vec<_>>().concat(), size, reply);
            }
            Err(error) => reply.error(error),
        }
    }

    fn fallocate(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _offset: u64,
        _length: u64,
        _mode: i32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EOPNOTSUPP);
    }
}
