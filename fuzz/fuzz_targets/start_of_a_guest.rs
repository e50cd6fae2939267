//! The script and the domain that are made of an archived guest configuration.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_backup_core::fuzzing::start_of_a_guest(data));
