//! Times as directories have them.

use crate::bytes::Fields;
use crate::error::Result;
use crate::tree::Time;

/// Years since 1900, month, day, time, and the zone in quarters of an hour.
pub(super) fn short_time(raw: &[u8]) -> Result<Time> {
    let year = i64::from(raw.byte(0)?).saturating_add(1900);
    let time = Time::civil(
        (year, raw.byte(1)?, raw.byte(2)?),
        (raw.byte(3)?, raw.byte(4)?, raw.byte(5)?),
    );
    let quarters = i64::from(i8::from_le_bytes(raw.array(6)?));
    Ok(Time::new(
        time.seconds.saturating_sub(quarters.saturating_mul(900)),
        0,
    ))
}
