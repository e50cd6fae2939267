//! Names of what we make inside QEMU.
//!
//! Everything carries one prefix, so that it can be told from what others made, also by a clean-up
//! that runs much later. Node names have at most 31 characters (QAPI: a `node-name` is an
//! identifier of less than 32).

/// The prefix of every node, job and export of ours.
pub const PREFIX: &str = "fleece-";

/// Whether a node, job or export is ours.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The node of disk `n`'s fleecing image.
pub(crate) fn image(n: usize) -> String {
    format!("{PREFIX}img{n}")
}

/// Whether a node is one of our fleecing images.
pub(crate) fn is_image(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.starts_with("img"))
}

/// The copy-before-write filter of disk `n`.
pub(crate) fn filter(n: usize) -> String {
    format!("{PREFIX}cbw{n}")
}

/// The node through which disk `n`'s instant is read.
pub(crate) fn view(n: usize) -> String {
    format!("{PREFIX}acc{n}")
}

/// The job that holds disk `n`'s filter, where the filter belongs to a job.
pub(crate) fn job(n: usize) -> String {
    format!("{PREFIX}job{n}")
}

/// The export of disk `n`.
pub(crate) fn export(n: usize) -> String {
    format!("{PREFIX}exp{n}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_enough_for_the_largest_guest() {
        for name in [
            image(9999),
            filter(9999),
            view(9999),
            job(9999),
            export(9999),
        ] {
            assert!(is_ours(&name) && name.len() <= 31, "{name}");
        }
    }
}
