//! What can be done about an error or a warning, as data: a program puts it in the words of its own command
//! line.

/// The next step, where there is one that a caller can offer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// About the guest, its record, its disks or its fleecing images.
    Fleecing(fleece_fleecing::Advice),
}
