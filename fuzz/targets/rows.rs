//! See `cell::fuzzing::rows`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cell::fuzzing::rows(data));
