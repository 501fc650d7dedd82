//! What reading a page of a list may take: of rows in vain, and of time on a thread that others wait for.

use std::time::{Duration, Instant};

use crate::fair::threads::core_time;

/// Most rows that are read in vain for a page. Raised: filters that no index serves work on larger collections, and take longer.
const PAGE_ROWS: u64 = 20_000;
/// How long reading a page in vain may take, on a core.
const PAGE_TIME: Duration = Duration::from_millis(250);
/// How long a glance takes at most. Raised: requests that share its thread wait longer. Lowered: more pages are read twice.
const GLANCE_TIME: Duration = Duration::from_millis(2);
/// How many rows are read between two looks at the time.
const TIME_STEP: u64 = 256;

/// What is left to read a page with.
pub(crate) struct Budget {
    start: Instant,
    /// The time of this thread on a core when it began: what others took from it does not count.
    core: Duration,
    glance: Option<Duration>,
    rows: u64,
    vain: u64,
    looked: u64,
}

impl Budget {
    /// For a thread of its own.
    pub(crate) fn whole() -> Self {
        Self {
            start: Instant::now(),
            core: core_time(),
            glance: None,
            rows: PAGE_ROWS,
            vain: 0,
            looked: 0,
        }
    }

    /// For as many rows in vain.
    #[cfg(test)]
    pub(crate) fn whole_of(rows: u64) -> Self {
        Self { rows, ..Self::whole() }
    }

    /// For a thread that others wait for: a page that takes longer than a glance is left to whoever has a whole budget.
    pub(crate) fn glance() -> Self {
        Self::glance_of(GLANCE_TIME)
    }

    /// A glance of another length.
    pub(super) fn glance_of(time: Duration) -> Self {
        Self {
            glance: Some(time),
            ..Self::whole()
        }
    }

    /// Counts the next row, and says whether this was a glance and is over.
    pub(super) fn is_over_at_next(&mut self) -> bool {
        self.looked += 1;
        self.glance.is_some_and(|time| self.start.elapsed() >= time)
    }

    /// Rows that were looked at, and for how long on a core.
    pub(crate) fn spent(&self) -> (u64, Duration) {
        (self.looked, core_time().saturating_sub(self.core))
    }

    /// Counts one row that was read in vain, and says whether that was the last.
    pub(super) fn is_spent(&mut self) -> bool {
        self.vain += 1;
        self.vain >= self.rows || (self.vain.is_multiple_of(TIME_STEP) && core_time().saturating_sub(self.core) > PAGE_TIME)
    }
}
