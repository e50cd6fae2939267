//! A configuration of commands.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_settings::fuzzing::settings(data));
