//! A GPT, whose checksums are made right.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_archive_files::fuzzing::gpt(data));
