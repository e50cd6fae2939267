//! Ceph RBD: volumes are images of a pool, which QEMU opens with librbd.

mod import;

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleece_guest_config::GuestId;
use serde::Deserialize;
use serde_json::{Value, json};

use self::import::Import;
use super::device::{self, Device, device_name, not_made, not_removed};
use super::{AllocationRequest, Capabilities, Freed, Plugin, Status, no_such_volume};
use crate::block::WriteAt;
use crate::error::{Error, ErrorKind};
use crate::exec::Runner;
use crate::lock;
use crate::name::{VolumeFormat, VolumeName};
use crate::volume::{Volume, VolumeId};

/// How long `rbd` and `ceph` may take; removing an image removes its objects one by one.
const TIMEOUT: Duration = Duration::from_secs(60);
const REMOVAL: Duration = Duration::from_secs(600);
/// The default size of the objects that an image is made of; discarding whole ones frees them.
const OBJECT: u64 = 4 << 20;
/// Sizes are given to `rbd` in MiB.
const ROUNDING: u64 = 1 << 20;

/// A Ceph pool of `storage.cfg`.
#[derive(Debug, Clone)]
pub(crate) struct RbdPlugin {
    pub(crate) id: String,
    pub(crate) pool: String,
    pub(crate) namespace: Option<String>,
    /// Where the data go if not to the pool itself, for erasure-coded pools.
    pub(crate) data_pool: Option<String>,
    /// Monitors of a cluster that this host's own configuration does not know.
    pub(crate) monitors: Vec<String>,
    pub(crate) user: String,
    pub(crate) conf: Option<PathBuf>,
    pub(crate) keyring: Option<PathBuf>,
    pub(crate) tools: Arc<dyn Runner>,
}

/// An image, as `rbd ls -l --format json` reports it.
#[derive(Debug, Deserialize)]
struct Image {
    image: String,
    /// Bytes.
    size: u64,
    /// Set if this is a snapshot of the image.
    snapshot: Option<Value>,
}

/// `ceph df --format json`: one pool of many.
#[derive(Debug, Deserialize)]
struct Usage {
    pools: Vec<PoolUsage>,
}

#[derive(Debug, Deserialize)]
struct PoolUsage {
    name: String,
    stats: PoolStats,
}

#[derive(Debug, Deserialize)]
struct PoolStats {
    max_avail: u64,
    stored: u64,
}

impl RbdPlugin {
    /// # Errors
    ///
    /// `InvalidConfig` for a name that could be taken for something else by `rbd`.
    pub(crate) fn check_name(storage: &str, name: &str) -> Result<(), Error> {
        if !name.is_empty()
            && name.bytes().all(crate::name::is_name_byte)
            && !name.starts_with(['-', '.'])
        {
            return Ok(());
        }
        let message = format!("{name:?} is not a valid name of a Ceph pool, namespace or user");
        Err(Error::new(ErrorKind::InvalidConfig, storage, message))
    }

    /// Runs `rbd` or `ceph` as this storage's user on its cluster.
    fn run(&self, argv: &[&str], timeout: Duration) -> Result<String, Error> {
        let own = self.arguments();
        let own = own.iter().map(String::as_str);
        let argv: Vec<&str> = argv.iter().copied().chain(own).collect();
        self.tools.run(&argv, timeout)
    }

