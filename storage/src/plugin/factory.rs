//! From a section of `storage.cfg` to its plugin: the one place that knows all types.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Plugin;
use super::btrfs::BtrfsPlugin;
use super::dir::DirPlugin;
use super::external::ExternalPlugin;
use super::lvm::LvmPlugin;
use super::lvmthin::LvmThinPlugin;
use super::mounted::{MountedPlugin, TIMEOUT};
use super::rbd::{RbdPlugin, proxmox_files};
use super::volume_group::{VolumeGroup, check_name};
use super::zfspool::ZfsPlugin;
use crate::config::StorageSection;
use crate::error::{Error, ErrorKind};
use crate::exec::{Runner, System};

/// The plugin of a configured storage that is to be used here. `external` is where executables for other types lie.
pub(crate) fn plugin(section: &StorageSection, external: &Path) -> Result<Arc<dyn Plugin>, Error> {
    check_use(section)?;
    build(section, external)
}

/// The same, whether it is to be used or not.
pub(crate) fn build(section: &StorageSection, external: &Path) -> Result<Arc<dyn Plugin>, Error> {
    let id = section.id().to_owned();
    let tools: Arc<dyn Runner> = Arc::new(System);
    Ok(match section.kind() {
        "dir" => directory(section)?,
        "nfs" | "cifs" => network(section)?,
        "btrfs" => {
            let path = path_of(section)?;
            Arc::new(BtrfsPlugin {
                id,
                path,
                nocow: section.flag("nocow"),
                tools,
            })
        }
        "lvm" => {
            let group = VolumeGroup::new(&id, section.require("vgname")?, tools)?;
            let saferemove = section.flag("saferemove");
            Arc::new(LvmPlugin {
                id,
                group,
                saferemove,
                shared: section.flag("shared"),
            })
        }
        "lvmthin" => {
            let group = VolumeGroup::new(&id, section.require("vgname")?, tools)?;
            let pool = section.require("thinpool")?.to_owned();
            check_name(&id, &pool)?;
            Arc::new(LvmThinPlugin { id, group, pool })
        }
        "zfspool" => {
            let pool = section.require("pool")?.to_owned();
            ZfsPlugin::check_pool(&id, &pool)?;
            let block_size = section.get("blocksize").map(str::to_owned);
            if let Some(size) = &block_size
                && !size.bytes().all(|b| b.is_ascii_alphanumeric())
            {
                let message = format!("{size:?} is not a block size");
                return Err(Error::new(ErrorKind::InvalidConfig, id, message));
            }
            Arc::new(ZfsPlugin {
                id,
                pool,
                sparse: section.flag("sparse"),
                block_size,
                tools,
            })
        }
        "rbd" => rbd(section, tools)?,
        kind => match ExternalPlugin::find(section, external, tools) {
            Some(plugin) => Arc::new(plugin),
            None => {
                let message = format!(
                    "storages of type '{kind}' are not supported, and there is no plugin {}",
                    external.join(kind).display()
                );
                return Err(Error::new(ErrorKind::Unsupported, id, message));
            }
        },
    })
}

/// That the configuration means a storage to be used on this host.
///
/// All nodes of a cluster share one configuration, in which `nodes` says where a storage is. Elsewhere the
/// same path may be a directory of the root file system.
pub(crate) fn check_use(section: &StorageSection) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Unsupported, section.id(), message));
    if section.flag("disable") {
        return refuse("the storage is disabled in the configuration".to_owned());
    }
    let Some(nodes) = section.get("nodes").filter(|nodes| !nodes.is_empty()) else {
        return Ok(());
    };
    let path = Path::new("/proc/sys/kernel/hostname");
    let name = std::fs::read_to_string(path)
        .map_err(|source| Error::io("read the host's name", path, source))?;
    // As Proxmox: a node is called by the first part of its host's name.
    let name = name.trim().split('.').next().unwrap_or_default();
    let is_separator = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
    if nodes.split(is_separator).any(|node| node == name) {
        return Ok(());
    }
    refuse(format!(
        "the storage is on {nodes} only, by its 'nodes', and this is {name}"
    ))
}

