//! All replicas of a cell hold the same.
//!
//! How it works: at the end, when everybody is quiet, position, hash and number of keys of each replica are compared with
//! those of the first of its cell. No replica at all says nothing about the platform, so it is INVALID.
//!
//! CAVEATS: how many replicas a cell ought to have is the harness's to know, before it asks them; a cell with one is equal to
//! itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use super::support::{Findings, invalid};
use crate::ending::{Ending, ReplicaEnding};
use crate::history::History;
use crate::verdict::Verdict;

/// The promise.
pub struct Replicas;

impl Invariant for Replicas {
    fn name(&self) -> &'static str {
        "replicas"
    }

    fn check(&self, _: &History, ending: &Ending, _: Duration) -> Verdict {
        if ending.replicas.is_empty() {
            return invalid("no replica was asked");
        }
        let mut findings = Findings::default();
        let mut first: BTreeMap<&str, &ReplicaEnding> = BTreeMap::new();
        for replica in &ending.replicas {
            let other = *first.entry(&replica.cell).or_insert(replica);
            let holds = |replica: &ReplicaEnding| (replica.applied, replica.hash.clone(), replica.keys);
            if holds(other) != holds(replica) {
                let (cell, one, two) = (&replica.cell, tell(other), tell(replica));
                findings.add(format!("cell {cell}: {one}, but {two}"));
            }
        }
        findings.verdict()
    }

    /// A replica of a cell that has several gets another hash.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for replica in &ending.replicas {
            *count.entry(replica.cell.clone()).or_default() += 1;
        }
        let replica = ending.replicas.iter_mut().find(|replica| count[&replica.cell] > 1)?;
        replica.hash.push('x');
        Some((history.clone(), ending))
    }
}

fn tell(replica: &ReplicaEnding) -> String {
    let ReplicaEnding {
        node,
        applied,
        hash,
        keys,
        ..
    } = replica;
    format!("{node} has {keys} keys with hash {hash} at {applied}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::stories::Story;

    const CHECKER: Replicas = Replicas;

    fn story() -> Story {
        let mut story = Story::new();
        story.replica("c0", "n1", "aa");
        for node in ["n1", "n2", "n3"] {
            story.replica("c1", node, "bb");
        }
        story
    }

    #[test]
    fn equal_replicas_are_green() {
        story().assert_damage_is_found(&CHECKER);
    }

    #[test]
    fn a_replica_that_differs_in_anything_is_found() {
        let changes: [fn(&mut ReplicaEnding); 3] = [|it| it.hash.push('b'), |it| it.applied += 1, |it| it.keys += 1];
        for change in changes {
            let mut story = story();
            change(&mut story.ending.replicas[2]);
            story.assert_finds(&CHECKER, &["cell c1: n1 has", "but n2 has"]);
        }
    }

    #[test]
    fn no_replica_is_invalid() {
        let mut alone = Story::new();
        assert!(matches!(alone.verdict(&CHECKER), Verdict::Invalid { .. }));
        alone.replica("c0", "n1", "aa");
        alone.assert_no_damage(&CHECKER);
    }
}
