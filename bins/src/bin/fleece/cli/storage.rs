//! `fleece storage`

use clap::{Args, Subcommand};

use super::values::property;

#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// List them with their free space, and what is wrong with those that do not work.
    List,
    /// Add a storage. The rest of the file stays as it is.
    Add(StorageAdd),
    /// Remove a storage from the configuration; its data is kept.
    Remove(StorageRemove),
}

#[derive(Debug, Args)]
pub(crate) struct StorageAdd {
    /// The type: dir, nfs, cifs, btrfs, lvm, lvmthin, zfspool, rbd, or a plugin's.
    #[arg(value_name = "TYPE")]
    pub(crate) kind: String,

    /// The new storage's id.
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// Its properties, as in storage.cfg: path=/srv/images content=images,backup …
    #[arg(value_name = "KEY=VALUE", value_parser = property)]
    pub(crate) properties: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct StorageRemove {
    /// The storage's id.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}
