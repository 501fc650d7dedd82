//! See `api::fuzzing::forwarded`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| api::fuzzing::forwarded(data));
