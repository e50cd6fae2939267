//! A qcow2 image, as somebody may have made it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_storage::fuzzing::qcow2_image(data));
