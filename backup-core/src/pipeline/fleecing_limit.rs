//! The end of a backup whose fleecing images would take too much space.

use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::units;

/// Foresees the moment at which the images hold more than they may.
#[derive(Debug)]
pub(crate) struct FleecingLimit {
    limit: u64,
    last: u64,
}

impl FleecingLimit {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, last: 0 }
    }

    /// Takes what the images hold now; the error when they would hold too much by the next look, if
    /// they grew on as they did since the last.
    pub(crate) fn check(&mut self, used: u64) -> Option<Error> {
        let growth = used.saturating_sub(self.last);
        self.last = used;
        (used.saturating_add(growth) > self.limit).then(|| {
            Error::new(
                ErrorKind::Storage,
                format!(
                    "the fleecing images hold {} and would soon hold more than their limit of {}: the guest \
                     overwrites faster than the backup is written; its writes were not affected",
                    units::bytes(used),
                    units::bytes(self.limit)
                ),
            )
            .advise(Advice::RaiseFleecingLimit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_comes_before_the_limit_is_exceeded() {
        let mut limit = FleecingLimit::new(100);
        for used in [0, 20, 45, 70, 70, 80, 85, 90, 30, 60] {
            assert!(limit.check(used).is_none(), "{used}");
        }
        let error = limit.check(81).unwrap();
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert_eq!(error.advice(), Some(&Advice::RaiseFleecingLimit));
        assert!(FleecingLimit::new(100).check(51).is_some());
    }
}