    /// What tells `rbd` and `ceph` who we are and where the cluster is.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--id".to_owned(), self.user.clone()];
        let mut add = |option: &str, value: &str| {
            arguments.extend([option.to_owned(), value.to_owned()]);
        };
        if let Some(conf) = &self.conf {
            add("--conf", &conf.to_string_lossy());
        }
        if let Some(keyring) = &self.keyring {
            add("--keyring", &keyring.to_string_lossy());
        }
        if !self.monitors.is_empty() {
            add("--mon_host", &self.monitors.join(","));
            add("--auth_supported", self.authentication());
        }
        arguments
    }

    /// How a cluster that only `storage.cfg` knows is talked to: where there is no key for it, it
    /// needs none.
    fn authentication(&self) -> &'static str {
        if self.keyring.is_some() {
            "cephx"
        } else {
            "none"
        }
    }

    /// `pool/[namespace/]name`
    fn spec(&self, name: &str) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}/{namespace}/{name}", self.pool),
            None => format!("{}/{name}", self.pool),
        }
    }

    /// `pool[/namespace]`
    fn whole_pool(&self) -> String {
        self.spec("").trim_end_matches('/').to_owned()
    }

    fn images(&self) -> Result<Vec<Device>, Error> {
        let pool = self.whole_pool();
        let text = self.run(&["rbd", "ls", "--long", "--format", "json", &pool], TIMEOUT)?;
        let images: Vec<Image> = self.parse(&text)?;
        let images = images.into_iter().filter(|image| image.snapshot.is_none());
        let devices = images.map(|image| Device {
            name: image.image,
            size: image.size,
            // Finding it out reads the whole image's map: too slow for a list.
            used: None,
        });
        Ok(devices.collect())
    }

    fn find(&self, name: &str) -> Result<Option<Device>, Error> {
        Ok(self.images()?.into_iter().find(|image| image.name == name))
    }

    fn parse<'a, T: Deserialize<'a>>(&self, text: &'a str) -> Result<T, Error> {
        serde_json::from_str(text).map_err(|source| {
            Error::new(
                ErrorKind::InvalidData,
                &self.id,
                "cannot understand what Ceph reports",
            )
            .caused_by(source)
        })
    }
}

impl Plugin for RbdPlugin {
    fn id(&self) -> &str {
        &self.id
    }

    fn kind(&self) -> &str {
        "rbd"
    }

    fn capabilities(&self) -> Result<Capabilities, Error> {
        Ok(Capabilities {
            thin: true,
            zero_initialised: true,
            discard_granularity: Some(OBJECT),
            formats: vec![VolumeFormat::Raw],
            size_rounding: ROUNDING,
            snapshots: true,
            shared: true,
        })
    }

