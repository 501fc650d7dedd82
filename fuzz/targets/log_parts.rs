//! See `raft::fuzzing::log_parts`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| raft::fuzzing::log_parts(data));
