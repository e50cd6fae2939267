//! The account of a disk's changes in a file, from a clean end of its server to the next start.
//!
//! A line of JSON tells the archive and what the image was like; behind it is one bit for each 64 KiB of the disk, in words
//! of 64, little-endian. The file is removed before the image is served, so a server that is killed leaves none.

use std::fs::{self, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleece_staged_file::regular::{self, Links};
use fleece_staged_file::{StagedFile, sync_directory};
use serde::{Deserialize, Serialize};

use super::account::Balance;

/// What an image was like when the account was closed. Whoever has written to it since, or put another in its place, has
/// changed one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    /// Of the disk, in bytes.
    size: u64,
    device: u64,
    inode: u64,
    /// The time of its last change, which no program sets.
    changed: (i64, i64),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    archive: String,
    image: Identity,
}

/// The longest first line: a few numbers.
const MAX_HEAD: usize = 1024;

/// What one word of the bitmap stands for, in bytes.
const WORD: u64 = 64 << 16;

/// Who may read it.
const MODE: u32 = 0o600;

/// The steps of the clock by which files are stamped are no longer than this.
const TICK: Duration = Duration::from_millis(20);

/// Where the account of a disk lies.
fn place(directory: &Path, disk: &str) -> PathBuf {
    directory.join(format!("{disk}.changes"))
}

/// Takes the account of a disk of `size` bytes in an image out of a directory: if there was one, it is gone afterwards, also
/// after a power failure. `None`: nothing is known.
///
/// # Errors
/// If it cannot be removed; the disk must not be served then.
pub(super) fn take(
    directory: &Path,
    disk: &str,
    (image, size): (&Metadata, u64),
) -> io::Result<Option<Balance>> {
    let path = place(directory, disk);
    let most = size.div_ceil(WORD).saturating_mul(8);
    let most = most.saturating_add(MAX_HEAD as u64);
    let mut bytes = Vec::new();
    let read = regular::open(&path, Links::Refuse)
        .and_then(|file| file.take(most).read_to_end(&mut bytes));
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        removed => removed?,
    }
    sync_directory(directory)?;
    let known = read.ok().and_then(|_| parse(&bytes));
    let now = identity(image, size);
    Ok(known.and_then(|(image, balance)| (Some(image) == now).then_some(balance)))
}

/// Keeps the account of a disk that nobody uses any more, and whose image is synced. Of an image that is no file nobody can
/// tell whether it was written to: nothing is kept.
pub(super) fn keep(
    directory: &Path,
    disk: &str,
    (image, size): (&Metadata, u64),
    balance: &Balance,
) -> io::Result<()> {
    let Some(identity) = identity(image, size) else {
        return Ok(());
    };
    wait_for_a_new_stamp(image);
    let head = Head {
        archive: balance.since.clone(),
        image: identity,
    };
    let mut bytes = serde_json::to_vec(&head)?;
    bytes.push(b'\n');
    bytes.extend(to_bytes(&balance.marked));
    let mut staged = StagedFile::create(&place(directory, disk), MODE)?;
    staged.write_all(&bytes)?;
    // What a power failure takes away is read once.
    let _ = staged.commit_replacing()?;
    Ok(())
}

fn identity(image: &Metadata, size: u64) -> Option<Identity> {
    image.is_file().then(|| Identity {
        size,
        device: image.dev(),
        inode: image.ino(),
        changed: (image.ctime(), image.ctime_nsec()),
    })
}

/// A write that follows gets another stamp than the last one.
fn wait_for_a_new_stamp(image: &Metadata) {
    let since = |time: Duration| {
        let seconds = u64::try_from(image.ctime()).ok()?;
        let nanoseconds = u32::try_from(image.ctime_nsec()).ok()?;
        time.checked_sub(Duration::new(seconds, nanoseconds))
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    if now.ok().and_then(since).is_none_or(|since| since < TICK) {
        std::thread::sleep(TICK);
    }
}

/// What such a file says.
fn parse(bytes: &[u8]) -> Option<(Identity, Balance)> {
    let end = bytes
        .iter()
        .take(MAX_HEAD)
        .position(|byte| *byte == b'\n')?;
    let (head, rest) = bytes.split_at_checked(end)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    let digits = head.archive.as_bytes();
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let (words, left) = rest.get(1..)?.as_chunks::<8>();
    let count = head.image.size.div_ceil(WORD);
    let fits = digits.len() == 32
        && digits.iter().all(is_hex)
        && left.is_empty()
        && words.len() as u64 == count;
    let balance = Balance {
        since: head.archive,
        marked: words.iter().map(|word| u64::from_le_bytes(*word)).collect(),
    };
    fits.then_some((head.image, balance))
}

/// Whether bytes are an account, for fuzzing.
pub(super) fn is_account(bytes: &[u8]) -> bool {
    parse(bytes).is_some()
}

/// A bitmap as it is in the file.
pub(super) fn to_bytes(marked: &[u64]) -> Vec<u8> {
    marked.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = (65 << 16) + 100;

    fn balance() -> Balance {
        Balance {
            since: "0123456789abcdef0123456789abcdef".into(),
            marked: vec![5, 2],
        }
    }

    #[test]
    fn an_account_is_taken_once_and_only_for_the_image_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let (dir, image) = (directory.path(), directory.path().join("disk.raw"));
        let write = |bytes: &[u8]| fs::write(&image, bytes).unwrap();
        let known = || fs::metadata(&image).unwrap();
        let keep = || keep(dir, "drive-a", (&known(), SIZE), &balance()).unwrap();
        let take = |size| take(dir, "drive-a", (&known(), size)).unwrap();
        write(b"some");
        assert_eq!(take(SIZE), None);
        keep();
        assert_eq!(take(SIZE), Some(balance()));
        assert_eq!(take(SIZE), None, "it is gone");
        keep();
        write(b"same");
        assert_eq!(take(SIZE), None, "written to meanwhile");
        keep();
        assert_eq!(take(SIZE + 512), None, "resized");
        keep();
        fs::rename(&image, dir.join("old")).unwrap();
        write(b"same");
        assert_eq!(take(SIZE), None, "another image");
        // A device, of which nobody can tell.
        let device = fs::metadata("/dev/null").unwrap();
        super::keep(dir, "drive-a", (&device, SIZE), &balance()).unwrap();
        assert_eq!(take(SIZE), None);
    }

    #[test]
    fn what_is_no_account_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("disk.raw");
        fs::write(&image, "x").unwrap();
        let known = fs::metadata(&image).unwrap();
        keep(directory.path(), "a", (&known, SIZE), &balance()).unwrap();
        let sound = fs::read(directory.path().join("a.changes")).unwrap();
        assert!(is_account(&sound));
        for cut in 0..sound.len() {
            assert!(!is_account(&sound[..cut]), "{cut}");
        }
        let more = [&sound[..], &[0]].concat();
        let text = String::from_utf8_lossy(&sound).into_owned();
        for other in [
            more,
            text.replace("abcdef", "abcdeg").into_bytes(),
            text.replace("device", "devices").into_bytes(),
        ] {
            assert!(!is_account(&other));
        }
        // One that cannot be read is removed all the same.
        let trap = directory.path().join("b.changes");
        std::os::unix::fs::symlink(&image, &trap).unwrap();
        assert_eq!(take(directory.path(), "b", (&known, SIZE)).unwrap(), None);
        assert!(trap.symlink_metadata().is_err() && image.exists());
    }
}
