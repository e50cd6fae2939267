//! The account of changes that `fleece serve` keeps from a clean end to the next start.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_backup_core::fuzzing::account(data));
