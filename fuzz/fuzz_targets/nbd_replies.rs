//! An NBD server's replies to requests that are under way.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fleece_nbd::fuzzing::client_replies(data));
