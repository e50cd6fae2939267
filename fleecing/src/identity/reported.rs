//! What a guest's QEMU says of it.

use fleece_guest_config::GuestId;
use fleece_qmp_client::commands::{QueryName, QueryUuid};
use fleece_qmp_client::{ErrorClass, Options};

use crate::address::GuestAddress;
use crate::error::{Error, ErrorKind};

/// What QEMU was given on its command line. A storage daemon tells nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reported {
    /// `-name`, as it is: any text.
    pub(super) text: Option<String>,
    /// `-uuid`, in lower case.
    pub(super) uuid: Option<String>,
}

impl Reported {
    /// Asks the guest's monitor.
    pub(super) fn by(monitor: &GuestAddress) -> Result<Self, fleece_qmp_client::Error> {
        let client = monitor.connect(&Options::default())?;
        let known =
            |error: &fleece_qmp_client::Error| error.class() == Some(ErrorClass::CommandNotFound);
        let text = match client.execute(&QueryName {}) {
            Ok(name) => name.name,
            Err(error) if known(&error) => None,
            Err(error) => return Err(error),
        };
        let uuid = match client.execute(&QueryUuid {}) {
            Ok(uuid) => uuid_of(&uuid.uuid),
            Err(error) if known(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { text, uuid })
    }

    /// The name, if it can be one.
    pub(super) fn name(&self) -> Option<&str> {
        let fits = |text: &&str| GuestId::from_text(text).is_some();
        self.text.as_deref().map(str::trim).filter(fits)
    }
}

/// A uuid that tells guests apart: not the one of zeroes, which is that of all who were given none.
fn uuid_of(text: &str) -> Option<String> {
    let form = |(n, c): (usize, char)| match n {
        8 | 13 | 18 | 23 => c == '-',
        _ => c.is_ascii_hexdigit(),
    };
    let is_uuid = text.len() == 36 && text.chars().enumerate().all(form);
    let is_null = text.chars().all(|c| matches!(c, '0' | '-'));
    (is_uuid && !is_null).then(|| text.to_ascii_lowercase())
}

/// The error for a monitor that cannot be asked.
pub(super) fn cannot_ask(error: fleece_qmp_client::Error) -> Error {
    Error::caused(ErrorKind::Qemu, "cannot use the guest's monitor", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_one_and_not_that_of_everybody() {
        let uuid = "6A3F0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10";
        assert_eq!(uuid_of(uuid), Some(uuid.to_ascii_lowercase()));
        for text in [
            "00000000-0000-0000-0000-000000000000",
            "",
            "6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b1",
            "6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b1\n",
            "6a3f0f3e08c0e04b0f09c3e02f7f4a1d8b10",
        ] {
            assert_eq!(uuid_of(text), None, "{text:?}");
        }
    }
}
