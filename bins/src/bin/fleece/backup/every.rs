//! All domains of a libvirt that run, one after the other.

use fleece_backup_core::qemu::running_domains;
use fleece_backup_core::{CancelToken, Error, ErrorKind};
use serde_json::json;

use crate::advice;
use crate::cli::backup::Backup;
use crate::log::Log;
use fleece_bins::exit;

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
        let mut each = arguments.clone();
        each.which.libvirt = Some(Some(domain.address().uuid().to_owned()));
        let code = one(&each).unwrap_or_else(|error| {
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

/// Failures are worse than warnings, whatever their numbers.
fn worst(codes: impl Iterator<Item = u8>) -> u8 {
    let rank = |code: &u8| match *code {
        0 => (0, 0),
        exit::WARNINGS => (1, 0),
        code => (2, code),
    };
    codes.max_by_key(rank).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_worse_than_any_warning() {
        assert_eq!(worst([].into_iter()), 0);
        assert_eq!(worst([0, 3, 0].into_iter()), 3);
        assert_eq!(worst([3, 1, 0].into_iter()), 1);
        assert_eq!(worst([1, 5, 3].into_iter()), 5);
    }
}
