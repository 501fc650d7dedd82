//! What reading a page of a list may take: of rows in vain, and of time on a thread that others wait for.

use std::time::{Duration, Instant};

use super::rest::{Rest, Rests, core_time};

/// Most rows that are read in vain for a page. Raised: filters that no index serves work on larger collections, and take longer.
const PAGE_ROWS: u64 = 20_000;
/// How long reading a page in vain may take, on a core.
const PAGE_TIME: Duration = Duration::from_millis(250);
/// How long a glance takes at most, on a core: what others take from its thread does not make it a long one. Raised: requests that share its thread wait longer. Lowered: more pages are read twice.
const GLANCE_TIME: Duration = Duration::from_millis(2);
/// How many rows are read between two looks at the time.
const TIME_STEP: u64 = 256;
/// The same for looks whether it should rest.
const REST_STEP: u64 = 64;

/// What is left to read a page with.
pub(crate) struct Budget {
    start: Instant,
    /// The time of this thread on a core when it began: what others took from it does not count.
    core: Duration,
    glance: Option<Duration>,
    rows: u64,
    vain: u64,
    looked: u64,
    rests: Rests,
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
            rests: Rests::none(),
        }
    }

    /// One that rests every now and then, so that long pages together take no more than they may.
    pub(crate) fn resting(self, rest: Rest) -> Self {
        Self {
            rests: Rests::with(rest),
            ..self
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
        if self.looked.is_multiple_of(REST_STEP) {
            self.rests.look();
        }
        // The clock first: the time of a thread takes a system call.
        self.glance
            .is_some_and(|time| self.start.elapsed() >= time && core_time().saturating_sub(self.core) >= time)
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::records::rest::compute;

    #[test]
    fn it_rests_between_rows() {
        let told = Rc::new(Cell::new(0));
        let heard = Rc::clone(&told);
        let mut budget = Budget::whole().resting(Box::new(move |_, _| heard.set(heard.get() + 1)));
        compute(Duration::from_millis(3));
        (1..REST_STEP).for_each(|_| assert!(!budget.is_over_at_next()));
        assert_eq!(told.get(), 0);
        assert!(!budget.is_over_at_next());
        assert_eq!(told.get(), 1);
    }

    #[test]
    fn what_others_take_from_the_thread_does_not_end_a_glance() {
        let mut glance = Budget::glance_of(Duration::from_millis(3));
        glance.start -= Duration::from_secs(60);
        assert!(!glance.is_over_at_next(), "it has hardly computed");
        compute(Duration::from_millis(3));
        assert!(glance.is_over_at_next());
    }
}
