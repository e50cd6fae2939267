//! The file system: a directory with a file for each disk.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};

use crate::disk::{Disk, seek};

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

/// Disks under their names, and who they belong to.
pub(crate) struct Files {
    pub(crate) disks: Vec<(String, Box<dyn Disk>)>,
    pub(crate) owner: (u32, u32),
    pub(crate) time: SystemTime,
    /// Whether others may read them, too.
    pub(crate) others: bool,
}

/// The inodes of files follow that of the directory.
const FIRST: u64 = INodeNo::ROOT.0 + 1;

impl Files {
    fn disk(&self, inode: INodeNo) -> Result<&dyn Disk, Errno> {
        let place = inode.0.checked_sub(FIRST);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let found = place.and_then(|place| self.disks.get(place));
        found.map(|(_, disk)| &**disk).ok_or(Errno::ENOENT)
    }

    fn attributes(&self, inode: INodeNo) -> Result<FileAttr, Errno> {
        let (kind, mode, size, stored) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o500, 0, 0),
            _ => {
                let disk = self.disk(inode)?;
                let mode = if disk.is_writable() { 0o600 } else { 0o400 };
                (FileType::RegularFile, mode, disk.size(), disk.stored())
            }
        };
        let readable: u16 = match (self.others, kind) {
            (false, _) => 0,
            (true, FileType::Directory) => 0o055,
            (true, _) => 0o044,
        };
        Ok(FileAttr {
            ino: inode,
            size,
            blocks: stored.div_ceil(512),
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
        })
    }

    fn inode(place: usize) -> INodeNo {
        INodeNo(FIRST.saturating_add(place as u64))
    }
}

/// What readers are told of what failed below.
fn errno(error: &io::Error) -> Errno {
    match error.kind() {
        io::ErrorKind::StorageFull => Errno::ENOSPC,
        io::ErrorKind::ReadOnlyFilesystem => Errno::EROFS,
        _ => Errno::EIO,
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
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let place = match parent {
            INodeNo::ROOT => self
                .disks
                .iter()
                .position(|(known, _)| name == known.as_str()),
            _ => None,
        };
        let found = place.ok_or(Errno::ENOENT).map(Self::inode);
        match found.and_then(|inode| self.attributes(inode)) {
            Ok(attributes) => reply.entry(&FOR_LONG, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.attributes(inode) {
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
        let attributes = match self.attributes(inode) {
            Ok(attributes) => attributes,
            Err(error) => return reply.error(error),
        };
        let other_size = size.is_some_and(|size| size != attributes.size);
        match mode.is_some() || uid.is_some() || gid.is_some() || other_size {
            true => reply.error(Errno::EPERM),
            false => reply.attr(&FOR_LONG, &attributes),
        }
    }

    fn open(&self, _request: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let writes = flags.acc_mode() != OpenAccMode::O_RDONLY;
        match self.disk(inode) {
            Ok(disk) if writes && !disk.is_writable() => reply.error(Errno::EROFS),
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
        let disk = match self.disk(inode) {
            Ok(disk) => disk,
            Err(error) => return reply.error(error),
        };
        let left = disk.size().saturating_sub(offset).min(size.into());
        let length = usize::try_from(left).unwrap_or(0);
        if length == 0 {
            return reply.data(&[]);
        }
        if let Some(zeroes) = ZEROES.get(..length)
            && let Ok(run) = disk.run_at(offset, left)
            && !run.data
            && run.length >= left
        {
            return reply.data(zeroes);
        }
        BUFFER.with_borrow_mut(|buffer| {
            if buffer.len() < length {
                buffer.resize(length, 0);
            }
            let Some(part) = buffer.get_mut(..length) else {
                return reply.error(Errno::EIO);
            };
            match disk.read_at(offset, part) {
                Ok(()) => reply.data(part),
                Err(error) => reply.error(errno(&error)),
            }
        });
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
        let disk = match self.disk(inode) {
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
        let disk = match self.disk(inode) {
            Ok(disk) => disk,
            Err(error) => return reply.error(error),
        };
        let data = match whence {
            SEEK_DATA => true,
            SEEK_HOLE => false,
            _ => return reply.error(Errno::EINVAL),
        };
        let Some(offset) = u64::try_from(offset).ok().filter(|at| *at < disk.size()) else {
            return reply.error(Errno::ENXIO);
        };
        match seek(disk, offset, data) {
            Ok(Some(place)) => reply.offset(i64::try_from(place).unwrap_or(i64::MAX)),
            Ok(None) => reply.error(Errno::ENXIO),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if inode != INodeNo::ROOT {
            return reply.error(Errno::ENOTDIR);
        }
        let dots = [".", ".."].map(|name| (INodeNo::ROOT, FileType::Directory, name));
        let disks = self.disks.iter().enumerate();
        let disks = disks.map(|(at, (name, _))| (Self::inode(at), FileType::RegularFile, &**name));
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        let entries = dots.into_iter().chain(disks).zip(1..).skip(skipped);
        for ((inode, kind, name), next) in entries {
            if reply.add(inode, next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _inode: INodeNo, reply: ReplyStatfs) {
        let sizes = self.disks.iter().map(|(_, disk)| disk.size());
        let blocks = sizes.fold(0, u64::saturating_add).div_ceil(4096);
        let files = self.disks.len() as u64;
        reply.statfs(blocks, 0, 0, files, 0, 4096, 255, 4096);
    }

    fn flush(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
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
        _inode: INodeNo,
        _name: &OsStr,
        _size: u32,
        reply: ReplyXattr,
    ) {
        reply.error(Errno::EOPNOTSUPP);
    }

    fn listxattr(&self, _request: &Request, _inode: INodeNo, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::EOPNOTSUPP);
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
