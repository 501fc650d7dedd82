//! What a search may take on a core: a glance at first, on a thread that others wait for, and all of it on one that gives way.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::records::rest::{Rest, Rests, core_time};

/// How long a glance takes at most, on a core. Raised: requests that share its threads wait longer. Lowered: more searches are begun twice.
const GLANCE_TIME: Duration = Duration::from_millis(5);
/// How many rows are read between two looks at the time.
const STEP: u64 = 16;
/// How long the index may take for one question. All times are those of a thread on a core: what others take from it does not count.
const INDEX_TIME: Duration = Duration::from_millis(1_000);

/// A glance is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent;

/// What a search may take, and has taken.
pub(crate) struct Effort {
    glance: Option<Duration>,
    index: Duration,
    began: Duration,
    rows: Cell<u64>,
    rests: RefCell<Rests>,
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
            index: INDEX_TIME,
            began: core_time(),
            rows: Cell::new(0),
            rests: RefCell::new(Rests::none()),
        }
    }

    /// One that rests every now and then.
    pub(crate) fn resting(self, rest: Rest) -> Self {
        Self {
            rests: RefCell::new(Rests::with(rest)),
            ..self
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

    /// Rests if it is time, and says whether what the index does since `core` takes too long.
    pub(super) fn is_over(&self, core: Duration) -> bool {
        self.rests.borrow_mut().look();
        match self.glance {
            Some(glance) => self.spent() > glance,
            None => core_time().saturating_sub(core) > self.index,
        }
    }

    /// Counts a row that is read.
    pub(super) fn row(&self) -> Result<(), Spent> {
        self.rows.set(self.rows.get() + 1);
        if !self.rows.get().is_multiple_of(STEP) {
            return Ok(());
        }
        self.rests.borrow_mut().look();
        match self.glance.is_some_and(|glance| self.spent() > glance) {
            true => Err(Spent),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::rest::compute;

    #[test]
    fn a_glance_is_over_by_what_it_computed_and_the_whole_is_not() {
        let (glance, whole) = (Effort::glance(), Effort::whole());
        let (rows, core) = (|effort: &Effort| (0..STEP).try_for_each(|_| effort.row()), core_time());
        assert!(rows(&glance) == Ok(()) && !glance.is_over(core));
        compute(GLANCE_TIME);
        assert!(rows(&glance) == Err(Spent) && glance.is_over(core));
        assert!(rows(&whole) == Ok(()) && !whole.is_over(core));
        let short = Effort {
            index: Duration::ZERO,
            ..whole
        };
        assert!(short.is_over(core), "the index has its own time");
    }
}
