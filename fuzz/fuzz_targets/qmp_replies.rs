//! The replies to QMP queries.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_qmp_client::fuzzing::replies(data));
