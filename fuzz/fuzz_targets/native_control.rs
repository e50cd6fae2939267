//! What is said on the control socket of `fleece serve`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_backup_core::fuzzing::control_messages(data));
