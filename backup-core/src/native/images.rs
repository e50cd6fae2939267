//! Images that this process serves to guests.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use fleece_staged_file::check_owned;
use fleece_storage::block::{BlockDevice, ImageLock};

use super::image::Image;
use super::server::Server;
use crate::report::error::{Error, ErrorKind};

/// A [`Server`] of images, which nobody else can use meanwhile.
#[derive(Debug)]
pub struct ImageServer {
    server: Server,
    disks: Vec<(String, Arc<dyn BlockDevice>)>,
    _locks: Vec<ImageLock>,
}

impl ImageServer {
    /// Serves `images` in a directory that is made if need be, and belongs to this user alone.
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
        let (mut disks, mut locks) = (Vec::new(), Vec::new());
        for image in images {
            let (device, lock) = image.open_for_writing()?;
            disks.push((image.name(), device));
            locks.push(lock);
        }
        Ok(Self {
            server: Server::start(disks.clone(), directory)?,
            disks,
            _locks: locks,
        })
    }

    /// What serves them.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// Ends serving. What is in our memory of a qcow2 image goes into it while nobody else can use it.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Storage`] if an image may be incomplete.
    pub fn stop(self) -> Result<(), Error> {
        drop(self.server);
        for (name, disk) in &self.disks {
            disk.flush().map_err(|error| {
                let message = format!("{name} may be incomplete");
                Error::caused(ErrorKind::Storage, message, error)
            })?;
        }
        Ok(())
    }
}
