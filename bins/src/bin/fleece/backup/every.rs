//! All domains of a libvirt that run, one after the other.

use fleece_backup_core::fleece_libvirt::Domain;
use fleece_backup_core::qemu::running_domains;
use fleece_backup_core::{CancelToken, Error, ErrorKind};
use serde_json::json;

use crate::advice;
use crate::cli::Command;
use crate::cli::backup::Backup;
use crate::log::Log;
use crate::options;
use fleece_bins::exit;
use fleece_fleet::worst;

/// Backs each of them up by `one`, which returns an exit code. One that fails does not keep the others from theirs;
/// returns the worst exit code.
pub(super) fn domain(
    arguments: &Backup,
    log: &Log,
    cancel: &CancelToken,
    one: impl Fn(&Backup) -> Result<u8, Error>,
) -> Result<u8, Error> {
    let refuse = |message: &str| Err(Error::new(ErrorKind::Request, message));
    if arguments.which.to_who().given.is_some() {
        return refuse(
            "--vmid and --name are for one guest, and --libvirt without a name is for all domains",
        );
    }
    if arguments.to.as_os_str() == "-" {
        return refuse(
            "the archives of several domains need a directory or a storage, not standard output",
        );
    }
    let domains = running_domains(arguments.which.connect.as_deref(), cancel)?;
    if domains.is_empty() {
        log.info("no domain runs");
    }
    let mut ended = Vec::new();
    for domain in &domains {
        let code = of_domain(domain).and_then(|each| one(&each));
        let code = code.unwrap_or_else(|error| {
            log.warning(&format!("{}: {}", domain.name(), advice::text(&error)));
            exit::number(&error)
        });
        ended.push((domain.name(), code));
        if let Some(reason) = cancel.reason() {
            return Err(Error::cancelled(reason));
        }
    }
    for (name, code) in &ended {
        log.info(&match *code {
            0 => format!("{name}: done"),
            exit::WARNINGS => format!("{name}: done, with warnings"),
            code => format!("{name}: failed ({code})"),
        });
    }
    let domains = ended.iter();
    let domains = domains.map(|(name, code)| json!({ "domain": name, "exit_code": code }));
    log.result(&json!({ "domains": domains.collect::<Vec<_>>() }));
    Ok(worst(ended.iter().map(|(_, code)| *code)))
}

/// The same backup of this domain, with what its section of the configuration says.
fn of_domain(domain: &Domain) -> Result<Backup, Error> {
    let cli = options::parse_with(&format!("--libvirt={}", domain.name()))?;
    let Command::Backup(mut each) = cli.command else {
        let message = "the command line of one domain is no backup";
        return Err(Error::new(ErrorKind::Internal, message));
    };
    each.which.libvirt = Some(Some(domain.address().uuid().to_owned()));
    Ok(*each)
}
