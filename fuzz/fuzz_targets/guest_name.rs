//! What a guest is called.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_guest_config::fuzzing::guest_name(data));
