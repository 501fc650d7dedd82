//! Known bugs that can be put back, one at a time: whoever says that it finds bugs is tried on them (docs/mutants.md).
//!
//! Only a build with the feature `mutants` has them, and of those only the one that `CLOUDNEST_MUTANT` names when it is first asked.
//! In every other build [`Mutant::active`] is a constant `false`, and the compiler takes out what it guards. `api`, `raft` and `storage` have
//! files like this with their own bugs; this one also knows all names, and says what the binary has to say about them.
//!
//! Invariant: what apply may not do (read a clock, remember anything outside of its space) stands here, in the part that only the
//! feature compiles, and nowhere else.

use storage::{Scan, Snapshot, Space, table};

macro_rules! mutants {
    ($( $(#[$doc:meta])* $mutant:ident = $name:literal ),* $(,)?) => {
        /// A bug of this crate. The classes are those of docs/mutants.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(not(feature = "mutants"), allow(dead_code, reason = "some are asked for in `chosen` only"))]
        pub(crate) enum Mutant { $( $(#[$doc])* $mutant ),* }

        /// The names of this crate's bugs.
        #[cfg(any(test, feature = "mutants"))]
        const MUTANTS: &[&str] = &[$($name),*];

        impl Mutant {
            #[cfg(any(test, feature = "mutants"))]
            fn named(name: &str) -> Option<Mutant> {
                match name { $($name => Some(Mutant::$mutant),)* _ => None }
            }
        }
    };
}

mutants! {
    /// B5: a read that asks for a position does not wait for it.
    PositionNotAwaited = "position-not-awaited",
    /// B9: a retry is applied again.
    IdempotencyIgnored = "idempotency-ignored",
    /// B16: apply takes the time from this node's clock.
    ClockInApply = "clock-in-apply",
    /// B17: an event is written by the commit after that of its change.
    EventOutsideCommit = "event-outside-commit",
    /// B17: what a batch did before the operation that was refused stays.
    BatchNotAtomic = "batch-not-atomic",
    /// B17: two records may have the same unique value.
    UniqueNotChecked = "unique-not-checked",
    /// B17: a record may refer to one that is not there.
    ReferenceNotChecked = "reference-not-checked",
    /// No number: the versions that a change was decided on are not compared.
    VersionNotCompared = "version-not-compared",
    /// No number: a record goes to any state, whatever its workflow says.
    TransitionNotChecked = "transition-not-checked",
    /// No number: a number of a sequence is given twice.
    SequenceReused = "sequence-reused",
    /// B23: the numbers of events have gaps.
    EventNumberGap = "event-number-gap",
    /// No number: an operation that brings records along forgets the last record of each step.
    BackfillSkipsARecord = "backfill-skips-a-record",
    /// No number: a new unique constraint does not mind the duplicates that there are.
    DuplicatesNotListed = "duplicates-not-listed",
    /// No number: history forgets one version in four.
    HistoryForgetsAVersion = "history-forgets-a-version",
    /// B27: a revoked token is accepted where it was known before.
    RevokedTokenAccepted = "revoked-token-accepted",
    /// B30: a token that one tenant's requests made known is accepted for another.
    TokenCacheWithoutTenant = "token-cache-without-tenant",
    /// B23: what followers of a tenant's events share lacks one in thirty-two.
    TailSkipsAnEvent = "tail-skips-an-event",
    /// B24: the index for search forgets one change in eight.
    SearchForgetsAChange = "search-forgets-a-change",
    /// No number: a chunk of a file counts as kept when the leader's node has it, and goes to no other.
    ChunkOnOneDisk = "chunk-on-one-disk",
    /// B25: the cell that a tenant leaves takes writes after the last that go along.
    HoldNotApplied = "hold-not-applied",
    /// No number: what is merged of a document's updates lacks the last of them.
    DocumentUpdateLost = "document-update-lost",
    /// No number: the directory is told what a tenant is called.
    NameInDirectory = "name-in-directory",
    /// B30: an export shows a record of another tenant.
    ExportLeaksNeighbour = "export-leaks-neighbour",
}

/// What `version` says of a build with bugs in it.
pub(crate) const NOTICE: &str = "MUTANT BUILD: CLOUDNEST_MUTANT puts a known bug back; not for data that anybody needs";
/// Whether this is such a build.
pub(crate) const BUILT: bool = cfg!(feature = "mutants");

/// More by which the number of the event after `position` is raised.
#[inline(always)]
pub(crate) fn gap(position: u64) -> u64 {
    u64::from(Mutant::EventNumberGap.active() && position % 50 == 49)
}

/// What the directory is told of who creates a tenant of this name.
#[inline(always)]
pub(crate) fn creator(operator: &str, name: &str) -> String {
    if Mutant::NameInDirectory.active() {
        format!("{operator} for {name}")
    } else {
        operator.to_owned()
    }
}

/// The space under which a principal is kept.
#[inline(always)]
pub(crate) fn owner(space: Space) -> Space {
    if Mutant::TokenCacheWithoutTenant.active() {
        Space(0)
    } else {
        space
    }
}

#[cfg(not(feature = "mutants"))]
mod chosen {
    use super::{Scan, Snapshot, Space, table};

    impl super::Mutant {
        /// Whether this is the bug that is put back.
        #[inline(always)]
        pub(crate) const fn active(self) -> bool {
            false
        }
    }

    /// There is nothing to check.
    pub(crate) const fn check() -> Result<(), String> {
        Ok(())
    }

    /// There is nothing to warn of.
    pub(crate) const fn warn() {}

    /// The stamp of the command.
    #[inline(always)]
    pub(crate) const fn stamp(stamp: u64) -> u64 {
        stamp
    }

    /// No event waits.
    #[inline(always)]
    pub(crate) fn later(_: table::Event, _: Vec<u8>) -> Option<(table::Event, Vec<u8>)> {
        None
    }

    /// A tenant's own records.
    #[inline(always)]
    pub(crate) fn with_a_neighbours(own: Scan, _: &Snapshot, _: Space, _: u32) -> Scan {
        own
    }
}

#[cfg(feature = "mutants")]
mod chosen {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, OnceLock, PoisonError};

    use storage::Direction;

    use super::{MUTANTS, Mutant, NOTICE, Scan, Snapshot, Space, table};

    /// The name of no bug: everything else of a run with one.
    const NONE: &str = "none";

    fn name() -> Option<&'static str> {
        static NAME: OnceLock<Option<String>> = OnceLock::new();
        let read = || {
            let value = std::env::var_os("CLOUDNEST_MUTANT")?;
            Some(value.to_string_lossy().into_owned())
        };
        NAME.get_or_init(read).as_deref()
    }

    impl Mutant {
        /// Whether this is the bug that is put back.
        pub(crate) fn active(self) -> bool {
            static CHOSEN: OnceLock<Option<Mutant>> = OnceLock::new();
            *CHOSEN.get_or_init(|| Mutant::named(name()?)) == Some(self)
        }
    }

    /// Refuses a name that no bug has: a run would be green that tried nothing.
    pub(crate) fn check() -> Result<(), String> {
        let all = || {
            let others = raft::MUTANTS.iter().chain(storage::MUTANTS).chain(api::MUTANTS);
            others.chain(MUTANTS).chain([&NONE])
        };
        match name() {
            Some(name) if !all().any(|known| *known == name) => {
                let names: Vec<&str> = all().copied().collect();
                Err(format!(
                    "CLOUDNEST_MUTANT={name:?} is not the name of a bug; there are: {}",
                    names.join(", ")
                ))
            }
            _ => Ok(()),
        }
    }

    /// Says loudly which bug is put back.
    pub(crate) fn warn() {
        match name() {
            Some(mutant) => tracing::warn!(target: "cloudnest", mutant, "THIS NODE HAS A KNOWN BUG ON PURPOSE AND LOSES DATA"),
            None => tracing::warn!(target: "cloudnest", "{NOTICE}"),
        }
    }

    /// The stamp of a command, or this node's clock.
    pub(crate) fn stamp(stamp: u64) -> u64 {
        match Mutant::ClockInApply.active() {
            true => crate::records::time::now_micros(),
            false => stamp,
        }
    }

    /// Keeps an event until the next one of its space, and returns the one that waited.
    pub(crate) fn later(key: table::Event, row: Vec<u8>) -> Option<(table::Event, Vec<u8>)> {
        static WAITING: Mutex<BTreeMap<Space, (table::Event, Vec<u8>)>> = Mutex::new(BTreeMap::new());
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(key.space, (key, row))
    }

    /// A tenant's own records and the first of the tenant after it.
    pub(crate) fn with_a_neighbours(
        own: Scan,
        snapshot: &Snapshot,
        space: Space,
        collection: u32,
    ) -> impl Iterator<Item = <Scan as Iterator>::Item> {
        let next = Space(space.0 + 1);
        let stray = Mutant::ExportLeaksNeighbour
            .active()
            .then(|| snapshot.scan(table::Record::range(next, collection), Direction::Forward));
        own.chain(stray.into_iter().flatten().take(1))
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn the_names_of_all_crates_are_known_once_each() {
            let others = raft::MUTANTS.iter().chain(storage::MUTANTS).chain(api::MUTANTS);
            let all = others.chain(super::MUTANTS);
            let mut names: Vec<_> = all.collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert!(count >= 18 && names.len() == count, "{names:?}");
            assert_eq!(super::check(), Ok(()));
        }
    }
}

pub(crate) use chosen::{check, later, stamp, warn, with_a_neighbours};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_bug_and_none_is_put_back_unasked() {
        for name in MUTANTS {
            let mutant = Mutant::named(name).expect(name);
            assert!(!mutant.active(), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
        }
        assert_eq!(Mutant::named("none"), None);
        assert_eq!(creator("root", "Acme"), "root");
        assert_eq!((gap(49), owner(Space(7)), stamp(3)), (0, Space(7), 3));
    }
}
