//! The end of a backup whose fleecing images would take too much space.

use super::shared_fleecing::SharedFleecing;
use crate::pace::options::Pacing;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::units;

/// Foresees the moment at which the images hold more than they may.
#[derive(Debug)]
pub(crate) struct FleecingLimit {
    own: Option<u64>,
    shared: Option<SharedFleecing>,
    last: u64,
}

impl FleecingLimit {
    /// The limits of a backup, if there are any.
    pub(crate) fn new(pacing: &Pacing) -> Result<Self, Error> {
        let shared = pacing.shared_fleecing.as_ref().map(|(path, limit)| {
            SharedFleecing::open(path, *limit).map_err(|error| {
                let message = format!("cannot share a limit in {}", path.display());
                Error::caused(ErrorKind::Storage, message, error)
            })
        });
        Ok(Self {
            own: pacing.fleecing_limit,
            shared: shared.transpose()?,
            last: 0,
        })
    }

    /// Takes what the images hold now; the error when they would hold too much by the next look, if
    /// they grew on as they did since the last.
    pub(crate) fn check(&mut self, used: u64) -> Option<Error> {
        let growth = used.saturating_sub(self.last);
        self.last = used;
        let want = used.saturating_add(growth);
        if let Some(limit) = self.own.filter(|limit| want > *limit) {
            return Some(too_much(used, "their limit", limit));
        }
        let shared = self.shared.as_ref()?;
        // What cannot be shared any more is the limit of each.
        let is_too_much = shared.is_too_much(want).unwrap_or(want > shared.limit);
        let whose = "the limit that they share with those of other backups";
        is_too_much.then(|| too_much(used, whose, shared.limit))
    }
}

fn too_much(used: u64, whose: &str, limit: u64) -> Error {
    let (used, limit) = (units::bytes(used), units::bytes(limit));
    Error::new(
        ErrorKind::Storage,
        format!(
            "the fleecing images hold {used} and would soon hold more than {whose} of {limit}: the guest overwrites faster \
             than the backup is written; its writes were not affected"
        ),
    )
    .advise(Advice::RaiseFleecingLimit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(own: Option<u64>) -> FleecingLimit {
        FleecingLimit {
            own,
            shared: None,
            last: 0,
        }
    }

    #[test]
    fn the_end_comes_before_the_limit_is_exceeded() {
        assert!(with(None).check(u64::MAX).is_none());
        let mut limit = with(Some(100));
        for used in [0, 20, 45, 70, 70, 80, 85, 90, 30, 60] {
            assert!(limit.check(used).is_none(), "{used}");
        }
        let error = limit.check(81).unwrap();
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert_eq!(error.advice(), Some(&Advice::RaiseFleecingLimit));
        assert!(with(Some(100)).check(51).is_some());
    }
}
