//! The header of a qcow2 image.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_storage::fuzzing::qcow2_header(data));