    fn status(&self) -> Result<Status, Error> {
        let text = self.run(&["ceph", "df", "--format", "json"], TIMEOUT)?;
        let usage: Usage = self.parse(&text)?;
        let pool = self.data_pool.as_ref().unwrap_or(&self.pool);
        let stats = usage
            .pools
            .iter()
            .find(|usage| usage.name == *pool)
            .map(|usage| &usage.stats);
        let stats = stats.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                &self.id,
                format!("there is no pool '{pool}'"),
            )
        })?;
        let (used, available) = (stats.stored, stats.max_avail);
        Ok(Status {
            total: used.saturating_add(available),
            used,
            available,
        })
    }

    fn activate(&self) -> Result<(), Error> {
        // Asks the pool itself, and in a tenth of the time that `ceph df` takes.
        self.run(&["rbd", "ls", &self.whole_pool()], TIMEOUT)
            .map(drop)
    }

    fn list(&self, guest: Option<&GuestId>) -> Result<Vec<Volume>, Error> {
        Ok(device::volumes(self, guest, self.images()?))
    }

    fn volume_id(&self, name: &VolumeName, format: VolumeFormat) -> Result<VolumeId, Error> {
        device::volume_id(self, name, format)
    }

    fn allocate(&self, request: &AllocationRequest) -> Result<VolumeId, Error> {
        let id = self.volume_id(&request.name, request.format)?;
        let name = request.name.as_str();
        let _lock = lock::acquire(&self.id)?;
        let size = format!("{}M", request.size.div_ceil(ROUNDING));
        let spec = self.spec(name);
        let mut argv = vec!["rbd", "create", "--image-format", "2", "--size", &size];
        if let Some(data_pool) = &self.data_pool {
            argv.extend(["--data-pool", data_pool]);
        }
        argv.push(&spec);
        match self.run(&argv, TIMEOUT) {
            Ok(_) => Ok(id),
            Err(error) => Err(not_made(error, self.find(name), id)),
        }
    }

    fn free(&self, id: &VolumeId) -> Result<Freed, Error> {
        let name = device_name(self, id)?;
        let _lock = lock::acquire(&self.id)?;
        if self.find(name)?.is_none() {
            return Ok(Freed::Absent);
        }
        let spec = self.spec(name);
        self.run(&["rbd", "snap", "purge", "--no-progress", &spec], REMOVAL)?;
        let removed = self.run(&["rbd", "rm", "--no-progress", &spec], REMOVAL);
        let Err(error) = removed else {
            return Ok(Freed::Removed);
        };
        let busy = "the image cannot be removed; is something still using it? \
            Ceph waits 30 seconds for a client that died";
        not_removed(error, self.find(name), id, busy)
    }

    fn path(&self, id: &VolumeId) -> Result<PathBuf, Error> {
        device_name(self, id)?;
        let message = "RBD images do not appear in the file system; QEMU opens them with librbd";
        Err(Error::new(ErrorKind::Unsupported, id, message))
    }

    fn open_writable(&self, id: &VolumeId) -> Result<Arc<dyn WriteAt>, Error> {
        let spec = self.spec(device_name(self, id)?);
        let mut argv: Vec<String> = ["rbd", "import-diff", "--no-progress", "-", &spec]
            .map(str::to_owned)
            .into();
        argv.extend(self.arguments());
        Ok(Arc::new(Import::new(argv, self.size(id)?)))
    }

    fn blockdev(&self, id: &VolumeId) -> Result<Value, Error> {
        let mut file = json!({
            "driver": "rbd",
            "pool": self.pool,
            "image": device_name(self, id)?,
            "user": self.user,
        });
        let mut set = |key: &str, value: Value| {
            if let Some(object) = file.as_object_mut() {
                object.insert(key.to_owned(), value);
            }
        };
        if let Some(namespace) = &self.namespace {
            set("namespace", json!(namespace));
        }
        if let Some(conf) = &self.conf {
            set("conf", json!(conf));
        }
        if !self.monitors.is_empty() {
            set(
                "server",
                self.monitors
                    .iter()
                    .map(|monitor| address(monitor))
                    .collect(),
            );
            set("auth-client-required", json!([self.authentication()]));
        }
        Ok(json!({ "driver": "raw", "file": file }))
    }

    fn size(&self, id: &VolumeId) -> Result<u64, Error> {
        let found = self.find(device_name(self, id)?)?;
        found
            .map(|image| image.size)
            .ok_or_else(|| no_such_volume(id))
    }

    fn resize(&self, id: &VolumeId, size: u64) -> Result<(), Error> {
        let old = self.size(id)?;
        let rounded = size.div_ceil(ROUNDING);
        match rounded.saturating_mul(ROUNDING).cmp(&old) {
            Ordering::Greater => {}
            // `rbd` takes this for a mistake.
            Ordering::Equal => return Ok(()),
            Ordering::Less => {
                return Err(Error::not_shrunk(id, old, size));
            }
        }
        let size = format!("{rounded}M");
        let spec = self.spec(device_name(self, id)?);
        self.run(
            &["rbd", "resize", "--no-progress", "--size", &size, &spec],
            TIMEOUT,
        )
        .map(drop)
    }
}

/// A monitor as QEMU's `InetSocketAddressBase`; the port is 6789 if none is given.
fn address(monitor: &str) -> Value {
    let (host, port) = match monitor.rsplit_once(':') {
        // `[::1]:6789`, `host:6789`; a bare IPv6 address has colons but no port.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => (monitor, "6789"),
    };
    json!({ "host": host.trim_matches(['[', ']']), "port": port })
}

/// The configuration and keyring of a storage, where Proxmox keeps them.
pub(crate) fn proxmox_files(storage: &str, external: bool) -> (Option<PathBuf>, Option<PathBuf>) {
    let exists = |path: PathBuf| Some(path).filter(|path| path.exists());
    let private = Path::new("/etc/pve/priv/ceph");
    // `ceph` insists on a configuration, and this host's own is about another cluster.
    let default = if external {
        "/dev/null"
    } else {
        "/etc/ceph/ceph.conf"
    };
    let conf = exists(private.join(format!("{storage}.conf")));
    let conf = conf.or_else(|| exists(PathBuf::from(default)));
    (conf, exists(private.join(format!("{storage}.keyring"))))
}

#[cfg(test)]
mod tests;
