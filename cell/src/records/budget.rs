//! What reading a page of a list may take: of rows in vain, and of time on a thread that others wait for.

use std::time::{Duration, Instant};

use crate::fair::threads::core_time;

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
/// How long a page is read before it rests for the first time, and between two rests, on a core. Raised: others wait for a core. Lowered: pages
/// that are hardly long wait.
const FIRST_STEP: Duration = Duration::from_millis(2);
const STEP: Duration = Duration::from_micros(500);
/// How long a page rests altogether at most. Raised: who asks waits longer on a busy node. Lowered: long pages of one tenant are noticed by others.
const RESTS: Duration = Duration::from_secs(2);

/// Rests until what was read may be gone on with: it is given the time on a core that was used since the last rest, and how long it may take at most.
pub(crate) type Rest = Box<dyn FnMut(Duration, Duration)>;

/// What is left to read a page with.
pub(crate) struct Budget {
    start: Instant,
    /// The time of this thread on a core when it began: what others took from it does not count.
    core: Duration,
    glance: Option<Duration>,
    rows: u64,
    vain: u64,
    looked: u64,
    rest: Option<Rest>,
    /// When it rests next, in the thread's time on a core; how long it has rested.
    next_rest: Duration,
    rested: Duration,
}

impl Budget {
    /// For a thread of its own.
    pub(crate) fn whole() -> Self {
        let core = core_time();
        Self {
            start: Instant::now(),
            core,
            glance: None,
            rows: PAGE_ROWS,
            vain: 0,
            looked: 0,
            rest: None,
            next_rest: core + FIRST_STEP,
            rested: Duration::ZERO,
        }
    }

    /// One that rests every now and then, so that long pages together take no more than they may.
    pub(crate) fn resting(self, rest: Rest) -> Self {
        Self {
            rest: Some(rest),
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
            self.rest();
        }
        // The clock first: the time of a thread takes a system call.
        self.glance
            .is_some_and(|time| self.start.elapsed() >= time && core_time().saturating_sub(self.core) >= time)
    }

    fn rest(&mut self) {
        let Some(rest) = self.rest.as_mut().filter(|_| self.rested < RESTS) else {
            return;
        };
        let core = core_time();
        if core < self.next_rest {
            return;
        }
        let began = Instant::now();
        rest(core.saturating_sub(self.next_rest) + STEP, RESTS - self.rested);
        self.rested += began.elapsed();
        self.next_rest = core_time() + STEP;
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

    fn compute(time: Duration) {
        let until = core_time() + time;
        while core_time() < until {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_long_page_rests_after_each_step_and_not_for_ever() {
        let told = Rc::new(Cell::new((0, Duration::ZERO)));
        let heard = Rc::clone(&told);
        let mut budget = Budget::whole().resting(Box::new(move |core, most| {
            assert!(most > Duration::ZERO && most <= RESTS, "{most:?}");
            let (count, all) = heard.get();
            heard.set((count + 1, all + core));
        }));
        let rows = |budget: &mut Budget| (0..REST_STEP).for_each(|_| assert!(!budget.is_over_at_next()));
        rows(&mut budget);
        assert_eq!(told.get().0, 0, "a page that is hardly long does not rest");
        for round in 1..=3 {
            compute(FIRST_STEP);
            rows(&mut budget);
            let (count, all) = told.get();
            assert_eq!(count, round);
            assert!(all >= STEP * round, "it says what it has used: {all:?}");
        }
        budget.rested = RESTS;
        compute(FIRST_STEP);
        rows(&mut budget);
        assert_eq!(told.get().0, 3, "who asks has waited long enough");
    }

    #[test]
    fn a_rest_is_told_what_is_left_of_all_rests() {
        let told = Rc::new(Cell::new(Duration::ZERO));
        let heard = Rc::clone(&told);
        let mut budget = Budget::whole().resting(Box::new(move |_, most| heard.set(most)));
        budget.rested = RESTS - Duration::from_millis(30);
        compute(FIRST_STEP);
        (0..REST_STEP).for_each(|_| assert!(!budget.is_over_at_next()));
        assert_eq!(told.get(), Duration::from_millis(30));
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
