//! `writer`: the load inside the lab's guest. Every mode prints one JSON line at its end.
//!
//! ```text
//! writer seq     SECONDS THREADS SLOTS DISK…   numbered blocks in a known order; 0 seconds: until killed
//! writer latency SECONDS SIZE SPAN DISK        random writes, QD 1
//! writer load    SECONDS SIZE SPAN THREADS RATE random|sequential DISK   0 seconds: see `load.rs`
//! writer fill    OFFSET LENGTH BYTE DISK
//! writer verify  OFFSET LENGTH BYTE DISK
//! ```
//!
//! Numbers are bytes. Writes are `O_DIRECT`; those of `seq` are `O_DSYNC` too. To discard, use
//! busybox's `blkdiscard`.

mod disk;
mod fill;
mod latency;
mod load;
mod seq;

use std::env;
use std::process::ExitCode;

/// What went wrong, for a person.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("writer: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<String> {
    match arguments {
        ["seq", seconds, threads, slots, disks @ ..] if !disks.is_empty() => {
            seq::run(number(seconds)?, number(threads)?, number(slots)?, disks)
        }
        ["latency", seconds, size, span, disk] => {
            latency::run(number(seconds)?, number(size)?, number(span)?, disk)
        }
        ["load", seconds, size, span, threads, rate, order, disk] => {
            let load = load::Load {
                seconds: number(seconds)?,
                size: number(size)?,
                span: number(span)?,
                threads: number(threads)?,
                rate: number(rate)?,
                order: match *order {
                    "random" => load::Order::Random,
                    "sequential" => load::Order::Sequential,
                    _ => return Err(format!("'{order}' is no order")),
                },
            };
            load::run(load, disk)
        }
        ["fill", offset, length, byte, disk] => {
            fill::fill(number(offset)?, number(length)?, number(byte)?, disk)
        }
        ["verify", offset, length, byte, disk] => {
            fill::verify(number(offset)?, number(length)?, number(byte)?, disk)
        }
        _ => Err("usage: writer seq|latency|load|fill|verify … (see its source)".to_owned()),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse()
        .map_err(|_| format!("'{text}' is not a number that fits"))
}
