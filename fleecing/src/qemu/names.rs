//! Names of what we make inside QEMU.
//!
//! A name is a prefix, the kind of the thing and the number of a disk, and nothing else is ours: others,
//! too, may call theirs `fleece-…`. Node names have at most 31 characters (QAPI: a `node-name` is an
//! identifier of less than 32).

const PREFIX: &str = "fleece-";

/// The listening socket that QEMU's NBD server is given. It belongs to our connection.
pub(crate) const SOCKET: &str = "fleece-nbd";

/// What there is for each disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The node of the fleecing image.
    Image,
    /// The copy-before-write filter.
    Filter,
    /// The node through which the instant is read.
    View,
    /// The job that holds the filter, where the filter belongs to a job.
    Job,
    /// The export.
    Export,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Image,
        Self::Filter,
        Self::View,
        Self::Job,
        Self::Export,
    ];

    fn tag(self) -> &'static str {
        match self {
            Self::Image => "img",
            Self::Filter => "cbw",
            Self::View => "acc",
            Self::Job => "job",
            Self::Export => "exp",
        }
    }

    /// The name of disk `n`'s.
    pub(crate) fn name(self, n: usize) -> String {
        format!("{PREFIX}{}{n}", self.tag())
    }

    /// The disk whose name this is, to the letter.
    pub(crate) fn number(self, name: &str) -> Option<usize> {
        let digits = name.strip_prefix(PREFIX)?.strip_prefix(self.tag())?;
        digits.parse().ok().filter(|n| self.name(*n) == name)
    }
}

/// The node of disk `n`'s fleecing image.
pub(crate) fn image(n: usize) -> String {
    Kind::Image.name(n)
}

/// The copy-before-write filter of disk `n`.
pub(crate) fn filter(n: usize) -> String {
    Kind::Filter.name(n)
}

/// The node through which disk `n`'s instant is read.
pub(crate) fn view(n: usize) -> String {
    Kind::View.name(n)
}

/// The job that holds disk `n`'s filter, where the filter belongs to a job.
pub(crate) fn job(n: usize) -> String {
    Kind::Job.name(n)
}

/// The export of disk `n`.
pub(crate) fn export(n: usize) -> String {
    Kind::Export.name(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_enough_for_the_largest_guest_and_tell_their_disk() {
        for kind in Kind::ALL {
            let name = kind.name(9999);
            assert!(name.len() <= 31, "{name}");
            for other in Kind::ALL {
                assert_eq!(other.number(&name), (other == kind).then_some(9999));
            }
        }
    }

    #[test]
    fn names_of_others_are_not_ours() {
        for name in [
            "fleece-",
            "fleece-img",
            "fleece-img00",
            "fleece-img+1",
            "fleece-img1a",
            "fleece-image1",
            "fleece-data",
            "fleece-web-mirror",
            "Fleece-img1",
            "fleece-img99999999999999999999999",
            "img0",
        ] {
            assert!(
                Kind::ALL.iter().all(|kind| kind.number(name).is_none()),
                "{name}"
            );
        }
    }
}
