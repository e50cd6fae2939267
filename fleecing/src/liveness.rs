//! Questions to storages that may not answer.
//!
//! QEMU asks its files, and waits for what is under way on them, in the main loop, which serves the
//! guest too: a fleecing image on a storage that hangs would hold up the guest. So Fleece looks first
//! whether the image answers, in a thread of its own, which can be left behind.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use fleece_qmp_client::Interrupt;
use fleece_storage::{Plugin, VolumeId};
use rustix::fs::{Mode, OFlags};

use crate::advice::{Advice, CleanUp};
use crate::error::{Error, ErrorKind};

/// How long a storage may take to answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// The same for a program that was told to end.
const MOMENT: Duration = Duration::from_millis(700);

/// Asks; without an answer in time, it is given up.
pub(crate) fn ask<T: Send + 'static>(
    timeout: Duration,
    interrupt: &Interrupt,
    question: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    const SLICE: Duration = Duration::from_millis(100);
    let answer = asked(question)?;
    let start = Instant::now();
    loop {
        let most = match interrupt.has_fired() {
            true => timeout.min(MOMENT),
            false => timeout,
        };
        let left = most.saturating_sub(start.elapsed());
        match answer.recv_timeout(left.min(SLICE)) {
            Ok(answer) => return Some(answer),
            Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
            Err(_) => return None,
        }
    }
}

/// Asks in a thread of its own; whoever wants the answer may leave it behind.
pub(crate) fn asked<T: Send + 'static>(
    question: impl FnOnce() -> T + Send + 'static,
) -> Option<Receiver<T>> {
    let (sender, receiver) = sync_channel(1);
    let ask = move || {
        // Nobody listens any more once the time is up.
        let _ = sender.send(question());
    };
    let thread = thread::Builder::new().name("may-hang".into()).spawn(ask);
    thread.ok().map(|_| receiver)
}

/// What an image that hangs prevents while QEMU has it.
pub(crate) const ATTACHED: &str = "QEMU, and the guest with it, would wait for it, so what was made in \
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
        if ask(TIMEOUT, interrupt, question).is_none() {
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

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::slice;

    use fleece_storage::DirPlugin;

    use super::*;

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
            must_answer(&storage, slice::from_ref(&image), &unasked(), ATTACHED).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Hangs);
        let told = error.to_string();
        assert!(told.contains("its storage hangs"), "{told}");
        assert!(told.contains("in QEMU stays there, on record"), "{told}");
    }

    #[test]
    fn what_hangs_is_given_up() {
        assert_eq!(ask(TIMEOUT, &unasked(), || 7), Some(7));
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
    fn an_image_that_is_there_or_is_not_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        assert!(read_first(&path).is_err());
        std::fs::write(&path, [7; 100]).unwrap();
        read_first(&path).unwrap();
    }
}
