//! The text of a volume group of LVM, and what volumes it makes.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_archive_files::fuzzing::lvm(data));
