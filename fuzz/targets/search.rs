//! See `cell::fuzzing::search`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cell::fuzzing::search(data));
