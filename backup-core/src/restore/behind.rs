//! What a folder holds while its disks are copied behind a guest: `live.json` beside images that lie over the archive.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleece_nbd::{Address, Server, ServerOptions};
use fleece_staged_file::sync_directory;
use fleece_storage::block::Qcow2;
use fleece_vma_format::{Device, Header};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::failure::{archive_error, target_error};
use crate::input::{ArchiveExport, Input};
use crate::job::cancel::CancelToken;
use crate::report::error::{Error, ErrorKind};

/// What a live restore is about, beside its images from before the guest starts until all are complete.
pub(super) const RECORD: &str = "live.json";

/// The server's socket in the folder. QEMU is started there, so that no path is too long for it.
pub(super) const SOCKET: &str = "live.sock";

/// Tells a folder's script that its disks are looked after meanwhile.
pub(super) const LIVE: &str = "FLEECE_LIVE";

/// For so many seconds QEMU waits for a server that is gone, before its guest gets errors: a day, so that somebody can
/// look after it.
const RECONNECT: u64 = 24 * 60 * 60;

/// Drives that are small, or read by other programs than QEMU: they are copied before the guest starts.
const AT_ONCE: [&str; 2] = ["efidisk0", "tpmstate0"];

/// Whether the disk of this drive is copied behind the guest.
pub(super) fn is_behind(key: &str) -> bool {
    !AT_ONCE.contains(&key)
}

/// Makes an image over a device of the archive, which the server in its folder will serve.
pub(super) fn make_image(path: &Path, device: &Device) -> Result<(), Error> {
    let name = json!({
        "driver": "raw",
        "file": {
            "driver": "nbd",
            "server": { "type": "unix", "path": SOCKET },
            "export": device.name(),
            "reconnect-delay": RECONNECT,
        },
    });
    Qcow2::create_over(path, device.size(), &format!("json:{name}")).map_err(target_error)
}

/// No archive has so many disks that it would be larger.
const MAX_SIZE: u64 = 1 << 20;

/// What it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LiveRecord {
    /// 1; another number means that fields mean something else.
    version: u32,
    /// Absolute.
    pub(super) archive: PathBuf,
    /// The archive's own, in hexadecimal digits: another archive of that name is not served.
    pub(super) uuid: String,
    /// Those that are copied behind the guest.
    pub(super) disks: Vec<LiveDisk>,
}

/// A disk that is copied behind the guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LiveDisk {
    /// Its name in the archive, and at the server.
    pub(super) device: String,
    /// The node in QEMU.
    pub(super) node: String,
    /// The image in the folder.
    pub(super) file: String,
    /// Bytes.
    pub(super) size: u64,
}

/// The record's text.
pub(super) fn record(archive: &Path, header: &Header, disks: Vec<LiveDisk>) -> Vec<u8> {
    let record = LiveRecord {
        version: 1,
        archive: archive
            .canonicalize()
            .unwrap_or_else(|_| archive.to_owned()),
        uuid: digits(header),
        disks,
    };
    serde_json::to_vec_pretty(&record).unwrap_or_default()
}

/// An archive's uuid as it is recorded.
pub(super) fn digits(header: &Header) -> String {
    uuid::Uuid::from_bytes(*header.uuid()).simple().to_string()
}

impl LiveRecord {
    /// Reads the record of a folder.
    pub(super) fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(RECORD);
        match File::open(&path) {
            Ok(file) => Self::read(&file, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message = format!(
                    "there is no live restore to go on with in {}: it is complete, or was never begun",
                    folder.display()
                );
                Err(Error::new(ErrorKind::Request, message))
            }
            Err(error) => Err(unreadable(&path, error)),
        }
    }

    /// Reads an open record.
    pub(super) fn read(file: &File, path: &Path) -> Result<Self, Error> {
        let mut text = Vec::new();
        file.take(MAX_SIZE)
            .read_to_end(&mut text)
            .map_err(|error| unreadable(path, error))?;
        let record: Self =
            serde_json::from_slice(&text).map_err(|error| unreadable(path, error.into()))?;
        let is_plain = |disk: &LiveDisk| {
            Path::new(&disk.file).components().count() == 1 && !disk.file.contains("..")
        };
        if record.version != 1 || !record.disks.iter().all(is_plain) {
            let other =
                io::Error::other("it is of another version of this program, or was changed");
            return Err(unreadable(path, other));
        }
        Ok(record)
    }
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::caused(
        ErrorKind::Target,
        format!("cannot read {}", path.display()),
        error,
    )
}

/// All disks are complete. It is gone even after a power failure.
pub(super) fn remove(folder: &Path) -> Result<(), Error> {
    let path = folder.join(RECORD);
    fs::remove_file(&path)
        .and_then(|()| sync_directory(folder))
        .map_err(|error| {
            Error::caused(
                ErrorKind::Target,
                format!("cannot remove {}", path.display()),
                error,
            )
        })
}

/// Serves the archive of the restore in a folder, at a socket in it.
pub(super) fn server(folder: &Path, socket: &Path, cancel: &CancelToken) -> Result<Server, Error> {
    server_of(&LiveRecord::load(folder)?, socket, cancel)
}

/// Serves the disks of a record.
pub(super) fn server_of(
    record: &LiveRecord,
    socket: &Path,
    cancel: &CancelToken,
) -> Result<Server, Error> {
    let mut input = Input::open_regular(&record.archive, cancel).map_err(|error| {
        let message = format!("cannot open the archive {}", record.archive.display());
        Error::caused(ErrorKind::Archive, message, error)
    })?;
    // No pruning removes it as long as it is open here.
    if let Some(file) = input.shared_file() {
        let _ = flock(&file, FlockOperation::NonBlockingLockShared);
    }
    let damaged = |error| archive_error(error, cancel);
    let archive = Arc::new(input.archive().map_err(damaged)?);
    if digits(archive.header()) != record.uuid {
        let message = format!(
            "{} is not the archive that the restore was begun from",
            record.archive.display()
        );
        return Err(Error::new(ErrorKind::Archive, message));
    }
    archive.random_access().map_err(damaged)?;
    let failed = |error| Error::caused(ErrorKind::Internal, "cannot serve the archive", error);
    let address = Address::Unix(socket.to_owned());
    let server = Server::start(&address, &ServerOptions::default()).map_err(failed)?;
    for device in archive.header().devices() {
        if record.disks.iter().any(|disk| disk.device == device.name()) {
            let export = ArchiveExport::new(Arc::clone(&archive), device);
            server
                .add_export(device.name(), Arc::new(export))
                .map_err(failed)?;
        }
    }
    Ok(server)
}
