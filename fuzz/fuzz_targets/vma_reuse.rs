//! The index of an archive.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_vma_format::fuzzing::reuse(data));
