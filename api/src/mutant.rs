//! Known bugs that can be put back, one at a time: whoever says that it finds bugs is tried on them (docs/mutants.md).
//!
//! Only a build with the feature `mutants` has them, and of those only the one that `CLOUDNEST_MUTANT` names when it is first asked.
//! In every other build [`Mutant::active`] is a constant `false`, and the compiler takes out what it guards. Each crate has a file
//! like this with its own bugs.

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
    /// No number: who has gone stays at the topics that it was at.
    PresenceNeverEnds = "presence-never-ends",
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
}

#[cfg(feature = "mutants")]
mod chosen {
    use std::sync::OnceLock;

    impl super::Mutant {
        /// Whether this is the bug that is put back.
        pub(crate) fn active(self) -> bool {
            static CHOSEN: OnceLock<Option<super::Mutant>> = OnceLock::new();
            let read = || super::Mutant::named(&std::env::var("CLOUDNEST_MUTANT").ok()?);
            *CHOSEN.get_or_init(read) == Some(self)
        }
    }
}

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
    }
}
