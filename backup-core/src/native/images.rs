//! Images that this process serves to guests.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleece_staged_file::check_owned;
use fleece_storage::block::{BlockDevice, ImageLock};

use super::account_file;
use super::image::Image;
use super::server::Server;
use crate::report::error::{Error, ErrorKind};

/// A [`Server`] of images, which nobody else can use meanwhile.
#[derive(Debug)]
pub struct ImageServer {
    server: Server,
    directory: PathBuf,
    disks: Vec<(String, Arc<dyn BlockDevice>)>,
    locks: Vec<ImageLock>,
}

impl ImageServer {
    /// Serves `images` in a directory that is made if need be, and belongs to this user alone. The accounts of changes that
    /// an earlier server has kept there are taken, and go on if the images are as it has left them.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Request`] if the directory cannot be used, and those of [`Image::open_for_writing`] and
    /// [`Server::start`].
    pub fn start(images: &[Image], directory: &Path) -> Result<Self, Error> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(directory);
        made.and_then(|()| check_owned(directory))
            .map_err(|error| {
                let message = format!("cannot make sockets in {}", directory.display());
                Error::caused(ErrorKind::Request, message, error)
            })?;
        let (mut disks, mut locks, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
        for image in images {
            let (device, lock) = image.open_for_writing()?;
            // Before anybody can write: a server that is killed leaves none.
            let name = image.name();
            let known = lock
                .file()
                .metadata()
                .and_then(|image| account_file::take(directory, &name, (&image, device.size())));
            locks.push(lock);
            let known = known.map_err(|error| {
                let message = format!("{name}: cannot remove the old account of its changes");
                Error::caused(ErrorKind::Request, message, error)
            })?;
            accounts.extend(known.map(|known| (name.clone(), known)));
            disks.push((name, device));
        }
        let server = Server::start(disks.clone(), directory)?;
        for (disk, known) in &accounts {
            server.resume(disk, known);
        }
        Ok(Self {
            server,
            directory: directory.to_owned(),
            disks,
            locks,
        })
    }

    /// What serves them.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// Ends serving. What is in our memory of a qcow2 image goes into it while nobody else can use it, and the account of
    /// what has changed since an archive into the directory.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Storage`] if an image may be incomplete.
    pub fn stop(self) -> Result<(), Error> {
        let Self {
            server,
            directory,
            disks,
            locks,
        } = self;
        let accounts = server.stop();
        let mut sizes = Vec::new();
        for (name, disk) in disks {
            disk.flush().map_err(|error| {
                let message = format!("{name} may be incomplete");
                Error::caused(ErrorKind::Storage, message, error)
            })?;
            sizes.push((name, disk.size()));
        }
        for ((name, size), lock) in sizes.iter().zip(&locks) {
            let account = accounts.iter().find(|(disk, _)| disk == name);
            let Some((_, balance)) = account else {
                continue;
            };
            // As it is now that it is closed. Without the account everything is read once.
            let kept = lock
                .file()
                .metadata()
                .and_then(|image| account_file::keep(&directory, name, (&image, *size), balance));
            if let Err(error) = kept {
                tracing::warn!(%error, disk = name, "the account of its changes is not kept");
            }
        }
        drop(locks);
        Ok(())
    }
}
