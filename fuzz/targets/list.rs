//! See `cell::fuzzing::list`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cell::fuzzing::list(data, cloudnest_fuzz::kept_directory()));
