//! Times of files.

use crate::tree::Time;

/// A date and a time as MS-DOS has them, in the local time of whoever wrote it: taken for UTC.
pub(super) fn dos_time(date: u16, time: u16) -> Time {
    if date == 0 {
        return Time::default();
    }
    let low = |value: u16| u8::try_from(value & 0xff).unwrap_or_default();
    let year = i64::from(date >> 9).saturating_add(1980);
    let date = (year, low((date >> 5) & 0xf), low(date & 0x1f));
    let seconds = low(time & 0x1f).saturating_mul(2);
    Time::civil(date, (low(time >> 11), low((time >> 5) & 0x3f), seconds))
}
