//! Exports of nodes, and the NBD server that serves them.

use serde::{Deserialize, Serialize};

use crate::command::{Done, command};

/// Starts the NBD server, of which a process has one.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NbdServerStart {
    /// Where it listens.
    pub addr: NbdServerAddress,
    /// How many clients at a time; 0 for any number, `None` for QEMU's default of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
}
command!(NbdServerStart, "nbd-server-start", Done);

/// QAPI `SocketAddressLegacy`, as far as it is used.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "lowercase")]
pub enum NbdServerAddress {
    /// A Unix socket, which QEMU creates.
    Unix {
        /// Its path, of at most 107 bytes.
        path: String,
    },
    /// A TCP port.
    Inet {
        /// Name or address.
        host: String,
        /// Port.
        port: String,
    },
    /// A listening socket that was handed over with [`GetFd`](super::GetFd).
    Fd {
        /// Its name.
        #[serde(rename = "str")]
        name: String,
    },
}

/// Stops the NBD server and removes its exports.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct NbdServerStop {}
command!(NbdServerStop, "nbd-server-stop", Done);

/// Exports a node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockExportAdd {
    /// The export's id.
    pub id: String,
    /// The node.
    pub node_name: String,
    /// Whether clients may write (and discard); default no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writable: Option<bool>,
    /// The iothread that serves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iothread: Option<String>,
    /// How it is exported.
    #[serde(flatten)]
    pub kind: ExportKind,
}
command!(BlockExportAdd, "block-export-add", Done);

/// The kinds of exports that are used.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ExportKind {
    /// By the NBD server.
    Nbd {
        /// The export's name on the wire.
        name: String,
        /// Dirty bitmaps that clients can query.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        bitmaps: Vec<BitmapRef>,
    },
}

/// A dirty bitmap of a node.
#[derive(Clone, Debug, Serialize)]
pub struct BitmapRef {
    /// The node's name.
    pub node: String,
    /// The bitmap's name.
    pub name: String,
}

/// Removes an export. It is gone with the event `BLOCK_EXPORT_DELETED`, not with the reply.
#[derive(Clone, Debug, Serialize)]
pub struct BlockExportDel {
    /// The export's id.
    pub id: String,
    /// What to do with its clients; default: safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ExportRemoveMode>,
}
command!(BlockExportDel, "block-export-del", Done);

/// QAPI `BlockExportRemoveMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportRemoveMode {
    /// Refuse while there are clients.
    Safe,
    /// Drop the clients.
    Hard,
}

/// All exports.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryBlockExports {}
command!(QueryBlockExports, "query-block-exports", Vec<BlockExport>);

/// QAPI `BlockExportInfo`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct BlockExport {
    /// Its id.
    pub id: String,
    /// Its type, such as `nbd`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The node.
    pub node_name: String,
    /// Whether it is going away.
    pub shutting_down: bool,
}
