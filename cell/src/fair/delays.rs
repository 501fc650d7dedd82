//! How long interactive work waits, apart from what it takes: a histogram of powers of two that is emptied at each look.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets: the last one is of everything from about two seconds.
const BUCKETS: usize = 22;

/// See the module. Recording is one relaxed addition.
#[derive(Debug)]
pub(crate) struct Delays([AtomicU64; BUCKETS]);

impl Default for Delays {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// What was seen since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How many.
    pub(crate) count: u64,
    /// Nine of ten waited at most this long: the upper bound of a bucket.
    pub(crate) p90: Duration,
}

impl Delays {
    /// Something waited.
    pub(crate) fn record(&self, waited: Duration) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.0[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// What was seen since this was asked last.
    pub(crate) fn take(&self) -> Seen {
        let counts: Vec<u64> = self.0.iter().map(|bucket| bucket.swap(0, Ordering::Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let mut below = 0;
        let at = counts.iter().position(|bucket| {
            below += bucket;
            below * 10 >= count * 9
        });
        Seen {
            count,
            p90: match at {
                Some(bucket) if count > 0 => Duration::from_micros(1 << bucket),
                _ => Duration::ZERO,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_of_ten_are_within_what_it_says() {
        let delays = Delays::default();
        assert_eq!(delays.take(), Seen::default());
        for _ in 0..90 {
            delays.record(Duration::from_micros(100));
        }
        for _ in 0..10 {
            delays.record(Duration::from_secs(100));
        }
        let seen = delays.take();
        assert_eq!((seen.count, seen.p90), (100, Duration::from_micros(128)));
        assert_eq!(delays.take().count, 0, "a look takes it away");
        delays.record(Duration::MAX);
        assert!(delays.take().p90 >= Duration::from_secs(2));
    }
}
