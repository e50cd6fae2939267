//! `vma list` and `vma config`.

use std::io::{self, Write};

use fleece_vma_format::Header;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cli::{ConfigArgs, ListArgs};
use super::failure::{Failure, Result};
use super::input::open;

/// Prints configs, devices and time.
pub(super) fn list(args: &ListArgs) -> Result<()> {
    print(open(&args.archive)?.archive()?.header())
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
    let mut out = io::stdout().lock();
    out.write_all(data)
        .and_then(|()| out.flush())
        .map_err(Failure::output)
}

/// Prints a header as the reference does; callers of it take the last line as its end.
pub(super) fn print(header: &Header) -> Result<()> {
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

/// Prints to standard output at once, so that whoever waits for the line gets it.
pub(super) fn print_text(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::output)
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
