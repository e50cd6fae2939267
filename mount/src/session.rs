//! Mounting, and the threads that answer the kernel.
//!
//! The session's descriptor is made here and given to `fuser`: as root by opening `/dev/fuse` and mount(2), as a user by
//! `fusermount3`, which sends it through a socket (mount.fuse3(8); `lib/mount.c` of libfuse documents the socket in the
//! variable `_FUSE_COMMFD`).

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::SystemTime;

use crossbeam_channel::{Receiver, bounded, select};
use fleece_archive_files::FileTree;
use fleece_cancel::CancelToken;
use fuser::{Config, Session, SessionACL};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::process::{getegid, geteuid};

use crate::disk::Disk;
use crate::error::Error;
use crate::files::{FILES, Files};
use crate::fusermount::{self, SUBTYPE, TYPE};
use crate::place::{detach, prepare, take_away};
use crate::trees::Trees;

/// How something is mounted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// What the list of mounts names as what is mounted.
    pub source: String,
    /// Lets other users read it, too.
    pub others: bool,
    /// The time that files have.
    pub time: SystemTime,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            source: SUBTYPE.to_owned(),
            others: false,
            time: SystemTime::UNIX_EPOCH,
        }
    }
}

/// What is shown.
#[derive(Default)]
#[non_exhaustive]
pub struct Contents {
    /// Disks, each under its name.
    pub disks: Vec<(String, Box<dyn Disk>)>,
    /// Files of volumes, each under the name of its volume below `files/`; slashes in it separate directories.
    pub trees: Vec<(String, Box<dyn FileTree>)>,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disks: Vec<_> = self.disks.iter().map(|(name, _)| name).collect();
        let mut contents = f.debug_struct("Contents");
        contents.field("disks", &disks).field("trees", &self.trees);
        contents.finish()
    }
}

/// A file system that is mounted.
#[derive(Debug)]
pub struct Mounted {
    place: PathBuf,
    ended: Receiver<io::Result<()>>,
    /// Nobody else has unmounted it.
    is_there: bool,
    has_replaced: bool,
    trees: Vec<PathBuf>,
}

impl Mounted {
    /// Mounts `contents` in an empty directory.
    ///
    /// # Errors
    /// With what is in the way.
    pub fn new(directory: &Path, contents: Contents, options: &Options) -> Result<Self, Error> {
        let (place, has_replaced) = prepare(directory)?;
        let Contents { disks, trees } = contents;
        let read_only = !disks.iter().any(|(_, disk)| disk.is_writable());
        let device = open(&place, options, read_only)?;
        let (trees, paths) = Trees::new(trees);
        let below = place.join(FILES);
        let paths = paths.iter().map(|path| below.join(path)).collect();
        let files = Files {
            disks,
            trees,
            open: Mutex::default(),
            // Others have no directory of a volume open.
            handles: AtomicU64::new(1),
            owner: (geteuid().as_raw(), getegid().as_raw()),
            time: options.time,
            others: options.others,
        };
        let mut config = Config::default();
        let threads = thread::available_parallelism().map_or(2, usize::from);
        config.n_threads = Some(threads.clamp(2, 8));
        let acl = match options.others {
            true => SessionACL::All,
            false => SessionACL::Owner,
        };
        let session = Session::from_fd(files, device, acl, config).and_then(Session::spawn);
        let session = session.map_err(|error| {
            let _ = detach(&place);
            Error::caused("cannot answer the kernel's requests", error)
        })?;
        let (end, ended) = bounded(1);
        thread::Builder::new()
            .name("mounted".into())
            .spawn(move || end.send(session.join()))
            .map_err(|error| {
                let _ = detach(&place);
                Error::caused("cannot start a thread", error)
            })?;
        Ok(Self {
            place,
            ended,
            is_there: true,
            has_replaced,
            trees: paths,
        })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Where the trees are, in their order.
    #[must_use]
    pub fn trees(&self) -> &[PathBuf] {
        &self.trees
    }

    /// Whether a dead file system was in its place, which is removed.
    #[must_use]
    pub const fn has_replaced(&self) -> bool {
        self.has_replaced
    }

    /// Waits until somebody unmounts it, or `cancel` is cancelled, when it is unmounted: in any case, whoever still has
    /// files of it open.
    ///
    /// # Errors
    /// If it cannot be unmounted, or the kernel says something that nobody understands.
    pub fn wait(mut self, cancel: &CancelToken) -> Result<(), Error> {
        let ended = select! {
            recv(self.ended) -> ended => ended,
            recv(cancel.fired()) -> _ => {
                self.is_there = false;
                let place = self.place.display();
                match take_away(&self.place) {
                    Ok(()) => self.ended.recv(),
                    // In use: gone from its place, and with this process for those who use it.
                    Err(_) => return detach(&self.place).map_err(|error| {
                        Error::caused(format!("cannot unmount {place}"), error)
                    }),
                }
            }
        };
        self.is_there = false;
        let failed = |error| Error::caused("the file system has ended", error);
        ended.unwrap_or(Ok(())).map_err(failed)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_there {
            let _ = detach(&self.place);
        }
    }
}

/// Mounts, and gives the descriptor through which the kernel asks.
fn open(place: &Path, options: &Options, read_only: bool) -> Result<OwnedFd, Error> {
    if geteuid().is_root() {
        match open_as_root(place, options, read_only) {
            // Root without the capability, as in a container.
            Err(Errno::PERM) => {}
            done => {
                return done.map_err(|error| {
                    Error::caused(format!("cannot mount at {}", place.display()), error)
                });
            }
        }
    }
    let access = if read_only { "ro" } else { "rw" };
    // Who mounts reads all, as on the disks themselves; others only what they could read in the guest.
    let others = match options.others {
        true => ",allow_other,default_permissions",
        false => "",
    };
    fusermount::mount(place, &options.source, &format!("{access}{others}"))
}

fn open_as_root(place: &Path, options: &Options, read_only: bool) -> Result<OwnedFd, Errno> {
    let device = File::options().read(true).write(true).open("/dev/fuse");
    let device = device.map_err(|error| {
        let raw = error.raw_os_error().unwrap_or_default();
        Errno::from_raw_os_error(raw)
    })?;
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let others = if options.others { ",allow_other" } else { "" };
    let data = format!(
        "fd={},rootmode=40000,user_id={user},group_id={group},default_permissions{others}",
        device.as_raw_fd()
    );
    let data = std::ffi::CString::new(data).map_err(|_| Errno::INVAL)?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    if read_only {
        flags |= MountFlags::RDONLY;
    }
    mount(options.source.as_str(), place, TYPE, flags, data.as_c_str())?;
    Ok(device.into())
}
