//! Names of backups.

use std::fmt;
use std::str::FromStr;

use fleece_guest_config::GuestId;
use jiff::civil::{Date, DateTime, Time};

use crate::report::error::{Error, ErrorKind};

/// `vzdump-qemu-<guest>-YYYY_MM_DD-HH_MM_SS.vma[.zst|.gz|.lzo][.age]`, as Proxmox names backups of virtual
/// machines, which takes those of guests without a number, or with one below 100, and those that are
/// encrypted, for others' files. The
/// time is local, and is what the age of a backup is reckoned by.
///
/// The time is as long as it is, so that whatever is in a guest's name, there is one way to read this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupName {
    guest: GuestId,
    time: DateTime,
    extension: String,
}

/// What archives are wrapped in, by the ends of their names. The last one is read by nobody any more, but
/// still counts as a backup, as it does for Proxmox.
pub(super) const EXTENSIONS: [&str; 9] = [
    "vma",
    "vma.zst",
    "vma.gz",
    "vma.lzo",
    "vma.age",
    "vma.zst.age",
    "vma.gz.age",
    "vma.lzo.age",
    UNREAD,
];

/// The end of the name of an archive that has to be decompressed first.
pub(super) const UNREAD: &str = "vma.bz2";

const PREFIX: &str = "vzdump-qemu-";

/// The one place where an archive gets its name.
fn stem(guest: &GuestId, time: DateTime) -> String {
    format!("{PREFIX}{guest}-{}", time.strftime("%Y_%m_%d-%H_%M_%S"))
}

impl BackupName {
    /// The name of a backup of `guest` that began at `time`, local time, of which parts of seconds are
    /// dropped. `wrapper` is `zst`, `gz`, `lzo` or nothing, and for an
    /// encrypted one `age` behind it.
    ///
    /// # Errors
    ///
    /// Kind [`ErrorKind::Request`] for another wrapper, or a year that has not four digits.
    pub fn new(guest: &GuestId, time: DateTime, wrapper: Option<&str>) -> Result<Self, Error> {
        let extension =
            wrapper.map_or_else(|| "vma".to_owned(), |wrapper| format!("vma.{wrapper}"));
        format!("{}.{extension}", stem(guest, time)).parse()
    }

    /// The guest.
    pub fn guest(&self) -> &GuestId {
        &self.guest
    }

    /// When the backup began: local time, to the second.
    pub fn time(&self) -> DateTime {
        self.time
    }

    /// The name without extension, to which `.log` is added.
    pub fn stem(&self) -> String {
        stem(&self.guest, self.time)
    }

    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (rest, extension) = EXTENSIONS.iter().find_map(|extension| {
            let rest = rest.strip_suffix(extension)?.strip_suffix('.')?;
            Some((rest, *extension))
        })?;
        let (rest, time) = rest.rsplit_once('-')?;
        let (guest, date) = rest.rsplit_once('-')?;
        let guest = guest.parse().ok()?;
        let [year, month, day] = numbers(date, [4, 2, 2])?;
        let [hour, minute, second] = numbers(time, [2, 2, 2])?;
        let date = Date::new(i16::try_from(year).ok()?, small(month)?, small(day)?).ok()?;
        let time = Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()?;
        Some(Self {
            guest,
            time: date.to_datetime(time),
            extension: extension.to_owned(),
        })
    }
}

impl FromStr for BackupName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text).ok_or_else(|| {
            let form = "vzdump-qemu-GUEST-YYYY_MM_DD-HH_MM_SS.vma[.zst|.gz|.lzo][.age]";
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
        *number_ = number(parts.next()?, width)?;
    }
    parts.next().is_none().then_some(numbers)
}

fn number(text: &str, width: usize) -> Option<u32> {
    let decimal = text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    decimal.then(|| text.parse().ok()).flatten()
}

