//! How much of a storage the fleecing images take, asked again and again of one that may not answer.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::liveness::asked;

/// How much room files take, looked at again and again.
#[derive(Debug)]
pub(crate) struct Usage {
    files: Vec<PathBuf>,
    /// A look that has not ended is waited for by the next, so that there is never more than one.
    under_way: Mutex<Option<Look>>,
}

#[derive(Debug)]
struct Look {
    since: Instant,
    result: Receiver<Option<u64>>,
}

impl Usage {
    pub(crate) fn of(files: Vec<PathBuf>) -> Self {
        Self {
            files,
            under_way: Mutex::new(None),
        }
    }

    /// Bytes allocated for all of them; `None` if the storage does not tell, or not now.
    pub(crate) fn look(&self) -> Option<u64> {
        const SOON: Duration = Duration::from_millis(200);
        if self.files.is_empty() {
            return None;
        }
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let look = match under_way.take() {
            Some(look) => look,
            None => {
                let files = self.files.clone();
                Look {
                    since: Instant::now(),
                    result: asked(move || allocated(&files))?,
                }
            }
        };
        match look.result.recv_timeout(SOON) {
            Ok(used) => used,
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                *under_way = Some(look);
                None
            }
        }
    }

    /// How long the last look has waited for an answer.
    pub(crate) fn waits(&self) -> Option<Duration> {
        let under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        under_way.as_ref().map(|look| look.since.elapsed())
    }
}

fn allocated(files: &[PathBuf]) -> Option<u64> {
    const SECTOR: u64 = 512;
    let sizes = files.iter().map(|file| {
        let metadata = file.metadata().ok()?;
        metadata
            .is_file()
            .then(|| metadata.blocks().saturating_mul(SECTOR))
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn usage_is_what_is_allocated_and_unknown_for_what_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 30).unwrap();
        file.write_all_at(&[7; 65536], 1 << 20).unwrap();
        file.sync_all().unwrap();
        let used = Usage::of(vec![path.clone()]).look().unwrap();
        assert!((65536..1 << 20).contains(&used), "{used}");
        assert_eq!(Usage::of(vec![path, "/dev/null".into()]).look(), None);
        assert_eq!(Usage::of(Vec::new()).look(), None);
    }
}
