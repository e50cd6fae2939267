//! The record of what was made, which a clean-up acts on.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_fleecing::fuzzing::record(data));
