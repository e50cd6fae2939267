//! The superblocks of two members of an array of MD, and what they make.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_archive_files::fuzzing::md(data));
