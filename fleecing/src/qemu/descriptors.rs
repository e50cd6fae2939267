//! Files and sockets that are handed to QEMU open: it may run as another user, in another mount namespace, or
//! be confined by AppArmor or SELinux, so that a path says nothing to it.
//!
//! A file becomes a set of its own in QEMU, which opens it as `/dev/fdset/<id>`; the note on the set tells
//! what it is, also to a clean-up. Only over a Unix socket, and not in a storage daemon.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use fleece_qmp_client::commands::{AddFd, CloseFd, GetFd, QueryFdsets, RemoveFd};
use fleece_qmp_client::{Client, Command as _, Error as QmpError, ErrorKind as QmpErrorKind};

use crate::error::Error;

/// Begins the note on a file of ours; its path follows.
const NOTE: &str = "fleece-image:";

/// A file in a set of its own.
#[derive(Debug)]
pub(crate) struct Handed {
    set: i64,
}

impl Handed {
    /// Hands over a file that is open for reading and writing.
    pub(crate) fn over(client: &Client, file: &File, path: &str) -> Result<Self, QmpError> {
        let add = AddFd {
            fdset_id: None,
            opaque: Some(format!("{NOTE}{path}")),
        };
        let added = client.execute_with_fd(&add, file.as_fd())?;
        Ok(Self {
            set: added.fdset_id,
        })
    }

    /// What QEMU opens it as.
    pub(crate) fn name(&self) -> String {
        name(self.set)
    }
}

fn name(set: i64) -> String {
    format!("/dev/fdset/{set}")
}

/// The files of ours that QEMU has got open: the number of the set, what QEMU calls it, and the path.
fn handed(client: &Client) -> Result<Vec<(i64, String, String)>, Error> {
    if !has_command(client, QueryFdsets::NAME)? {
        return Ok(Vec::new());
    }
    let sets = client
        .execute(&QueryFdsets {})
        .map_err(Error::qemu("cannot list the files that QEMU was given"))?;
    Ok(sets
        .into_iter()
        .filter_map(|set| {
            let mut notes = set.fds.iter().filter_map(|fd| fd.opaque.as_deref());
            let path = notes.find_map(|note| note.strip_prefix(NOTE))?.to_owned();
            Some((set.fdset_id, name(set.fdset_id), path))
        })
        .collect())
}

/// What QEMU was given open, by what it calls it.
#[derive(Debug)]
pub(crate) struct Paths(Vec<(i64, String, String)>);

impl Paths {
    pub(crate) fn ask(client: &Client) -> Result<Self, Error> {
        handed(client).map(Self)
    }

    /// The path of what QEMU describes as `file`, a name or a `json:` text with it.
    pub(crate) fn of<'a>(&'a self, file: &'a str) -> &'a str {
        let mut known = self.0.iter();
        let known =
            known.find(|(_, name, _)| name == file || file.contains(&format!("\"{name}\"")));
        known.map_or(file, |(_, _, path)| path)
    }
}

/// Has QEMU close all files of ours that no node uses any more. (A QEMU 7.2 whose guest stands still does so
/// when it runs again.)
pub(crate) fn take_back(client: &Client) -> Result<(), Error> {
    for (fdset_id, ..) in handed(client)? {
        match client.execute(&RemoveFd { fdset_id, fd: None }) {
            // QEMU was faster.
            Err(error) if !matches!(error.kind(), QmpErrorKind::Command(_)) => {
                return Err(Error::qemu("cannot have QEMU close a fleecing image")(
                    error,
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether sockets can be handed over.
pub(crate) fn takes_sockets(client: &Client) -> Result<bool, Error> {
    Ok(client.passes_descriptors() && has_command(client, GetFd::NAME)?)
}

/// Whether files can be.
pub(crate) fn takes_files(client: &Client) -> Result<bool, Error> {
    Ok(client.passes_descriptors() && has_command(client, AddFd::NAME)?)
}

/// Hands over a socket under a name, which QEMU forgets when it uses it, or with the connection.
pub(crate) fn give_socket(
    client: &Client,
    name: &str,
    socket: BorrowedFd<'_>,
) -> Result<(), QmpError> {
    let fdname = name.to_owned();
    client.execute_with_fd(&GetFd { fdname }, socket).map(drop)
}

/// Takes back one that was not used.
pub(crate) fn close_socket(client: &Client, name: &str) {
    let fdname = name.to_owned();
    // It may be used up.
    let _ = client.execute(&CloseFd { fdname });
}

/// Replaces `path` wherever a node's options name it as their file.
pub(crate) fn rename(options: &mut serde_json::Value, path: &Path, name: &str) {
    let Some(object) = options.as_object_mut() else {
        return;
    };
    for (key, value) in object {
        if key == "filename" && value.as_str().map(Path::new) == Some(path) {
            *value = name.into();
        } else {
            rename(value, path, name);
        }
    }
}

fn has_command(client: &Client, name: &str) -> Result<bool, Error> {
    let schema = client
        .schema()
        .map_err(Error::qemu("cannot read QEMU's schema"))?;
    Ok(schema.has_command(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_file_that_was_handed_over_gets_another_name() {
        let mut options = json!({"driver": "qcow2", "node-name": "/a/image",
            "file": {"driver": "file", "filename": "/a/image"},
            "backing": {"driver": "file", "filename": "/a/other"}});
        rename(&mut options, Path::new("/a/image"), "/dev/fdset/3");
        assert_eq!(
            options,
            json!({"driver": "qcow2", "node-name": "/a/image",
                "file": {"driver": "file", "filename": "/dev/fdset/3"},
                "backing": {"driver": "file", "filename": "/a/other"}})
        );
    }

    #[test]
    fn a_file_is_known_by_its_path_whatever_qemu_calls_it() {
        let paths = Paths(vec![(3, name(3), "/a/image".into())]);
        assert_eq!(paths.of("/dev/fdset/3"), "/a/image");
        let described = r#"json:{"driver": "raw", "file": {"filename": "/dev/fdset/3"}}"#;
        assert_eq!(paths.of(described), "/a/image");
        assert_eq!(paths.of("/dev/fdset/33"), "/dev/fdset/33");
        assert_eq!(paths.of("/b"), "/b");
    }
}
