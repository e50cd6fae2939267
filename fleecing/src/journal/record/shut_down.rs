//! A domain that was shut down, as a line of the record.

use std::time::Duration;

use fleece_libvirt::DomainAddress;

/// A domain that libvirt was asked to shut down, and that is to run again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutDown {
    /// Until when, since 1970, the guest may still do so; zero if it is known to have done it.
    pub until: Duration,
    /// The domain.
    pub domain: DomainAddress,
}

impl ShutDown {
    pub(super) fn read(text: &str) -> Option<Self> {
        let (until, domain) = text.split_once(' ')?;
        Some(Self {
            until: Duration::from_secs(until.parse().ok()?),
            domain: domain.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_domain_wherever_it_is_looked_for_from() {
        let line =
            "17 libvirt:6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10@qemu+unix:///system?socket=/a b";
        let read = ShutDown::read(line).unwrap();
        assert_eq!(read.until, Duration::from_secs(17));
        assert_eq!(read.domain.uri(), "qemu+unix:///system?socket=/a b");
        for wrong in ["", "17", "17 /run/a.qmp", "x libvirt:a@b"] {
            assert_eq!(ShutDown::read(wrong), None, "{wrong}");
        }
    }
}
