//! Log and memory of a node are bounded, whatever happens to its peers.
//!
//! How it works: the most that each node used during the run is compared with [`LOG_BYTES`], [`KEPT_BYTES`] and
//! [`RESIDENT_BYTES`].
//!
//! CAVEATS: a run of seconds finds a log that is never purged only if it writes enough; the long runs are for that, and the programs
//! with a bug put back, which keep a hundredth of it.

use std::time::Duration;

use super::Invariant;
use super::support::{Findings, invalid};
use crate::ending::Ending;
use crate::history::History;
use crate::verdict::Verdict;

/// Most bytes of a node's log directory: 1.5 GiB. The log is written to disk as state every 512 MiB and purged behind that, with
/// 64 MiB kept for peers that lag, so even a node with slow disks stays below; at 2 GiB it would refuse writes, which the load
/// would notice first. Higher, a purge that has stopped goes unseen; lower, a flush that is merely late makes a run red.
pub const LOG_BYTES: u64 = 3 << 29;

/// Most bytes of log that a node keeps of one group: 640 MiB. What is not durable as state yet is at most 512 MiB, and 64 MiB are kept
/// for peers that lag. Higher, a purge that has stopped goes unseen for longer; lower, a flush that is merely late makes a run red.
pub const KEPT_BYTES: u64 = 640 << 20;

/// Most resident bytes of a node: 1 GiB. The store's cache, its deltas and the queues of the log, of apply and of the peers are
/// limited to 16 to 64 MiB each; together they stay below half of it. Higher, a queue without a limit goes unseen in a short run;
/// lower, the allocator's own slack under full load makes a run red.
pub const RESIDENT_BYTES: u64 = 1 << 30;

const _: () = assert!(
    RESIDENT_BYTES < LOG_BYTES,
    "what is in memory only is less than what its log may hold"
);

/// The promise.
pub struct Bounds;

impl Invariant for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn check(&self, _: &History, ending: &Ending, _: Duration) -> Verdict {
        if ending.nodes.is_empty() {
            return invalid("no node was measured");
        }
        let mut findings = Findings::default();
        let kept = if ending.hurried { KEPT_BYTES / 100 } else { KEPT_BYTES };
        for node in &ending.nodes {
            let limits = [
                ("bytes of log", node.log_bytes, LOG_BYTES),
                ("bytes of log of one group", node.kept_bytes, kept),
                ("resident bytes", node.resident_bytes, RESIDENT_BYTES),
            ];
            for (what, used, limit) in limits {
                if used > limit {
                    findings.add(format!("{} had {used} {what}, at most {limit}", node.node));
                }
            }
        }
        findings.verdict()
    }

    /// A node's log grows one byte too long.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        ending.nodes.first_mut()?.log_bytes = LOG_BYTES + 1;
        Some((history.clone(), ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::stories::Story;

    const CHECKER: Bounds = Bounds;

    #[test]
    fn what_stays_below_is_green() {
        let mut story = Story::new();
        story.node("n1", LOG_BYTES, RESIDENT_BYTES);
        story.assert_damage_is_found(&CHECKER);
    }

    #[test]
    fn too_much_of_either_is_found() {
        let mut story = Story::new();
        story.node("n1", LOG_BYTES + 1, 0);
        story.node("n2", 0, RESIDENT_BYTES + 1);
        story.node("n3", 0, 0);
        story.ending.nodes[2].kept_bytes = KEPT_BYTES + 1;
        story.assert_finds(&CHECKER, &["n1 had", "bytes of log"]);
        story.assert_finds(&CHECKER, &["n2 had", "resident bytes"]);
        story.assert_finds(&CHECKER, &["n3 had", "of one group"]);
    }

    #[test]
    fn a_program_in_a_hurry_keeps_a_hundredth() {
        let mut story = Story::new();
        story.node("n1", KEPT_BYTES / 50, 0);
        story.assert_green(&CHECKER);
        story.ending.hurried = true;
        story.assert_finds(&CHECKER, &["n1 had", "of one group"]);
    }

    #[test]
    fn no_node_is_invalid() {
        let story = Story::new();
        assert!(matches!(story.verdict(&CHECKER), Verdict::Invalid { .. }));
        story.assert_no_damage(&CHECKER);
    }
}
