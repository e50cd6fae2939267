//! Handing file descriptors to QEMU, with
//! [`Client::execute_with_fd`](crate::client::Client::execute_with_fd). Not in `qemu-storage-daemon`.

use serde::{Deserialize, Serialize};

use crate::command::{Done, command};

/// Adds a descriptor to a set, which QEMU then opens as `/dev/fdset/ID`. QEMU drops a set that
/// nothing uses once no monitor is connected.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AddFd {
    /// The set; a new one if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fdset_id: Option<i64>,
    /// A note for whoever looks at the sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opaque: Option<String>,
}
command!(AddFd, "add-fd", AddedFd);

/// QAPI `AddfdInfo`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct AddedFd {
    /// The set.
    pub fdset_id: i64,
    /// The descriptor's number in QEMU.
    pub fd: i64,
}

/// Removes a set, or one descriptor of it.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RemoveFd {
    /// The set.
    pub fdset_id: i64,
    /// The descriptor's number in QEMU; all if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i64>,
}
command!(RemoveFd, "remove-fd", Done);

/// All sets.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryFdsets {}
command!(QueryFdsets, "query-fdsets", Vec<FdSet>);

/// QAPI `FdsetInfo`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct FdSet {
    /// The set.
    pub fdset_id: i64,
    /// What is in it.
    pub fds: Vec<FdInfo>,
}

/// QAPI `FdsetFdInfo`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct FdInfo {
    /// The descriptor's number in QEMU.
    pub fd: i64,
    /// The note that was given.
    pub opaque: Option<String>,
}

/// Gives a descriptor a name, which belongs to this connection.
#[derive(Clone, Debug, Serialize)]
pub struct GetFd {
    /// The name, which must not start with a digit.
    pub fdname: String,
}
command!(GetFd, "getfd", Done);

/// Closes a named descriptor.
#[derive(Clone, Debug, Serialize)]
pub struct CloseFd {
    /// Its name.
    pub fdname: String,
}
command!(CloseFd, "closefd", Done);
