//! The checkers, one file each: pure functions of what was recorded and what was read back.
//!
//! What counts as proof is the same for all of them. An acknowledged operation took effect once, between its two times; a failed
//! one never; an unknown one at any time after it began, or never, so that nothing is ever held against a run that an unlucky
//! unknown operation would explain. Two operations are in real-time order only if one completed before the other began; what falls
//! on one microsecond is concurrent. [`names`] is what the workload calls things.

use std::time::Duration;

pub mod bounds;
pub mod durability;
pub mod events;
pub mod idempotency;
pub mod isolation;
pub mod linearizability;
pub mod names;
pub mod positions;
pub mod references;
pub mod replay;
pub mod replicas;
pub mod sequences;
pub mod serializability;
#[cfg(test)]
mod stories;
mod support;
pub mod unique;

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

/// All of them; a run is the worst of what they say.
pub fn all() -> &'static [&'static dyn Invariant] {
    &[
        &linearizability::Linearizability,
        &serializability::Serializability,
        &durability::Durability,
        &unique::Unique,
        &references::References,
        &sequences::Sequences,
        &idempotency::Idempotency,
        &events::Events,
        &positions::Positions,
        &isolation::Isolation,
        &replicas::Replicas,
        &replay::Replay,
        &bounds::Bounds,
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_checker_has_a_name_of_its_own() {
        let names: BTreeSet<_> = all().iter().map(|invariant| invariant.name()).collect();
        assert_eq!(names.len(), 13);
    }
}
