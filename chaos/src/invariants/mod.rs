//! The checkers, one file each: pure functions of what was recorded and what was read back.

use std::time::Duration;

use crate::ending::Ending;
use crate::history::History;
use crate::verdict::Verdict;

/// One promise and how it is checked.
pub trait Invariant: Sync {
    /// Its name in reports, in kebab-case.
    fn name(&self) -> &'static str;

    /// Holds the record against the promise. What takes longer than `budget` ends [`Verdict::Invalid`].
    fn check(&self, history: &History, ending: &Ending, budget: Duration) -> Verdict;

    /// A copy of a run with a damage that [`Invariant::check`] must find; none: the run has nothing that could be damaged,
    /// which makes it INVALID.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)>;
}

/// All of them.
pub fn all() -> &'static [&'static dyn Invariant] {
    &[]
}
