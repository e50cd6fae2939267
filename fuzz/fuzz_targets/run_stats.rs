//! What a run was like, as it lies beside an archive.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_backup_core::fuzzing::run_stats(data));
