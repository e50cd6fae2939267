//! Partitions of an MBR, and chains of extended ones.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_archive_files::fuzzing::mbr(data));
