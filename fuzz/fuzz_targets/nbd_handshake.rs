//! An NBD server's side of a handshake.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_nbd::fuzzing::client_handshake(data));
