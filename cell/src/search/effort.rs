//! What a search may take on a core: a glance at first, on a thread that others wait for, and all of it on one that gives way.

use std::cell::Cell;
use std::time::Duration;

use crate::fair::threads::core_time;

/// How long a glance takes at most, on a core. Raised: requests that share its threads wait longer. Lowered: more searches are begun twice.
const GLANCE_TIME: Duration = Duration::from_millis(5);
/// How many rows are read between two looks whether a glance is over.
const GLANCE_STEP: u64 = 16;
/// How long the index may take for one question. All times are those of a thread on a core: what others take from it does not count.
const INDEX_TIME: Duration = Duration::from_millis(1_000);

/// A glance is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent;

/// What a search may take, and has taken.
pub(crate) struct Effort {
    glance: Option<Duration>,
    began: Duration,
    rows: Cell<u64>,
}

impl Effort {
    /// On a thread that others wait for.
    pub(crate) fn glance() -> Self {
        Self::of(GLANCE_TIME)
    }

    /// A glance of another length.
    pub(super) fn of(glance: Duration) -> Self {
        Self {
            glance: Some(glance),
            ..Self::whole()
        }
    }

    /// On a thread that gives way.
    pub(crate) fn whole() -> Self {
        Self {
            glance: None,
            began: core_time(),
            rows: Cell::new(0),
        }
    }

    /// Whether it is one.
    pub(super) fn is_glance(&self) -> bool {
        self.glance.is_some()
    }

    /// For how long it has been on a core.
    fn spent(&self) -> Duration {
        core_time().saturating_sub(self.began)
    }

    /// What the index may take.
    pub(super) fn index_time(&self) -> Duration {
        self.glance.map_or(INDEX_TIME, |glance| glance.saturating_sub(self.spent()))
    }

    /// Counts a row that is read.
    pub(super) fn row(&self) -> Result<(), Spent> {
        self.rows.set(self.rows.get() + 1);
        let is_over = |glance| self.rows.get().is_multiple_of(GLANCE_STEP) && self.spent() > glance;
        if self.glance.is_some_and(is_over) {
            return Err(Spent);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(time: Duration) {
        let until = core_time() + time;
        while core_time() < until {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_glance_is_over_by_what_it_computed_and_the_whole_is_not() {
        let (glance, whole) = (Effort::glance(), Effort::whole());
        assert!(glance.index_time() <= GLANCE_TIME && whole.index_time() == INDEX_TIME);
        let rows = |effort: &Effort| (0..GLANCE_STEP).try_for_each(|_| effort.row());
        assert_eq!(rows(&glance), Ok(()));
        compute(GLANCE_TIME);
        assert_eq!((rows(&glance), rows(&whole)), (Err(Spent), Ok(())));
        assert_eq!(glance.index_time(), Duration::ZERO, "the index has nothing left");
    }
}
