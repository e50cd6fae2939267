//! What is on a disk: partition tables, LVM, arrays, and the files of all file systems.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_archive_files::fuzzing::disk(data));
