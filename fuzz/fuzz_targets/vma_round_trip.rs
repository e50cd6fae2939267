//! What is written is read.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_vma_format::fuzzing::round_trip(data));
