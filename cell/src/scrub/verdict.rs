//! What follows from what the replicas of a group found: who is right, and who is to be rebuilt.

use std::collections::{BTreeMap, BTreeSet};

use super::pins::{Found, Held};

/// The end of a scrub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All replicas hold the same.
    Equal,
    /// These are wrong: they differ from a majority, or their own checksums say so.
    Odd(BTreeSet<u64>),
    /// Replicas differ, and no majority agrees.
    Undecided,
    /// Some took no part, and the others are equal.
    Incomplete,
}

/// What replicas hold, but for the blocks of the file: those are each replica's own.
type Meaning = (u64, [u8; 32], u64);

fn meaning(held: &Held) -> Meaning {
    (held.index, held.hash, held.keys)
}

/// What more than half of all replicas hold, if they do.
pub(crate) fn majority(found: &BTreeMap<u64, Found>) -> Option<Meaning> {
    let mut counts: BTreeMap<Meaning, usize> = BTreeMap::new();
    for held in found.values().filter_map(held) {
        *counts.entry(meaning(held)).or_default() += 1;
    }
    let (meaning, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    (count * 2 > found.len()).then_some(meaning)
}

fn held(found: &Found) -> Option<&Held> {
    match found {
        Found::Done(held) => Some(held),
        _ => None,
    }
}

/// Whether a replica holds what the majority holds.
pub(crate) fn agrees(found: &Found, majority: Option<Meaning>) -> bool {
    held(found).is_some_and(|held| Some(meaning(held)) == majority)
}

/// Judges what all replicas of a group found; those that took no part are in it with what they said.
pub(crate) fn judge(found: &BTreeMap<u64, Found>) -> Verdict {
    let damaged = found.iter().filter(|(_, found)| matches!(found, Found::Damaged(_)));
    let mut odd: BTreeSet<u64> = damaged.map(|(node, _)| *node).collect();
    let majority = majority(found);
    let different: BTreeSet<Meaning> = found.values().filter_map(held).map(meaning).collect();
    if majority.is_some() {
        let others = found
            .iter()
            .filter(|(_, found)| held(found).is_some() && !agrees(found, majority));
        odd.extend(others.map(|(node, _)| *node));
    } else if different.len() > 1 {
        return Verdict::Undecided;
    }
    match () {
        () if !odd.is_empty() => Verdict::Odd(odd),
        () if found.values().all(|found| held(found).is_some()) => Verdict::Equal,
        () => Verdict::Incomplete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(hash: u8) -> Found {
        Found::Done(Held {
            index: 9,
            hash: [hash; 32],
            keys: 3,
            blocks: u64::from(hash),
        })
    }

    fn judged(found: &[Found]) -> Verdict {
        judge(&(1..).zip(found.iter().cloned()).collect())
    }

    fn odd(nodes: &[u64]) -> Verdict {
        Verdict::Odd(nodes.iter().copied().collect())
    }

    #[test]
    fn only_a_majority_of_all_replicas_says_who_is_wrong() {
        let damaged = || Found::Damaged("a checksum".to_owned());
        assert_eq!(judged(&[done(1), done(1), done(1)]), Verdict::Equal);
        assert_eq!(judged(&[done(1), done(2), done(1)]), odd(&[2]));
        assert_eq!(judged(&[done(1), done(2), done(3)]), Verdict::Undecided);
        assert_eq!(
            judged(&[done(1), done(2)]),
            Verdict::Undecided,
            "two cannot outvote each other"
        );
        assert_eq!(judged(&[done(1), done(2), Found::Nothing]), Verdict::Undecided);
        assert_eq!(judged(&[done(1), done(1), Found::Nothing]), Verdict::Incomplete);
        assert_eq!(judged(&[done(1), Found::Nothing, Found::Nothing]), Verdict::Incomplete);
        assert_eq!(
            judged(&[done(1), done(1), damaged()]),
            odd(&[3]),
            "the checksums need no majority"
        );
        assert_eq!(judged(&[damaged(), Found::Nothing, Found::Nothing]), odd(&[1]));
        assert_eq!(judged(&[done(2), done(1), done(1), done(3), done(1)]), odd(&[1, 4]));
        assert_eq!(
            judged(&[done(2), done(1), done(1), done(3), Found::Nothing]),
            Verdict::Undecided
        );
        assert_eq!(judged(&[done(7)]), Verdict::Equal);
    }

    #[test]
    fn another_position_is_another_meaning_and_other_blocks_are_not() {
        let other = Found::Done(Held {
            index: 10,
            hash: [1; 32],
            keys: 3,
            blocks: 1,
        });
        assert_eq!(judged(&[done(1), other, done(1)]), odd(&[2]));
        let Found::Done(held) = done(1) else { return };
        let blocks = Found::Done(Held { blocks: 99, ..held });
        assert_eq!(judged(&[done(1), blocks, done(1)]), Verdict::Equal);
    }
}
