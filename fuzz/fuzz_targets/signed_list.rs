//! The signed list beside an archive.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_encryption::fuzzing::signed_list(data));
