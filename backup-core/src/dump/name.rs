//! Names of backups.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};

use crate::{Error, ErrorKind};

/// `vzdump-qemu-<vmid>-YYYY_MM_DD-HH_MM_SS.vma[.zst|.gz|.lzo]`, as Proxmox names backups of
/// virtual machines. The time is local, and is what the age of a backup is reckoned by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupName {
    vmid: u32,
    time: DateTime,
    extension: String,
}

/// What archives are wrapped in, by the ends of their names. Proxmox has one more, which is read by
/// nobody any more but still counts as a backup.
const EXTENSIONS: [&str; 5] = ["vma", "vma.zst", "vma.gz", "vma.lzo", "vma.bz2"];

impl BackupName {
    /// The name of a backup of guest `vmid` that began at `time`, local time. `wrapper` is `zst`,
    /// `gz`, `lzo` or nothing.
    ///
    /// # Errors
    ///
    /// Kind [`ErrorKind::Request`] for another wrapper, or a vmid that Proxmox would not take: less
    /// than 100 or more than nine digits.
    pub fn new(vmid: u32, time: DateTime, wrapper: Option<&str>) -> Result<Self, Error> {
        let extension =
            wrapper.map_or_else(|| "vma".to_owned(), |wrapper| format!("vma.{wrapper}"));
        let stamp = time.strftime("%Y_%m_%d-%H_%M_%S");
        format!("vzdump-qemu-{vmid}-{stamp}.{extension}").parse()
    }

    /// The guest.
    pub fn vmid(&self) -> u32 {
        self.vmid
    }

    /// When the backup began: local time, to the second.
    pub fn time(&self) -> DateTime {
        self.time
    }

    /// The name without extension, to which `.log` is added.
    pub fn stem(&self) -> String {
        format!(
            "vzdump-qemu-{}-{}",
            self.vmid,
            self.time.strftime("%Y_%m_%d-%H_%M_%S")
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("vzdump-qemu-")?;
        let (stem, extension) = rest.split_once('.')?;
        let (vmid, stamp) = stem.split_once('-')?;
        let vmid = number(vmid, 3..=9).filter(|_| !vmid.starts_with('0'))?;
        let (date, time) = stamp.split_once('-')?;
        let [year, month, day] = numbers(date, [4, 2, 2])?;
        let [hour, minute, second] = numbers(time, [2, 2, 2])?;
        let date = Date::new(i16::try_from(year).ok()?, small(month)?, small(day)?).ok()?;
        let time = Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()?;
        EXTENSIONS.contains(&extension).then(|| Self {
            vmid,
            time: date.to_datetime(time),
            extension: extension.to_owned(),
        })
    }
}

impl FromStr for BackupName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text).ok_or_else(|| {
            let form = "vzdump-qemu-VMID-YYYY_MM_DD-HH_MM_SS.vma[.zst|.gz|.lzo]";
            Error::new(
                ErrorKind::Request,
                format!("{text:?} is not of the form {form}"),
            )
        })
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stem(), self.extension)
    }
}

/// The name of an archive without its extension; `None` if it is not named like one.
pub(super) fn archive_stem(file_name: &str) -> Option<&str> {
    let stem = EXTENSIONS
        .iter()
        .find_map(|extension| file_name.strip_suffix(extension)?.strip_suffix('.'))?;
    (!stem.is_empty() && !stem.starts_with('.')).then_some(stem)
}

/// `2026_11_23` with widths 4, 2, 2.
fn numbers<const N: usize>(text: &str, widths: [usize; N]) -> Option<[u32; N]> {
    let mut parts = text.split('_');
    let mut numbers = [0; N];
    for (number_, width) in numbers.iter_mut().zip(widths) {
        *number_ = number(parts.next()?, width..=width)?;
    }
    parts.next().is_none().then_some(numbers)
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let decimal = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    decimal.then(|| text.parse().ok()).flatten()
}

fn small(number: u32) -> Option<i8> {
    i8::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn names_are_written_and_read() {
        let time = date(2026, 11, 3).at(2, 0, 1, 0);
        let name = BackupName::new(100, time, Some("zst")).unwrap();
        assert_eq!(
            name.to_string(),
            "vzdump-qemu-100-2026_11_03-02_00_01.vma.zst"
        );
        assert_eq!(name.to_string().parse::<BackupName>().unwrap(), name);
        assert_eq!((name.vmid(), name.time()), (100, time));
        assert_eq!(name.stem(), "vzdump-qemu-100-2026_11_03-02_00_01");
        assert_eq!(
            BackupName::new(100, time, None).unwrap().to_string().len(),
            39
        );
        assert!(BackupName::new(7, time, None).is_err());
        assert!(BackupName::new(100, time, Some("../x")).is_err());
    }

    #[test]
    fn names_that_are_not_quite_so_are_not_standard() {
        for name in [
            "vzdump-lxc-100-2026_11_03-02_00_01.vma",
            "vzdump-qemu-010-2026_11_03-02_00_01.vma",
            "vzdump-qemu-+10-2026_11_03-02_00_01.vma",
            "vzdump-qemu-10-2026_11_03-02_00_01.vma",
            "vzdump-qemu-1000000000-2026_11_03-02_00_01.vma",
            "vzdump-qemu-100-2026_13_03-02_00_01.vma",
            "vzdump-qemu-100-2026_02_30-02_00_01.vma",
            "vzdump-qemu-100-2026_11_03-24_00_00.vma",
            "vzdump-qemu-100-2026_1_03-02_00_01.vma",
            "vzdump-qemu-100-2026_11_03-02_00.vma",
            "vzdump-qemu-100-2026_11_03-02_00_01_02.vma",
            "vzdump-qemu-100-2026_11_03-02_00_01.vma.xz",
            "vzdump-qemu-100-2026_11_03-02_00_01-old.vma",
            "vzdump-qemu-100-2026_11_03-02_00_01.vma.zst.notes",
            "vzdump-qemu-100.vma",
            "",
        ] {
            assert!(name.parse::<BackupName>().is_err(), "{name}");
        }
    }

    #[test]
    fn archives_are_known_by_the_ends_of_their_names() {
        assert_eq!(archive_stem("a.vma.zst"), Some("a"));
        assert_eq!(archive_stem("a.b.vma"), Some("a.b"));
        for name in [
            "a.zst",
            ".vma",
            ".a.vma.zst.tmp",
            ".a.vma",
            "a.vma.idx",
            "avma",
        ] {
            assert_eq!(archive_stem(name), None, "{name}");
        }
    }
}
