//! See `raft::fuzzing::peer_messages`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| raft::fuzzing::peer_messages(data));
