//! See `storage::fuzzing::snapshot`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cloudnest_fuzz::in_directory(|dir| storage::fuzzing::snapshot(data, dir)));