fn small(number: u32) -> Option<i8> {
    i8::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    fn guest(text: &str) -> GuestId {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_written_and_read() {
        let time = date(2026, 11, 3).at(2, 0, 1, 0);
        let name = BackupName::new(&guest("100"), time, Some("zst")).unwrap();
        assert_eq!(
            name.to_string(),
            "vzdump-qemu-100-2026_11_03-02_00_01.vma.zst"
        );
        assert_eq!(name.to_string().parse::<BackupName>().unwrap(), name);
        assert_eq!((name.guest(), name.time()), (&guest("100"), time));
        assert_eq!(name.stem(), "vzdump-qemu-100-2026_11_03-02_00_01");
        assert_eq!(
            BackupName::new(&guest("100"), time, None)
                .unwrap()
                .to_string()
                .len(),
            39
        );
        assert!(BackupName::new(&guest("100"), time, Some("../x")).is_err());
    }

    #[test]
    fn a_guest_may_be_called_as_an_archive_is() {
        for text in [
            "web",
            "1",
            "999999999",
            "web-2026_01_01-00_00_00",
            "a.vma",
            "x.vma.zst",
            "a-b.c_d",
            "vzdump-qemu-100-2026_01_01-00_00_00.vma",
        ] {
            let time = date(2026, 11, 3).at(2, 0, 1, 0);
            let name = BackupName::new(&guest(text), time, Some("gz")).unwrap();
            let read: BackupName = name.to_string().parse().unwrap();
            assert_eq!((read.guest(), read.time()), (&guest(text), time));
        }
    }

    proptest! {
        #[test]
        fn the_name_of_an_archive_tells_whose_it_is_and_when(
            text in "[1-9][0-9]{0,8}|[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
            wrapper in prop::option::of(prop::sample::select(vec!["zst", "gz", "lzo", "age", "zst.age"])),
            second in 0_i64..4_000_000_000,
        ) {
            let Ok(guest) = text.parse::<GuestId>() else {
                return Ok(());
            };
            let time = jiff::Timestamp::from_second(second).unwrap();
            let time = time.to_zoned(jiff::tz::TimeZone::UTC).datetime();
            let name = BackupName::new(&guest, time, wrapper).unwrap();
            let read: BackupName = name.to_string().parse().unwrap();
            prop_assert_eq!(&read, &name);
            prop_assert_eq!((read.guest(), read.time()), (&guest, time));
        }
    }

    #[test]
    fn names_that_are_not_quite_so_are_not_standard() {
        for name in [
            "vzdump-lxc-100-2026_11_03-02_00_01.vma",
            "vzdump-qemu-010-2026_11_03-02_00_01.vma",
            "vzdump-qemu-+10-2026_11_03-02_00_01.vma",
            "vzdump-qemu-0-2026_11_03-02_00_01.vma",
            "vzdump-qemu--2026_11_03-02_00_01.vma",
            "vzdump-qemu-2026_11_03-02_00_01.vma",
            "vzdump-qemu-../web-2026_11_03-02_00_01.vma",
            "vzdump-qemu-.web-2026_11_03-02_00_01.vma",
            "vzdump-qemu-100-web-2026_11_03-02_00_01.vma",
            "vzdump-qemu-1000000000-2026_11_03-02_00_01.vma",
            "vzdump-qemu-100-2026_13_03-02_00_01.vma",
            "vzdump-qemu-100-2026_02_30-02_00_01.vma",
            "vzdump-qemu-100-2026_11_03-24_00_00.vma",
            "vzdump-qemu-100-2026_1_03-02_00_01.vma",
            "vzdump-qemu-100-2026_11_03-02_00.vma",
            "vzdump-qemu-100-2026_11_03-02_00_01_02.vma",
            "vzdump-qemu-100-2026_11_03-02_00_01.vma.xz",
            "vzdump-qemu-100-2026_11_03-02_00_01.age",
            "vzdump-qemu-100-2026_11_03-02_00_01.vma.age.zst",
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
