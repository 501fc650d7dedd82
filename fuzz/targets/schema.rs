//! See `cell::fuzzing::schema`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cell::fuzzing::schema(data));
