//! When an entry passed which stage: a ring of timestamps by log index, written by the log and read by apply.
//!
//! The ring is longer than the proposals that may be in flight, so that the stamp of a proposal is still there when it is answered.
//! A stamp that was overwritten, or that is being overwritten, reads as "not seen"; nothing depends on it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::limits::{IN_FLIGHT_PROPOSALS_MAX, STAGE_RING_ENTRIES};

const _: () = assert!(STAGE_RING_ENTRIES > IN_FLIGHT_PROPOSALS_MAX && STAGE_RING_ENTRIES.is_power_of_two());

/// The stage clock of one group on this node.
pub(crate) struct Stages {
    epoch: Instant,
    ring: Box<[Stamp]>,
}

#[derive(Default)]
struct Stamp {
    index: AtomicU64,
    appended: AtomicU64,
    synced: AtomicU64,
}

impl Stages {
    pub(crate) fn new() -> Stages {
        Stages {
            epoch: Instant::now(),
            ring: (0..STAGE_RING_ENTRIES).map(|_| Stamp::default()).collect(),
        }
    }

    /// Nanoseconds since the group was opened; never 0.
    pub(crate) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    fn at(&self, when: Instant) -> u64 {
        u64::try_from(when.saturating_duration_since(self.epoch).as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    pub(crate) fn appended(&self, first: u64, last: u64) {
        let now = self.now();
        for index in first..=last {
            let stamp = self.stamp(index);
            stamp.index.store(index, Relaxed);
            stamp.appended.store(now, Relaxed);
            stamp.synced.store(0, Relaxed);
        }
    }

    pub(crate) fn synced(&self, first: u64, last: u64, when: Instant) {
        let at = self.at(when);
        for index in first..=last {
            let stamp = self.stamp(index);
            if stamp.index.load(Relaxed) == index {
                stamp.synced.store(at, Relaxed);
            }
        }
    }

    /// When the entry was appended and synced; zeros where that was not seen.
    pub(crate) fn of(&self, index: u64) -> (u64, u64) {
        let stamp = self.stamp(index);
        if stamp.index.load(Relaxed) == index {
            (stamp.appended.load(Relaxed), stamp.synced.load(Relaxed))
        } else {
            (0, 0)
        }
    }

    fn stamp(&self, index: u64) -> &Stamp {
        &self.ring[(index as usize) & (STAGE_RING_ENTRIES - 1)]
    }
}

/// From one stamp to a later one, in microseconds; 0 when either was not seen.
pub(crate) fn micros(from: u64, to: u64) -> u32 {
    if from == 0 || to == 0 {
        0
    } else {
        u32::try_from(to.saturating_sub(from) / 1_000).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_until_the_ring_comes_round() {
        let stages = Stages::new();
        stages.appended(1, 3);
        stages.synced(1, 3, Instant::now());
        assert!(stages.of(2).0 > 0 && stages.of(2).1 >= stages.of(2).0);
        stages.appended(2 + STAGE_RING_ENTRIES as u64, 2 + STAGE_RING_ENTRIES as u64);
        assert_eq!(stages.of(2), (0, 0));
        assert_eq!(micros(0, 5), 0);
        assert_eq!(micros(1_000, 6_000), 5);
    }
}
