//! A disk opened past the page cache.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use crate::Result;

// The values of x86-64 Linux (asm-generic/fcntl.h); the lab's guest is always that.
const O_DSYNC: i32 = 0o10000;
const O_DIRECT: i32 = 0o40000;

pub(crate) struct Disk {
    path: String,
    file: File,
}

/// When a write counts as done.
#[derive(Clone, Copy)]
pub(crate) enum Durability {
    /// The device has taken it.
    Accepted,
    /// The device has made it durable.
    Durable,
}

impl Disk {
    pub(crate) fn open(path: &str, durability: Durability) -> Result<Self> {
        let flags = match durability {
            Durability::Accepted => O_DIRECT,
            Durability::Durable => O_DIRECT | O_DSYNC,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path)
            .map_err(|error| format!("open {path}: {error}"))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Writes `bytes` at `offset`, as one request of the kernel's.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = self
            .file
            .write_at(bytes, offset)
            .map_err(|error| format!("write {} at {offset}: {error}", self.path))?;
        if written == bytes.len() {
            Ok(())
        } else {
            Err(format!(
                "write {} at {offset}: {written} of {} bytes",
                self.path,
                bytes.len()
            ))
        }
    }

    pub(crate) fn read(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.file
            .read_exact_at(bytes, offset)
            .map_err(|error| format!("read {} at {offset}: {error}", self.path))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|error| format!("sync {}: {error}", self.path))
    }
}
