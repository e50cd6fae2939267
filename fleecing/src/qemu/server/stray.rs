//! The NBD server of a QEMU whose record is elsewhere, or lost. QEMU does not tell where its server listens;
//! the kernel does.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use fleece_guest_config::GuestId;
use fleece_qmp_client::commands::NbdServerStop;
use fleece_qmp_client::{Client, ErrorKind as QmpErrorKind};

use crate::error::Error;
use crate::journal::record;

/// The ending of the sockets of our servers, `<guest>.nbd` beside the guest's record.
const ENDING: &str = "nbd";

/// Stops a server with a socket like ours whose name is gone, with the directory of the record say: nobody
/// can reach it, and it is in the way of the next.
pub(crate) fn stop_unreachable(client: &Client) -> Result<(), Error> {
    if !sockets(client).iter().any(|socket| !socket.exists()) {
        return Ok(());
    }
    match client.execute(&NbdServerStop {}) {
        Err(error) if !matches!(error.kind(), QmpErrorKind::Command(_)) => {
            Err(Error::qemu("cannot stop the NBD server")(error))
        }
        _ => Ok(()),
    }
}

/// The directory and the guest of the record that belongs to a server.
pub(crate) fn record_of(client: &Client) -> Option<(PathBuf, GuestId)> {
    sockets(client).into_iter().find_map(|socket| {
        let guest = record::guest_of(socket.file_stem()?.to_str()?)?;
        let is_there = socket.with_extension("state").is_file();
        is_there.then(|| Some((socket.parent()?.to_owned(), guest)))?
    })
}

/// Where the process behind the monitor listens, as far as the sockets could be ours.
fn sockets(client: &Client) -> Vec<PathBuf> {
    let Some(process) = client.peer_process() else {
        return Vec::new();
    };
    let files = fs::read_dir(format!("/proc/{process}/fd"));
    let links = files.into_iter().flatten().flatten();
    let open: HashSet<String> = links
        .filter_map(|file| {
            file.path()
                .read_link()
                .ok()?
                .into_os_string()
                .into_string()
                .ok()
        })
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = fs::read_to_string(format!("/proc/{process}/net/unix")).unwrap_or_default();
    table
        .lines()
        .filter_map(listening)
        .filter(|(inode, _)| open.contains(*inode))
        .map(|(_, path)| PathBuf::from(path))
        .filter(|path| path.is_absolute() && path.extension().is_some_and(|end| end == ENDING))
        .collect()
}

/// Inode and path of a line of `/proc/net/unix` that tells of a listening socket (`proc_pid_net(5)`).
fn listening(line: &str) -> Option<(&str, &str)> {
    const ACCEPTS_CONNECTIONS: u32 = 1 << 16;
    let mut columns = line.splitn(7, ' ');
    let flags = u32::from_str_radix(columns.nth(3)?, 16).ok()?;
    let (inode, path) = columns.nth(2)?.trim_start().split_once(' ')?;
    (flags & ACCEPTS_CONNECTIONS != 0).then_some((inode, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_tells_who_listens_where() {
        for (line, expected) in [
            (
                "0000000000000000: 00000002 00000000 00010000 0001 01 41421 /run/a b/7.nbd",
                Some(("41421", "/run/a b/7.nbd")),
            ),
            (
                "0000000000000000: 00000003 00000000 00000000 0001 03 41423 /run/7.nbd",
                None,
            ),
            (
                "0000000000000000: 00000002 00000000 00010000 0001 01 41421",
                None,
            ),
            (
                "Num       RefCount Protocol Flags    Type St Inode Path",
                None,
            ),
            ("", None),
        ] {
            assert_eq!(listening(line), expected, "{line}");
        }
    }
}
