//! Rests of what takes long on a core, so that what is long altogether takes no more than it may.

use std::time::{Duration, Instant};

pub(crate) use crate::fair::threads::core_time;

/// How long something goes on before it rests for the first time, and between two rests, on a core. Raised: others wait for a core. Lowered: what is
/// hardly long waits.
const FIRST_STEP: Duration = Duration::from_millis(2);
const STEP: Duration = Duration::from_micros(500);
/// How long it rests altogether at most. Raised: who asks waits longer on a busy node. Lowered: what is long of one tenant is noticed by others.
const RESTS: Duration = Duration::from_secs(2);

/// Rests until it may go on: it is given the time on a core that was used since the last rest, and how long it may take at most.
pub(crate) type Rest = Box<dyn FnMut(Duration, Duration)>;

/// When something rests.
pub(crate) struct Rests {
    rest: Option<Rest>,
    /// When it rests next, in the thread's time on a core.
    next: Duration,
    /// How long it has rested.
    rested: Duration,
}

impl Rests {
    /// Never.
    pub(crate) fn none() -> Self {
        Self {
            rest: None,
            next: Duration::ZERO,
            rested: Duration::ZERO,
        }
    }

    /// Every now and then.
    pub(crate) fn with(rest: Rest) -> Self {
        Self {
            rest: Some(rest),
            next: core_time() + FIRST_STEP,
            rested: Duration::ZERO,
        }
    }

    /// Rests, if it is time.
    pub(crate) fn look(&mut self) {
        let Some(rest) = self.rest.as_mut().filter(|_| self.rested < RESTS) else {
            return;
        };
        let core = core_time();
        if core < self.next {
            return;
        }
        let began = Instant::now();
        rest(core.saturating_sub(self.next) + STEP, RESTS - self.rested);
        self.rested += began.elapsed();
        self.next = core_time() + STEP;
    }
}

/// Takes some time on a core.
#[cfg(test)]
pub(crate) fn compute(time: Duration) {
    let until = core_time() + time;
    while core_time() < until {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn what_is_long_rests_after_each_step_and_not_for_ever() {
        let told = Rc::new(Cell::new((0, Duration::ZERO)));
        let heard = Rc::clone(&told);
        let mut rests = Rests::with(Box::new(move |core, most| {
            assert!(most > Duration::ZERO && most <= RESTS, "{most:?}");
            let (count, all) = heard.get();
            heard.set((count + 1, all + core));
        }));
        rests.look();
        assert_eq!(told.get().0, 0, "what is hardly long does not rest");
        for round in 1..=3 {
            compute(FIRST_STEP);
            rests.look();
            let (count, all) = told.get();
            assert_eq!(count, round);
            assert!(all >= STEP * round, "it says what it has used: {all:?}");
        }
        rests.rested = RESTS;
        compute(FIRST_STEP);
        rests.look();
        assert_eq!(told.get().0, 3, "who asks has waited long enough");
    }

    #[test]
    fn a_rest_is_told_what_is_left_of_all_rests() {
        let told = Rc::new(Cell::new(Duration::ZERO));
        let heard = Rc::clone(&told);
        let mut rests = Rests::with(Box::new(move |_, most| heard.set(most)));
        rests.rested = RESTS - Duration::from_millis(30);
        compute(FIRST_STEP);
        rests.look();
        assert_eq!(told.get(), Duration::from_millis(30));
    }
}
