//! An NBD client's options and requests.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_nbd::fuzzing::server_session(data));
