//! `fleece status`: which backups run, since when, and how far they are.

use std::process::ExitCode;
use std::time::Duration;

use fleece_backup_core::{Error, ErrorKind, Places, units};
use fleece_fleet::status::{self, Status};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::cli::status::Status as Arguments;
use crate::log::Log;
use crate::table::table;
use crate::watch::STALLS;
use fleece_bins::exit;

pub(crate) fn run(arguments: &Arguments, places: &Places, log: &Log) -> Result<ExitCode, Error> {
    let directory = places.state_dir();
    let mut all = status::all(&directory).map_err(|error| {
        let message = format!("cannot look into {}", directory.display());
        Error::caused(ErrorKind::Storage, message, error)
    })?;
    if let Some(guest) = &arguments.guest {
        let wanted = guest.to_string();
        all.retain(|status| status.guest == wanted);
    }
    for status in &all {
        log.result(&json!({
            "guest": status.guest,
            "job": status.job,
            "archive": status.archive,
            "pid": status.pid,
            "running": status.is_alive(),
            "began": time(status.began).map(|time| time.to_string()),
            "stands_still": status.stands_still().as_secs(),
            "message": status.message,
            "done": status.done,
            "total": status.total,
            "rate": status.rate,
            "eta": status.eta,
            "fleecing": status.fleecing,
        }));
    }
    if all.is_empty() {
        log.info("no backup runs");
        return Ok(ExitCode::SUCCESS);
    }
    let killed = all.iter().filter(|status| !status.is_alive());
    let code = exit::done(killed.count());
    let titles = ["GUEST", "SINCE", "DONE", "OF", "RATE", "LEFT", "NOW"];
    log.data(&table(titles, all.iter().map(row).collect()));
    Ok(ExitCode::from(code))
}

fn row(status: &Status) -> [String; 7] {
    let since = time(status.began).map(|time| {
        let local = time.to_zoned(TimeZone::system());
        local.strftime("%Y-%m-%d %H:%M").to_string()
    });
    let known = status.total > 0;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let left = status
        .eta
        .and_then(|eta| Duration::try_from_secs_f64(eta).ok());
    [
        status.guest.clone(),
        or_none(since),
        or_none(known.then(|| format!("{}%", units::percent(status.done, status.total)))),
        or_none(known.then(|| units::bytes(status.total))),
        or_none(known.then(|| units::rate(status.rate))),
        or_none(left.map(units::duration)),
        now(status),
    ]
}

fn now(status: &Status) -> String {
    if !status.is_alive() {
        return format!("killed; `fleece cleanup {}`", status.guest);
    }
    let still = status.stands_still();
    match still >= STALLS {
        true => format!(
            "stands still for {}: {}",
            units::duration(still),
            status.message
        ),
        false => status.message.clone(),
    }
}

fn time(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}
