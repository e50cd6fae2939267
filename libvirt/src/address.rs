//! Which domain of which libvirt.

use std::fmt;
use std::str::FromStr;

/// A domain, wherever it is looked for from: the URI of a libvirt, and the domain's UUID, which no other domain
/// has and which stays when it gets another name.
///
/// As text it is `libvirt:UUID@URI`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DomainAddress {
    uuid: String,
    uri: String,
}

/// Begins the text of an address; no path of a socket does.
const PREFIX: &str = "libvirt:";
/// The length of a UUID as text.
const UUID: usize = 36;

impl DomainAddress {
    /// The domain with this UUID; `None` if it is none, or the URI cannot be one.
    #[must_use]
    pub fn new(uuid: &str, uri: &str) -> Option<Self> {
        let form = |(n, c): (usize, char)| match n {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        };
        let is_uuid = uuid.len() == UUID && uuid.chars().enumerate().all(form);
        let is_uri = !uri.is_empty() && !uri.starts_with('-') && !uri.contains(char::is_control);
        (is_uuid && is_uri).then(|| Self {
            uuid: uuid.to_ascii_lowercase(),
            uri: uri.to_owned(),
        })
    }

    /// The domain's UUID, in lower case.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The connection's URI, such as `qemu:///system`.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether libvirt runs on this host: a URI without a host's name, or one that names a socket only.
    pub(crate) fn is_local(&self) -> bool {
        let rest = self.uri.split_once("://").map(|(_, rest)| rest);
        rest.is_some_and(|rest| rest.starts_with('/'))
    }
}

impl FromStr for DomainAddress {
    type Err = NoDomainAddress;

    fn from_str(text: &str) -> Result<Self, NoDomainAddress> {
        let parts = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('@'));
        parts
            .and_then(|(uuid, uri)| Self::new(uuid, uri))
            .ok_or(NoDomainAddress)
    }
}

/// The text is no address of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoDomainAddress;

impl fmt::Display for NoDomainAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not libvirt:UUID@URI")
    }
}

impl std::error::Error for NoDomainAddress {}

impl fmt::Display for DomainAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}@{}", self.uuid, self.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10";

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let uri = "qemu+unix:///system?socket=/tmp/a@b/libvirt-sock";
        let address = DomainAddress::new(&UUID.to_uppercase(), uri).unwrap();
        assert_eq!(address.to_string().parse(), Ok(address.clone()));
        assert_eq!((address.uuid(), address.uri()), (UUID, uri));
        assert!(address.is_local());
        let far = DomainAddress::new(UUID, "qemu+ssh://host/system").unwrap();
        assert!(!far.is_local());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "/run/vm.qmp",
            "libvirt:web@qemu:///system",
            "libvirt:6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10@",
            "libvirt:6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10@-c",
            "libvirt:6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b1;@qemu:///system",
            "6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10@qemu:///system",
        ] {
            assert_eq!(
                text.parse::<DomainAddress>(),
                Err(NoDomainAddress),
                "{text}"
            );
        }
    }
}
