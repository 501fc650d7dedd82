//! How long a group's log is, in bytes, without asking the log.
//!
//! The keeper wants to know how much log lies after an index, and how far back so many bytes reach. Total bytes are noted at the
//! index where a step was full; answers are right to within a step. What was in the log before this process started is not counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::wal::LogEntry;

/// Bytes after which a new step is noted. 64 MiB of log are 256 steps.
const STEP_BYTES: u64 = 256 << 10;
const STEPS_MAX: usize = 8_192;

/// How many bytes of log lie after an index, to within a step; since this process started.
pub(crate) struct LogSize {
    last: AtomicU64,
    steps: Mutex<Steps>,
}

#[derive(Default)]
struct Steps {
    /// Total bytes appended when the log had reached the index; both rise.
    at: VecDeque<(u64, u64)>,
    total: u64,
}

impl LogSize {
    pub(crate) fn new() -> Arc<LogSize> {
        Arc::new(LogSize {
            last: AtomicU64::new(0),
            steps: Mutex::default(),
        })
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log ends at `last` when it is opened.
    pub(crate) fn opened(&self, last: u64) {
        self.last.store(last, Relaxed);
    }

    pub(crate) fn appended(&self, entries: &[LogEntry]) {
        let Some(last) = entries.last() else { return };
        self.last.store(last.index, Relaxed);
        let mut steps = self.steps();
        steps.total += entries.iter().map(|entry| entry.bytes.len() as u64).sum::<u64>();
        if steps.at.back().is_none_or(|(_, total)| steps.total - total >= STEP_BYTES) {
            let total = steps.total;
            steps.at.push_back((last.index, total));
            if steps.at.len() > STEPS_MAX {
                steps.at.pop_front();
            }
        }
    }

    pub(crate) fn truncated(&self, last: u64) {
        self.last.store(last, Relaxed);
        let mut steps = self.steps();
        while steps.at.back().is_some_and(|(index, _)| *index > last) {
            steps.at.pop_back();
        }
    }

    pub(crate) fn purged(&self, upto: u64) {
        self.last.fetch_max(upto, Relaxed);
        let mut steps = self.steps();
        while steps.at.len() > 1 && steps.at[1].0 <= upto {
            steps.at.pop_front();
        }
    }

    /// Index of the last entry.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }

    /// About how many bytes of log come after `index`.
    pub(crate) fn bytes_after(&self, index: u64) -> u64 {
        let steps = self.steps();
        let before = steps.at.partition_point(|(at, _)| *at <= index);
        let base = before.checked_sub(1).map_or(0, |i| steps.at[i].1);
        steps.total - base
    }

    /// The lowest index after which there are about `bytes` of log; 0 when there are fewer.
    pub(crate) fn index_before_last(&self, bytes: u64) -> u64 {
        let steps = self.steps();
        let Some(limit) = steps.total.checked_sub(bytes) else {
            return 0;
        };
        let before = steps.at.partition_point(|(_, total)| *total <= limit);
        before.checked_sub(1).map_or(0, |i| steps.at[i].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(from: u64, to: u64, bytes: usize) -> Vec<LogEntry> {
        (from..=to)
            .map(|index| LogEntry {
                index,
                bytes: vec![0; bytes].into(),
            })
            .collect()
    }

    #[test]
    fn the_size_of_the_log_is_known_to_a_step() {
        let size = LogSize::new();
        for i in 0..100 {
            size.appended(&entries(i * 10 + 1, i * 10 + 10, 32 << 10));
        }
        assert_eq!(size.last(), 1_000);
        let all = 1_000 * (32 << 10);
        assert_eq!(size.bytes_after(0), all);
        let half = size.bytes_after(500);
        assert!(half >= all / 2 && half <= all / 2 + 2 * STEP_BYTES, "{half}");
        let index = size.index_before_last(all / 4);
        assert!((740..=760).contains(&index), "{index}");
        assert_eq!(size.index_before_last(all * 2), 0);
        size.truncated(500);
        assert_eq!(size.last(), 500);
    }
}
