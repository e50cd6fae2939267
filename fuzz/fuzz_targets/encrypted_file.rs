//! A file that says it is encrypted with age.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_encryption::fuzzing::file(data));
