//! How long interactive work waits, apart from what it takes: a histogram that is emptied at each look.
//!
//! Its buckets are as HdrHistogram's: each power of two is cut into four, so that a bound is at most a quarter above what was seen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of a power of two.
const PARTS: u64 = 4;
/// Buckets: the last one is of everything from 1.75 seconds.
const BUCKETS: usize = 80;

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
        self.0[bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were seen since they were taken last.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
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
                Some(bucket) if count > 0 => Duration::from_micros(bound(bucket)),
                _ => Duration::ZERO,
            },
        }
    }
}

/// The bucket of so many microseconds.
fn bucket(micros: u64) -> usize {
    if micros < PARTS {
        return micros as usize;
    }
    let power = micros.ilog2();
    let part = (micros >> (power - PARTS.ilog2())) - PARTS;
    let bucket = u64::from(power - 1) * PARTS + part;
    (bucket as usize).min(BUCKETS - 1)
}

/// The upper bound of a bucket, in microseconds.
fn bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket + 1;
    }
    (PARTS + bucket % PARTS + 1) << (bucket / PARTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_of_ten_are_within_what_it_says() {
        let delays = Delays::default();
        assert_eq!((delays.take(), delays.count()), (Seen::default(), 0));
        for _ in 0..90 {
            delays.record(Duration::from_micros(100));
        }
        for _ in 0..10 {
            delays.record(Duration::from_secs(100));
        }
        assert_eq!(delays.count(), 100);
        let seen = delays.take();
        assert_eq!((seen.count, seen.p90), (100, Duration::from_micros(112)));
        assert_eq!(delays.take().count, 0, "a look takes it away");
        delays.record(Duration::MAX);
        assert!(delays.take().p90 >= Duration::from_secs(2));
    }

    #[test]
    fn a_bound_is_above_what_was_seen_by_a_quarter_at_most() {
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        let mut last = 0;
        for micros in 0..1_700_000 {
            let (found, bound) = (bucket(micros), bound(bucket(micros)));
            assert!(
                found >= last && bound > micros && bound <= micros + micros / 4 + 1,
                "{micros}: {found}, {bound}"
            );
            last = found;
        }
        assert_eq!(last, BUCKETS - 2, "no bucket is of no use");
    }
}
