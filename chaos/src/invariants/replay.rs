//! Replay of the log makes the same state again.
//!
//! How it works: each replica's hash at the end is compared with its hash after every node was killed and started again, which
//! applies the tail of the log anew on top of what had reached the disk. A replica without the second hash was not tried: the
//! run is INVALID, unless another replica already shows that it does not hold.

use std::time::Duration;

use super::Invariant;
use super::support::{Findings, invalid};
use crate::ending::Ending;
use crate::history::History;
use crate::verdict::Verdict;

/// The promise.
pub struct Replay;

impl Invariant for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn check(&self, _: &History, ending: &Ending, _: Duration) -> Verdict {
        if ending.replicas.is_empty() {
            return invalid("no replica was asked");
        }
        let mut findings = Findings::default();
        let mut untried = Vec::new();
        for replica in &ending.replicas {
            let (cell, node, hash) = (&replica.cell, &replica.node, &replica.hash);
            match &replica.hash_after_replay {
                None => untried.push(format!("{node} of cell {cell}")),
                Some(after) if after != hash => {
                    findings.add(format!("cell {cell}: {node} had hash {hash}, and {after} after replay"));
                }
                Some(_) => {}
            }
        }
        if findings.is_empty() && !untried.is_empty() {
            return invalid(format!("not asked after replay: {}", untried.join(", ")));
        }
        findings.verdict()
    }

    /// Replay makes something else of one replica.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let mut after = ending
            .replicas
            .iter_mut()
            .filter_map(|replica| replica.hash_after_replay.as_mut());
        after.next()?.push('x');
        Some((history.clone(), ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::stories::Story;

    const CHECKER: Replay = Replay;

    #[test]
    fn the_same_state_again_is_green() {
        let mut story = Story::new();
        story.replica("c1", "n1", "aa");
        story.replica("c1", "n2", "aa");
        story.assert_damage_is_found(&CHECKER);
    }

    #[test]
    fn another_state_is_found_even_if_one_was_not_tried() {
        let mut story = Story::new();
        story.replica("c1", "n1", "aa").hash_after_replay = None;
        story.replica("c1", "n2", "aa").hash_after_replay = Some("bb".to_owned());
        story.assert_finds(&CHECKER, &["cell c1: n2 had hash aa, and bb"]);
    }

    #[test]
    fn a_replica_that_was_not_tried_is_invalid() {
        let mut story = Story::new();
        assert!(matches!(story.verdict(&CHECKER), Verdict::Invalid { .. }));
        story.replica("c1", "n1", "aa").hash_after_replay = None;
        assert!(matches!(story.verdict(&CHECKER), Verdict::Invalid { .. }));
        story.assert_no_damage(&CHECKER);
    }
}
