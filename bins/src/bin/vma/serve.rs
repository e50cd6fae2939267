//! `vma serve`.

use std::sync::Arc;
use std::time::Duration;

use fleece_archive_io::ArchiveExport;
use fleece_nbd::{Address, Server, ServerOptions};

use fleece_bins::advice::chain;

use super::cli::ServeArgs;
use super::copy::{Make, open_seekable};
use super::failure::{Failure, Result};
use super::input::{anywhere, chosen};
use super::report;
use super::report::print_text;
use fleece_bins::{events, signals};
use serde_json::json;

/// How long clients' requests under way may take at the end.
const GRACE: Duration = Duration::from_secs(1);

/// Serves disks until a signal comes.
pub(super) fn serve(args: &ServeArgs) -> Result<()> {
    let archive = Arc::new(open_seekable(&args.archive, &args.copy, Make::Needed)?);
    anywhere(&archive)?;
    let mut disks = chosen(archive.header(), args.drives.as_deref())?;
    // Saved RAM is no disk.
    disks.retain(|device| !device.is_vmstate());
    if disks.is_empty() {
        return Err(Failure::new("the archive has no disks to serve"));
    }
    let server = Server::start(&args.address(), &ServerOptions::default()).map_err(failed)?;
    let mut uris = String::new();
    for disk in disks {
        let export = ArchiveExport::new(Arc::clone(&archive), disk);
        server
            .add_export(disk.name(), Arc::new(export))
            .map_err(failed)?;
        let uri = server.address().uri(disk.name());
        report::event(&events::status_of(
            json!({"device": disk.name(), "uri": uri}),
        ))?;
        uris.push_str(&format!("{uri}\n"));
    }
    if !report::is_events() {
        print_text(&uris)?;
    }
    // Never a message: it is disconnected by a signal.
    let _ = signals::token().fired().recv();
    server.shutdown(GRACE).map_err(failed)
}

impl ServeArgs {
    /// A port by itself is one of this machine's own. Others than this machine's addresses are refused by the server: NBD has
    /// no passwords.
    fn address(&self) -> Address {
        #[cfg(unix)]
        if let Some(socket) = &self.socket {
            return Address::Unix(socket.clone());
        }
        let tcp = self.tcp.as_deref().unwrap_or_default();
        Address::Tcp(match tcp.parse::<u16>() {
            Ok(port) => format!("127.0.0.1:{port}"),
            Err(_) => tcp.to_owned(),
        })
    }
}

fn failed(error: fleece_nbd::Error) -> Failure {
    Failure::new(chain(&error))
}
