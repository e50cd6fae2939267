//! What somebody else keeps in a file and may write at any time.

use std::time::Duration;

/// How often it is read until it has not changed for a moment.
const TRIES: u32 = 20;
const MOMENT: Duration = Duration::from_millis(20);

/// Reads it after the instant: it is that of the instant if it is as `before`, and else the first that has lasted for a
/// moment. `None` if it changes all the time.
pub(super) fn lasting<E>(
    before: &[u8],
    read: impl Fn() -> Result<Vec<u8>, E>,
) -> Result<Option<Vec<u8>>, E> {
    let mut last = before.to_vec();
    for _ in 0..TRIES {
        let now = read()?;
        if now == last {
            return Ok(Some(now));
        }
        last = now;
        std::thread::sleep(MOMENT);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_has_lasted_for_a_moment_counts() {
        let reads = Cell::new(0_u8);
        let until = |end: u8| {
            reads.set(0);
            let read = || {
                reads.set(reads.get() + 1);
                Ok::<_, ()>(vec![reads.get().min(end)])
            };
            lasting(&[0], read).unwrap()
        };
        assert_eq!((until(0), reads.get()), (Some(vec![0]), 1));
        assert_eq!((until(2), reads.get()), (Some(vec![2]), 3));
        assert_eq!(until(u8::MAX), None);
        assert_eq!(lasting(&[], || Err("gone")), Err("gone"));
    }
}
