//! Known bugs that can be put back, one at a time: whoever says that it finds bugs is tried on them (docs/mutants.md).
//!
//! Only a build with the feature `mutants` has them, and of those only the one that `CLOUDNEST_MUTANT` names when it is first asked.
//! In every other build [`Mutant::active`] is a constant `false`, and the compiler takes out what it guards. Each crate has a file
//! like this with its own bugs.
//!
//! While a bug is put back, or `none` is, little of the log is kept: then snapshots are sent within seconds instead of after fifty
//! thousand entries. With `none` that is all, so that a run without a bug can be told from one with.

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
    /// B1: entries count as durable before they are synced.
    AckBeforeFsync = "ack-before-fsync",
    /// B2: a vote is not written.
    VoteNotPersisted = "vote-not-persisted",
    /// B3, B8: an append counts as acknowledged once it is sent.
    CommitWithoutQuorum = "commit-without-quorum",
    /// B5: a strong read is served without asking whether its replica is up to date.
    ReadWithoutBarrier = "read-without-barrier",
    /// B9: an outcome that is not known is called "not applied", and the request is sent again.
    UnknownCalledNotApplied = "unknown-called-not-applied",
    /// B15: a node that lost its data votes under its old name.
    WipedNodeWelcome = "wiped-node-welcome",
    /// B18: what a torn write left of a frame is taken for whole.
    TornTailAccepted = "torn-tail-accepted",
    /// No number: the log is purged up to what is applied, not up to what is durable.
    PurgePastDurable = "purge-past-durable",
    /// B22: the log is never purged.
    UnboundedLog = "unbounded-log",
    /// B28: heartbeats queue behind entries.
    HeartbeatBehindData = "heartbeat-behind-data",
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

    /// A limit, or a hundredth of it.
    #[inline(always)]
    pub(crate) const fn hurried(limit: (u64, u64)) -> (u64, u64) {
        limit
    }
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

    /// A limit, or a hundredth of it.
    pub(crate) fn hurried((entries, bytes): (u64, u64)) -> (u64, u64) {
        match name() {
            Some(_) => (entries / 100, bytes / 100),
            None => (entries, bytes),
        }
    }
}

pub(crate) use chosen::hurried;

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
        assert_eq!(hurried((50_000, 64 << 20)), (50_000, 64 << 20));
    }
}
