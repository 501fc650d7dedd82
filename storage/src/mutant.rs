//! Known bugs that can be put back, one at a time: whoever says that it finds bugs is tried on them (docs/mutants.md).
//!
//! Only a build with the feature `mutants` has them, and of those only the one that `CLOUDNEST_MUTANT` names when it is first asked.
//! In every other build [`Mutant::active`] is a constant `false`, and the compiler takes out what it guards. Each crate has a file
//! like this with its own bugs.
//!
//! While a bug is put back, or `none` is, a delta is frozen and flushed at a hundredth of its usual size, so that a crash meets a
//! flush. With `none` that is all, so that a run without a bug can be told from one with.

use std::sync::Arc;

use bytes::Bytes;

use crate::delta::{Delta, View};
use crate::error::Error;
use crate::key::Key;
use crate::scan::Scan;
use crate::snapshot::Snapshot;
use crate::table::{Idempotency, IndexEntry, Record, Table};

macro_rules! mutants {
    ($( $(#[$doc:meta])* $mutant:ident = $name:literal ),* $(,)?) => {
        /// A bug of this crate. The classes are those of docs/mutants.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Mutant { $( $(#[$doc])* $mutant ),* }

        /// The names of this crate's bugs.
        pub const MUTANTS: &[&str] = &[$($name),*];

        impl Mutant {
            #[cfg(any(test, feature = "mutants"))]
            fn named(name: &str) -> Option<Mutant> {
                match name { $($name => Some(Mutant::$mutant),)* _ => None }
            }
        }
    };
}

mutants! {
    /// B1: a flush is said to be durable before it is synced.
    FlushNotSynced = "flush-not-synced",
    /// No number: a key that was overwritten during its flush falls back to what was flushed.
    FlushLosesOverwritten = "flush-loses-overwritten",
    /// B10: a snapshot has no stored replies.
    SnapshotOmitsIdempotency = "snapshot-omits-idempotency",
    /// B11: a snapshot has no index entries, and nobody builds them again.
    SnapshotOmitsIndexes = "snapshot-omits-indexes",
    /// B11: a snapshot lacks the newest changes, but says that it has them.
    SnapshotLosesTail = "snapshot-loses-tail",
    /// B12: the old store is removed before the received one is in its place.
    SnapshotNotAtomic = "snapshot-not-atomic",
    /// B17: how far a flush is, is committed before what it flushes.
    ProgressAhead = "progress-ahead",
    /// B17: after a crash a command is applied again to a space that has its effect.
    ReplayNotSkipped = "replay-not-skipped",
    /// B19: a value is served though its checksum is wrong.
    ValueChecksumIgnored = "value-checksum-ignored",
}

/// What a snapshot of a view is read from.
#[inline(always)]
pub(crate) fn shown(view: &Arc<View>) -> Snapshot {
    let mut view = view.clone();
    if Mutant::SnapshotLosesTail.active() {
        Arc::make_mut(&mut view).active = Delta::default();
    }
    Snapshot { view }
}

/// The next key of a snapshot.
#[inline(always)]
pub(crate) fn next(scan: &mut Scan) -> Option<Result<(Key, Bytes), Error>> {
    loop {
        let found = scan.next()?;
        let tag = found.as_ref().ok().map(|(key, _)| key.tag());
        let idempotency = Mutant::SnapshotOmitsIdempotency.active() && tag == Some(Idempotency::TAG);
        let index = Mutant::SnapshotOmitsIndexes.active() && tag == Some(IndexEntry::TAG);
        if !idempotency && !index {
            return Some(found);
        }
    }
}

/// What was flushed leaves the active delta too, though it has been overwritten since.
#[inline(always)]
pub(crate) fn forget_flushed(active: &mut Delta, flushed: &Delta) {
    if Mutant::FlushLosesOverwritten.active() {
        let records = flushed.changes.iter().filter(|entry| entry.key().tag() == Record::TAG);
        records.for_each(|entry| drop(active.changes.remove(entry)));
    }
}

#[cfg(not(feature = "mutants"))]
mod chosen {
    impl super::Mutant {
        /// Whether this is the bug that is put back.
        #[inline(always)]
        pub(crate) const fn active(self) -> bool {
            false
        }
    }

    /// A size in bytes, or a hundredth of it.
    #[inline(always)]
    pub(crate) const fn hurried(bytes: usize) -> usize {
        bytes
    }

    /// Does nothing.
    #[inline(always)]
    pub(crate) const fn linger() {}
}

#[cfg(feature = "mutants")]
mod chosen {
    use std::sync::OnceLock;

    fn name() -> Option<&'static str> {
        static NAME: OnceLock<Option<String>> = OnceLock::new();
        NAME.get_or_init(|| std::env::var("CLOUDNEST_MUTANT").ok()).as_deref()
    }

    impl super::Mutant {
        /// Whether this is the bug that is put back.
        pub(crate) fn active(self) -> bool {
            static CHOSEN: OnceLock<Option<super::Mutant>> = OnceLock::new();
            *CHOSEN.get_or_init(|| super::Mutant::named(name()?)) == Some(self)
        }
    }

    /// A size in bytes, or a hundredth of it.
    pub(crate) fn hurried(bytes: usize) -> usize {
        match name() {
            Some(_) => bytes / 100,
            None => bytes,
        }
    }

    /// Widens a gap between two steps, so that a crash may fall into it.
    pub(crate) fn linger() {
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

pub(crate) use chosen::{hurried, linger};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_bug_and_none_is_put_back_unasked() {
        for name in MUTANTS {
            let mutant = Mutant::named(name).unwrap();
            assert!(!mutant.active(), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
        }
        assert_eq!(Mutant::named("none"), None);
        assert_eq!(hurried(20 << 20), 20 << 20);
    }
}
