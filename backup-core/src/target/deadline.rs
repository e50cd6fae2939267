//! What may hang for ever, done by a thread that can be abandoned.

use std::time::Duration;

use crossbeam_channel::{bounded, select};

use crate::job::cancel::CancelToken;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::units;

/// How long something that is under way may still take after it was given up.
pub(crate) const LAST_CHANCE: Duration = Duration::from_secs(3);

/// Does what needs the backup target, for at most `limit`, or until the job is cancelled.
///
/// `what` is told when it takes too long. Whatever comes of it later is dropped.
///
/// # Errors
/// The job's own; [`ErrorKind::Target`] if it takes too long, [`ErrorKind::Cancelled`].
pub fn at_target<T: Send + 'static>(
    what: &str,
    limit: Duration,
    cancel: &CancelToken,
    job: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (done, result) = bounded(1);
    std::thread::Builder::new()
        .name("target".into())
        .spawn(move || {
            let _ = done.send(job());
        })
        .map_err(|error| Error::caused(ErrorKind::Internal, "cannot start a thread", error))?;
    let died = |_| Err(Error::panicked());
    select! {
        recv(result) -> result => return result.unwrap_or_else(died),
        recv(cancel.fired()) -> _ => {}
        default(limit) => {}
    }
    match (result.recv_timeout(LAST_CHANCE), cancel.reason()) {
        (Ok(result), _) => result,
        (Err(_), Some(reason)) => Err(Error::cancelled(reason)),
        (Err(_), None) => Err(hangs(what, limit)),
    }
}

/// The error of a target that has not done `what` for so long.
pub(crate) fn hangs(what: &str, limit: Duration) -> Error {
    Error::new(
        ErrorKind::Target,
        format!(
            "the backup target hangs: {what} has taken longer than {}",
            units::duration(limit)
        ),
    )
    .advise(Advice::RepairTarget)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::cancel::CancelReason;

    const EVER: Duration = Duration::from_secs(3600);

    #[test]
    fn what_ends_gives_its_result() {
        let token = CancelToken::new();
        assert_eq!(at_target("it", EVER, &token, || Ok(7)).unwrap(), 7);
        let failed = at_target::<()>("it", EVER, &token, || {
            Err(Error::new(ErrorKind::Target, "no"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no");
    }

    #[test]
    fn what_hangs_is_given_up_after_its_time_and_on_cancellation() {
        let token = CancelToken::new();
        let hang = || {
            std::thread::park_timeout(EVER);
            Ok(())
        };
        let error = at_target("the sync", Duration::ZERO, &token, hang).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target);
        assert!(error.to_string().contains("the sync has taken"), "{error}");
        token.cancel(CancelReason::Terminated);
        let error = at_target("the sync", EVER, &token, hang).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled(CancelReason::Terminated));
    }

    #[test]
    fn what_is_nearly_done_when_it_is_cancelled_is_finished() {
        let token = CancelToken::new();
        token.cancel(CancelReason::Interrupted);
        assert_eq!(at_target("it", EVER, &token, || Ok(7)).unwrap(), 7);
    }
}
