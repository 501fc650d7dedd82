//! See `cell::fuzzing::expression`. Besides: no expression takes longer than 10 ms. What is compiled for fuzzing is slower, so that the
//! limit here is larger, and one that exceeds it is tried again: whoever shares the machine must not count.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;

/// 10 ms, and what instrumentation and checks of overflow make of them.
const LIMIT: Duration = Duration::from_millis(50);
/// How often it must be exceeded.
const ATTEMPTS: usize = 5;

fuzz_target!(|data: &[u8]| {
    let slow = (0..ATTEMPTS).all(|_| cell::fuzzing::expression(data) > LIMIT);
    assert!(!slow, "it takes longer than {LIMIT:?}: {:?}", String::from_utf8_lossy(data));
});
