//! Questions to storages that may not answer.
//!
//! QEMU asks its files, and waits for what is under way on them, in the main loop, which serves the
//! guest too: a fleecing image on a storage that hangs would hold up the guest. So Fleece looks first
//! whether the image answers, in a thread of its own, which can be left behind.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fleece_qmp_client::Interrupt;
use fleece_storage::{Plugin, VolumeId};
use rustix::fs::{Mode, OFlags};

use crate::advice::{Advice, CleanUp};
use crate::error::{Error, ErrorKind};

/// How long a storage may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The same for a program that was told to end.
const MOMENT: Duration = Duration::from_millis(700);

/// Asks; without an answer in time, it is given up.
pub(crate) fn ask<T: Send + 'static>(
    patience: Duration,
    interrupt: &Interrupt,
    question: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    const SLICE: Duration = Duration::from_millis(100);
    let answer = asked(question)?;
    let start = Instant::now();
    loop {
        let most = match interrupt.has_fired() {
            true => patience.min(MOMENT),
            false => patience,
        };
        let left = most.saturating_sub(start.elapsed());
        match answer.recv_timeout(left.min(SLICE)) {
            Ok(answer) => return Some(answer),
            Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
            Err(_) => return None,
        }
    }
}

fn asked<T: Send + 'static>(question: impl FnOnce() -> T + Send + 'static) -> Option<Receiver<T>> {
    let (sender, receiver) = sync_channel(1);
    let ask = move || {
        // Nobody listens any more once the time is up.
        let _ = sender.send(question());
    };
    let thread = thread::Builder::new().name("may-hang".into()).spawn(ask);
    thread.ok().map(|_| receiver)
}

/// What an image that hangs prevents while QEMU has it.
pub(crate) const WAY_BACK: &str = "QEMU, and the guest with it, would wait for it, so what was made in \
                                   QEMU stays there, on record";

/// What it prevents when QEMU has let go of it.
pub(crate) const FREEING: &str = "The image cannot be freed now, and stays on record";

/// Fails if one of the images is on a storage that hangs, and says what that `prevents`. One that fails
/// has answered.
pub(crate) fn must_answer(
    storage: &Arc<dyn Plugin>,
    images: &[VolumeId],
    interrupt: &Interrupt,
    prevents: &str,
) -> Result<(), Error> {
    for image in images {
        let question = {
            let (storage, image) = (Arc::clone(storage), image.clone());
            move || match storage.path(&image) {
                Ok(path) => drop(read_first(&path)),
                Err(_) => drop(storage.size(&image)),
            }
        };
        if ask(PATIENCE, interrupt, question).is_none() {
            let message = format!(
                "the fleecing image {image} does not answer: its storage hangs. {prevents} until the \
                 storage answers"
            );
            return Err(Error::new(ErrorKind::Hangs, message)
                .advise(Advice::CleanUpAfterwards(CleanUp::default())));
        }
    }
    Ok(())
}

/// Reads the first bytes from the storage itself, not from the page cache, where that can be told.
fn read_first(path: &Path) -> std::io::Result<()> {
    const BLOCK: usize = 4096;
    let open =
        |more| rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | more, Mode::empty());
    let file = File::from(open(OFlags::DIRECT).or_else(|_| open(OFlags::empty()))?);
    let mut buffer = vec![0; BLOCK.saturating_mul(2)];
    let aligned = buffer.as_ptr().align_offset(BLOCK);
    if let Some(block) = buffer
        .get_mut(aligned..)
        .and_then(|rest| rest.get_mut(..BLOCK))
    {
        file.read_at(block, 0)?;
    }
    Ok(())
}

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
    use std::process::Command;
    use std::slice;

    use fleece_storage::DirPlugin;

    use super::*;
    use crate::journal::record::{Place, Record};
    use crate::qemu::image;

    /// Nobody tells us to end.
    fn unasked() -> Interrupt {
        Interrupt::default()
    }

    /// A storage in `dir` and an image on it that hangs.
    fn hanging(dir: &Path) -> (Arc<dyn Plugin>, VolumeId) {
        let path = dir.join("vm-100-fleece-0.raw");
        // To open a FIFO waits for a writer, which never comes.
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let storage = DirPlugin::plain(dir).unwrap();
        (Arc::new(storage), VolumeId::at(&path).unwrap())
    }

    #[test]
    fn an_image_that_hangs_keeps_what_is_in_qemu_there() {
        let dir = tempfile::tempdir().unwrap();
        let (storage, image) = hanging(dir.path());
        let error =
            must_answer(&storage, slice::from_ref(&image), &unasked(), WAY_BACK).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Hangs);
        let told = error.to_string();
        assert!(told.contains("its storage hangs"), "{told}");
        assert!(told.contains("in QEMU stays there, on record"), "{told}");
    }

    #[test]
    fn of_an_image_that_hangs_when_it_is_freed_nothing_is_said_to_be_in_qemu() {
        let dir = tempfile::tempdir().unwrap();
        let (storage, image) = hanging(dir.path());
        let record = Record::open(&Place::new(dir.path(), "100".parse().unwrap(), None)).unwrap();
        record.add_image(&image).unwrap();
        let error = image::free(&storage, &record, &image, &unasked()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Hangs);
        let told = error.to_string();
        assert!(
            told.contains("its storage hangs. The image cannot be freed"),
            "{told}"
        );
        assert!(!told.contains("QEMU"), "{told}");
        assert_eq!(record.contents().unwrap().images, [image.to_string()]);
    }

    #[test]
    fn what_hangs_is_given_up() {
        assert_eq!(ask(PATIENCE, &unasked(), || 7), Some(7));
        let hang = || thread::sleep(Duration::from_secs(3600));
        assert_eq!(ask(Duration::from_millis(10), &unasked(), hang), None);
    }

    #[test]
    fn who_was_told_to_end_waits_a_moment_for_what_hangs() {
        let interrupt = Interrupt::default();
        let hang = || thread::sleep(Duration::from_secs(3600));
        let (asked, waits) = (interrupt.clone(), Duration::from_secs(3600));
        let waiter = thread::spawn(move || ask(waits, &asked, hang));
        interrupt.fire();
        assert_eq!(waiter.join().unwrap(), None);
        // What is done all the same on the way back gets its moment, too.
        interrupt.hear();
        assert_eq!(ask(waits, &interrupt, hang), None);
        assert_eq!(ask(waits, &interrupt, || 7), Some(7));
    }

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

    #[test]
    fn an_image_that_is_there_or_is_not_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        assert!(read_first(&path).is_err());
        std::fs::write(&path, [7; 100]).unwrap();
        read_first(&path).unwrap();
    }
}
