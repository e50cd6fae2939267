//! A bandwidth limit that several processes share: what one leaves unused, the others have.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

/// How far the bytes handed out may run ahead of the clock, as in a limit of one process.
const BURST: u64 = 100_000_000;

/// A file that says until when all bytes that were handed out are paid for, in nanoseconds since the boot: eight bytes, little
/// endian, under a lock. Whoever books waits behind those who booked before.
#[derive(Debug)]
pub(super) struct SharedLimit {
    file: File,
    bytes_per_second: u64,
}

impl SharedLimit {
    /// The one in this file, which is made if it is not there.
    pub(super) fn open(path: &Path, bytes_per_second: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        Ok(Self {
            file: options.mode(0o600).open(path)?,
            bytes_per_second: bytes_per_second.max(1),
        })
    }

    /// Books `bytes`, and says how long to wait before moving them.
    pub(super) fn book(&self, bytes: u64) -> io::Result<Duration> {
        self.file.lock()?;
        let booked = self.book_at(bytes, since_boot()?);
        self.file.unlock()?;
        booked
    }

    fn book_at(&self, bytes: u64, now: u64) -> io::Result<Duration> {
        let mut paid = [0; 8];
        // A new file is empty.
        let read = self.file.read_at(&mut paid, 0)?;
        let paid = if read == paid.len() {
            u64::from_le_bytes(paid)
        } else {
            0
        };
        let price = u128::from(bytes)
            .saturating_mul(1_000_000_000)
            .checked_div(u128::from(self.bytes_per_second));
        let price = price
            .and_then(|price| price.try_into().ok())
            .unwrap_or(u64::MAX);
        // Time in which nothing was moved is lost, not saved up.
        let start = paid.max(now);
        self.file
            .write_all_at(&start.saturating_add(price).to_le_bytes(), 0)?;
        let wait = start.saturating_sub(now).saturating_sub(BURST);
        Ok(Duration::from_nanos(wait))
    }
}

/// Nanoseconds since the boot, the same for all processes and whatever becomes of the clock on the wall; by hundredths of a
/// second (`proc_uptime(5)`).
fn since_boot() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/uptime")?;
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "/proc/uptime has no time in it");
    let seconds: f64 = text
        .split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .ok_or_else(wrong)?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    u64::try_from(time.as_nanos()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn those_who_share_a_file_wait_for_each_other_and_one_alone_has_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("limit");
        let [one, other] = [(); 2].map(|()| SharedLimit::open(&path, 1 << 20).unwrap());
        assert_eq!(one.book_at(1 << 20, 5 * SECOND).unwrap(), Duration::ZERO);
        let wait = other.book_at(1 << 20, 5 * SECOND).unwrap();
        assert_eq!(wait, Duration::from_millis(900));
        let wait = one.book_at(1, 5 * SECOND).unwrap();
        assert_eq!(wait, Duration::from_millis(1900));
        // A minute later nobody has booked anything meanwhile, and nothing was saved up.
        assert_eq!(other.book_at(1 << 20, 65 * SECOND).unwrap(), Duration::ZERO);
        let wait = other.book_at(1 << 20, 65 * SECOND).unwrap();
        assert_eq!(wait, Duration::from_millis(900));
        assert!(one.book(0).unwrap() < Duration::from_secs(3600 * 24 * 365 * 50));
    }
}
