//! The key of a file, wrapped for one recipient.

/// A recipient stanza (C2SP age, "Recipient stanza").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stanza {
    pub(crate) tag: String,
    pub(crate) args: Vec<String>,
    pub(crate) body: Vec<u8>,
}
