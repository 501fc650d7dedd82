//! See `cell::fuzzing::archived`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cloudnest_fuzz::in_directory(|dir| {
    cell::fuzzing::archived(data, dir);
}));
