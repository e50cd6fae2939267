//! Which process runs a domain: libvirt tells its number to nobody, but gives it the domain's UUID.

use std::fs;

use crate::address::DomainAddress;

/// The process of a domain on this host.
pub(crate) fn of(domain: &DomainAddress) -> Option<u32> {
    if !domain.is_local() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|process: &u32| {
            let line = fs::read(format!("/proc/{process}/cmdline"));
            line.is_ok_and(|line| is_of(&line, domain.uuid()))
        })
}

/// Whether a command line has `-uuid UUID`, in arguments of their own.
fn is_of(line: &[u8], uuid: &str) -> bool {
    let mut arguments = line.split(|byte| *byte == 0);
    while let Some(argument) = arguments.next() {
        if argument == b"-uuid" {
            return arguments.next() == Some(uuid.as_bytes());
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_the_uuid_that_it_was_started_with() {
        let uuid = "6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10";
        let line = format!("qemu\0-name\0guest=web\0-uuid\0{uuid}\0-S\0");
        assert!(is_of(line.as_bytes(), uuid));
        assert!(!is_of(
            line.as_bytes(),
            "6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b11"
        ));
        assert!(!is_of(format!("grep\0-uuid {uuid}\0").as_bytes(), uuid));
    }
}