fn directory(section: &StorageSection) -> Result<Arc<dyn Plugin>, Error> {
    let path = path_of(section)?;
    let plugin = proxmox_layout(section, &path)?;
    if !section.needs_mount() {
        return Ok(Arc::new(plugin));
    }
    let mount = section.get("is_mountpoint").map(PathBuf::from);
    let mount = mount.filter(|mount| mount.is_absolute()).unwrap_or(path);
    Ok(Arc::new(MountedPlugin {
        directory: plugin,
        kind: "dir",
        mount,
        fstypes: &[],
        advice: format!(
            "storage '{}' requires a mount here (is_mountpoint)",
            section.id()
        ),
        shared: section.flag("shared"),
        timeout: TIMEOUT,
    }))
}

fn network(section: &StorageSection) -> Result<Arc<dyn Plugin>, Error> {
    let default = format!("/mnt/pve/{}", section.id());
    let mount = absolute(section, section.get("path").unwrap_or(&default))?;
    let server = section.require("server")?;
    let (kind, fstypes, advice): (_, &[_], _) = match section.kind() {
        "nfs" => {
            let export = section.require("export")?;
            let advice = format!("mount -t nfs {server}:{export} {}", mount.display());
            ("nfs", &["nfs", "nfs4"], advice)
        }
        _ => {
            let share = section.require("share")?;
            let advice = format!("mount -t cifs //{server}/{share} {}", mount.display());
            ("cifs", &["cifs", "smb3"], advice)
        }
    };
    Ok(Arc::new(MountedPlugin {
        directory: proxmox_layout(section, &mount)?,
        kind,
        mount,
        fstypes,
        advice,
        shared: true,
        timeout: TIMEOUT,
    }))
}

fn rbd(section: &StorageSection, tools: Arc<dyn Runner>) -> Result<Arc<dyn Plugin>, Error> {
    let id = section.id().to_owned();
    let name = |key: &str| match section.get(key) {
        Some(name) => RbdPlugin::check_name(section.id(), name).map(|()| Some(name.to_owned())),
        None => Ok(None),
    };
    let monitors: Vec<String> = section
        .get("monhost")
        .unwrap_or("")
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';'))
        .filter(|monitor| !monitor.is_empty())
        .map(str::to_owned)
        .collect();
    let (conf, keyring) = proxmox_files(&id, !monitors.is_empty());
    Ok(Arc::new(RbdPlugin {
        pool: name("pool")?.unwrap_or_else(|| "rbd".to_owned()),
        namespace: name("namespace")?,
        data_pool: name("data-pool")?,
        user: name("username")?.unwrap_or_else(|| "admin".to_owned()),
        id,
        monitors,
        conf,
        keyring,
        tools,
    }))
}

/// Images and dumps below `path`, or where `content-dirs` says.
fn proxmox_layout(section: &StorageSection, path: &Path) -> Result<DirPlugin, Error> {
    let below = |content: &str, default: &str| {
        let dirs = section.get("content-dirs").unwrap_or("").split(',');
        let mut dirs = dirs.filter_map(|dir| dir.trim().split_once('='));
        let relative = dirs
            .find(|(name, _)| *name == content)
            .map_or(default, |(_, dir)| dir);
        let relative = relative.trim_matches('/');
        if relative
            .split('/')
            .any(|part| matches!(part, "" | "." | ".."))
        {
            let message = format!("content-dirs: {relative:?} does not lie below the path");
            return Err(Error::new(ErrorKind::InvalidConfig, section.id(), message));
        }
        Ok(path.join(relative))
    };
    Ok(DirPlugin::configured(
        section.id(),
        path,
        below("images", "images")?,
        below("backup", "dump")?,
    ))
}

fn path_of(section: &StorageSection) -> Result<PathBuf, Error> {
    absolute(section, section.require("path")?)
}

fn absolute(section: &StorageSection, path: &str) -> Result<PathBuf, Error> {
    if path.starts_with('/') {
        return Ok(PathBuf::from(path));
    }
    let message = format!("the path {path:?} is not absolute");
    Err(Error::new(ErrorKind::InvalidConfig, section.id(), message))
}
