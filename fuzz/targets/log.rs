//! See `raft::fuzzing::log`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| raft::fuzzing::log(data));
