//! How the values of options are written.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use fleece_backup_core::Compression;
use fleece_backup_core::exports;
use fleece_backup_core::qemu::Mode;
use fleece_backup_core::units::{self, parse_size};
use fleece_guest_config::GuestId;

pub(super) fn vmid(text: &str) -> Result<GuestId, String> {
    let number = text
        .parse()
        .ok()
        .filter(|id: &GuestId| id.number().is_some());
    number.ok_or_else(|| "expected a number from 1 to 999999999".into())
}

pub(super) fn mode() -> impl TypedValueParser<Value = Mode> {
    let names = Mode::ALL.map(Mode::name);
    PossibleValuesParser::new(names).try_map(|name| {
        let mut modes = Mode::ALL.into_iter();
        modes.find(|mode| mode.name() == name).ok_or(name)
    })
}

/// A socket if it looks like a path, else a host and a port.
pub(super) fn nbd_server(text: &str) -> Result<exports::Address, String> {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    match path.contains('/') || path != text || !text.contains(':') {
        true if path.is_empty() => Err("expected the path of a socket, or HOST:PORT".into()),
        true => Ok(exports::Address::Unix(path.into())),
        false => Ok(exports::Address::Tcp(text.into())),
    }
}

pub(super) fn property(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "expected KEY=VALUE".into())
}

pub(super) fn demo_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        size if size < SMALLEST => Err(format!("expected at least {}", units::bytes(SMALLEST))),
        size => Ok(size),
    }
}

pub(super) fn demo_rate(text: &str) -> Result<u64, String> {
    /// Below, a single write takes longer than anybody watches.
    const SLOWEST: u64 = 64 << 10;
    match parse_size(text)? {
        rate if rate < SLOWEST => Err(format!(
            "expected at least {} a second",
            units::bytes(SLOWEST)
        )),
        rate => Ok(rate),
    }
}

/// The least that the two disks can have together, in bytes: eight stretches of 1 MiB, so that each
/// has holes, noise and text.
pub(crate) const SMALLEST: u64 = 8 << 20;

pub(super) fn compression(text: &str) -> Result<Compression, String> {
    match text.split_once('=') {
        None if text == "none" => Ok(Compression::None),
        None if text == "zstd" => Ok(Compression::Zstd(1)),
        Some(("zstd", level)) => level
            .parse()
            .ok()
            .filter(|level| (-7..=22).contains(level))
            .map(Compression::Zstd)
            .ok_or_else(|| "the zstd level is a number from -7 to 22".into()),
        _ => Err("expected none, zstd, or zstd=LEVEL".into()),
    }
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected seconds, from 1 to 3600".into()),
    }
}

/// Seconds that may be none.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 0..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected seconds, from 0 to 86400".into()),
    }
}

/// A time within which something must be done.
pub(super) fn window(text: &str) -> Result<Duration, String> {
    let time = finish_within(text)?.0;
    time.ok_or_else(|| "expected hours or minutes, from 1m to 999h".into())
}

pub(super) fn days(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(days @ 0..=3650) => Ok(Duration::from_secs(days.saturating_mul(24 * 3600))),
        _ => Err("expected days, from 0 to 3650".into()),
    }
}

pub(super) fn pause(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(millis @ 0..=60_000) => Ok(Duration::from_millis(millis)),
        _ => Err("expected milliseconds, from 0 to 60000".into()),
    }
}

pub(super) fn millis(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(millis) if (0.01..=10_000.0).contains(&millis) => {
            Ok(Duration::from_secs_f64(millis / 1000.0))
        }
        _ => Err("expected milliseconds, from 0.01 to 10000".into()),
    }
}

/// By when a backup is to end, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FinishWithin(pub(crate) Option<Duration>);

pub(super) fn finish_within(text: &str) -> Result<FinishWithin, String> {
    if text == "none" {
        return Ok(FinishWithin(None));
    }
    let wrong = || "expected hours or minutes, from 1m to 999h, or none".to_owned();
    let (number, unit) = match (text.strip_suffix('h'), text.strip_suffix('m')) {
        (Some(hours), _) => (hours, 3600),
        (None, Some(minutes)) => (minutes, 60),
        (None, None) => return Err(wrong()),
    };
    let number: u16 = number.parse().map_err(|_| wrong())?;
    if !(1..=999).contains(&number) {
        return Err(wrong());
    }
    let time = Duration::from_secs(u64::from(number).saturating_mul(unit));
    Ok(FinishWithin(Some(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_finish_has_a_unit() {
        let seconds = |text| finish_within(text).map(|time| time.0.map(|time| time.as_secs()));
        assert_eq!(seconds("8h"), Ok(Some(28_800)));
        assert_eq!(seconds("90m"), Ok(Some(5400)));
        assert_eq!(seconds("none"), Ok(None));
        for wrong in ["", "h", "8", "0h", "-1h", "1000h", "8 h", "1.5h", "8d", "+"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
