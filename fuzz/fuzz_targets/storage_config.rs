//! A `storage.cfg`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_storage::fuzzing::storage_config(data));
