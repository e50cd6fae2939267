//! Ids and names of volumes, and the table of mounts.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_storage::fuzzing::names(data));
