//! The state of an emulated TPM, which QEMU has nothing of: `swtpm` keeps it in a directory.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fleece_qmp_client::{Client, ErrorKind as QmpErrorKind};
use serde_json::Value;

use crate::command_line::{self, key, values};
use crate::error::{Error, ErrorKind};

/// The file of a TPM 2.0 in `swtpm`'s directory.
const STATE: &str = "tpm2-00.permall";

/// A TPM that another program emulates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tpm {
    /// Where its state is; otherwise why that is not known.
    state: Result<PathBuf, String>,
}

impl Tpm {
    /// The guest's TPM, if it has one.
    ///
    /// # Errors
    /// [`ErrorKind::Qemu`].
    pub fn of(client: &Client) -> Result<Option<Self>, Error> {
        let tpms = match client.execute_raw("query-tpm", None) {
            Ok(tpms) => tpms,
            // A storage daemon, or a QEMU without.
            Err(error) if matches!(error.kind(), QmpErrorKind::Command(_)) => return Ok(None),
            Err(error) => return Err(Error::qemu("cannot query the guest's TPM")(error)),
        };
        let chardev = tpms
            .pointer("/0/options/data/chardev")
            .and_then(Value::as_str);
        if tpms.as_array().is_none_or(Vec::is_empty) {
            return Ok(None);
        }
        let state = match chardev {
            Some(chardev) => locate(client, chardev),
            None => Err("it is the host's own".to_owned()),
        };
        Ok(Some(Self { state }))
    }

    /// Its state at this moment, at most `limit` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Tpm`] if it cannot be found or read, or is larger.
    pub fn read(&self, limit: usize) -> Result<Vec<u8>, Error> {
        let failed = |why: &str| {
            let message = format!("the state of the guest's TPM cannot be read: {why}");
            Error::new(ErrorKind::Tpm, message)
        };
        let path = self.state.as_ref().map_err(|why| failed(why))?;
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let mut state = Vec::new();
        File::open(path)
            .and_then(|file| file.take(most).read_to_end(&mut state))
            .map_err(|error| failed(&format!("{}: {error}", path.display())))?;
        match state.len() <= limit {
            true => Ok(state),
            false => Err(failed(&format!(
                "{} is larger than {limit} bytes",
                path.display()
            ))),
        }
    }
}

/// The state of the `swtpm` that serves QEMU's character device.
fn locate(client: &Client, chardev: &str) -> Result<PathBuf, String> {
    let qemu = command_line::of(client);
    let socket = values(&qemu, "chardev")
        .find(|value| key(value, "id") == Some(chardev))
        .and_then(|value| key(value, "path"))
        .ok_or("QEMU's command line, which tells where it is, cannot be read")?;
    let beside = client.peer_process().and_then(namespace);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for entry in processes {
        let Some(process) = entry.file_name().to_str().and_then(|id| id.parse().ok()) else {
            continue;
        };
        let arguments = command_line::of_process(process);
        let Some(path) = in_arguments(&arguments, socket) else {
            continue;
        };
        // In another container, the same path is another socket.
        let there = namespace(process);
        if there.is_some() && beside.is_some() && there != beside {
            continue;
        }
        return path.map(|path| as_seen(&entry.path(), &path));
    }
    Err(format!("no swtpm listens on {socket}"))
}

/// What tells one container's processes from another's.
fn namespace(process: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/pid")).ok()
}

/// A path as a process (a directory of `/proc`) sees it: from where it stands, and in its own file systems.
fn as_seen(process: &Path, path: &Path) -> PathBuf {
    let place = fs::read_link(process.join("cwd")).unwrap_or_default();
    let path = place.join(path);
    let there = path
        .strip_prefix("/")
        .map(|path| process.join("root").join(path));
    match there {
        Ok(there) if there.exists() => there,
        _ => path,
    }
}

/// The file of the state, if these are the arguments of the `swtpm` behind this socket.
fn in_arguments(arguments: &[String], socket: &str) -> Option<Result<PathBuf, String>> {
    let program = arguments.first()?;
    if Path::new(program).file_name()? != "swtpm" {
        return None;
    }
    let same = |path: &str| {
        Path::new(path).file_name() == Path::new(socket).file_name()
            && (path == socket || !path.starts_with('/') || !socket.starts_with('/'))
    };
    values(arguments, "ctrl").find(|ctrl| key(ctrl, "path").is_some_and(same))?;
    let state = values(arguments, "tpmstate").last().unwrap_or_default();
    let directory = key(state, "dir")
        .or_else(|| key(state, "backend-uri").and_then(|uri| uri.strip_prefix("dir://")));
    Some(match directory {
        Some(directory) => Ok(Path::new(directory).join(STATE)),
        None => Err("it is not in a directory".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_where_its_swtpm_was_told_to_keep_it() {
        let found = |line: &str| {
            let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
            in_arguments(&line, "/run/tpm.sock")
        };
        let swtpm = "/usr/bin/swtpm socket --ctrl type=unixio,path=/run/tpm.sock";
        let file = Some(Ok(PathBuf::from("/a/tpm2-00.permall")));
        assert_eq!(found(&format!("{swtpm} --tpmstate dir=/a,mode=0600")), file);
        assert_eq!(
            found(&format!("{swtpm} --tpmstate backend-uri=dir:///a")),
            file
        );
        let other = found(&format!("{swtpm} --tpmstate backend-uri=file:///a"));
        assert!(other.is_some_and(|found| found.is_err()));
        for line in [
            "",
            "swtpm",
            "cat --ctrl path=/run/tpm.sock",
            "swtpm --ctrl path=/b.sock",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }
}
