//! `vma list` and `vma config`.

use std::borrow::Cow;
use std::io::{self, Write};

use fleece_bins::events;
use fleece_vma_format::Header;
use fleece_vma_format::container::Container;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::cli::{ConfigArgs, ListArgs};
use super::failure::{Failure, Result};
use super::input::open;
use super::report::{self, print_text};

/// Prints configs, devices and time.
pub(super) fn list(args: &ListArgs) -> Result<()> {
    let archive = open(&args.archive)?.archive()?;
    print(archive.header())?;
    report::summary(|| contents(archive.header(), archive.container(), &[]))
}

/// What a header says, and how much is stored of each device where that is known, for programs.
pub(super) fn contents(header: &Header, container: Container, stored: &[u64]) -> Value {
    let configs = header.configs().iter();
    let devices = header.devices().iter().enumerate().map(|(place, device)| {
        let found = json!({
            "id": device.id().get(),
            "name": device.name(),
            "size": device.size(),
            "vmstate": device.is_vmstate(),
        });
        match stored.get(place) {
            Some(stored) => events::with(found, json!({"stored": stored})),
            None => found,
        }
    });
    json!({
        "uuid": uuid::Uuid::from_bytes(*header.uuid()).to_string(),
        "ctime": header.ctime(),
        "container": container.to_string(),
        "configs": configs.map(|c| json!({"name": c.name(), "size": c.data().len()})).collect::<Vec<_>>(),
        "devices": devices.collect::<Vec<_>>(),
    })
}

/// Prints the contents of one config.
pub(super) fn config(args: &ConfigArgs) -> Result<()> {
    let archive = open(&args.archive)?.archive()?;
    let missing = || {
        Failure::new(format!(
            "unable to find configuration data '{}'",
            args.config
        ))
    };
    let data = archive.header().config(&args.config).ok_or_else(missing)?;
    if report::is_events() {
        let text = String::from_utf8_lossy(data);
        return report::summary(|| {
            json!({
                "name": args.config,
                "size": data.len(),
                "text": text,
                "exact": matches!(text, Cow::Borrowed(_)),
            })
        });
    }
    let mut out = io::stdout().lock();
    out.write_all(data)
        .and_then(|()| out.flush())
        .map_err(Failure::output)
}

/// Prints a header as the reference does; callers of it take the last line as its end.
pub(super) fn print(header: &Header) -> Result<()> {
    if report::is_events() {
        return Ok(());
    }
    let mut text = String::new();
    for config in header.configs() {
        let (size, name) = (config.data().len(), config.name());
        text.push_str(&format!("CFG: size: {size} name: {name}\n"));
    }
    for device in header.devices() {
        let (id, size) = (device.id(), device.size());
        text.push_str(&if device.is_vmstate() {
            format!("VMSTATE: dev_id={id} memory: {size}\n")
        } else {
            format!("DEV: dev_id={id} size: {size} devname: {}\n", device.name())
        });
    }
    text.push_str(&format!(
        "CTIME: {}\n",
        ctime(header.ctime(), "%a %b %e %H:%M:%S %Y")
    ));
    print_text(&text)
}

/// A time in the local zone.
pub(super) fn ctime(seconds: i64, format: &str) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => time
            .to_zoned(TimeZone::system())
            .strftime(format)
            .to_string(),
        Err(_) => format!("{seconds} seconds since 1970"),
    }
}
