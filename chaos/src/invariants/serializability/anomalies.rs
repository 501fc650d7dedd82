//! Cycles, named as Adya, "Weak Consistency" (1999) names them, by the edges that they need.
//!
//! - G0: write-write edges alone: two transactions' appends lie around each other.
//! - G1c: write-write and write-read edges: two transactions see each other.
//! - G-single: exactly one read-write edge: a lost update, a read skew, an update seen half.
//! - G2: two read-write edges or more: write skew.
//! - `-realtime` behind a name: the cycle needs the order of the clock, so a serial order exists, but not one that keeps to it.
//!
//! Smaller sets of edges are looked through first, so that a cycle gets the gravest name that fits, and a transaction that was
//! named is not named again.

use std::collections::HashSet;

use super::graph::{Graph, Step, Why};

const WRITES: u8 = Why::WriteWrite as u8 | Why::WriteRead as u8;
const READ_WRITE: u8 = Why::ReadWrite as u8;
const REAL_TIME: u8 = Why::RealTime as u8;

/// The sets of edges that are looked through, one after the other.
const MASKS: [u8; 5] = [
    Why::WriteWrite as u8,
    WRITES,
    WRITES | READ_WRITE,
    WRITES | REAL_TIME,
    WRITES | READ_WRITE | REAL_TIME,
];

/// Edges of one part from which a cycle is looked for. One is nearly always enough; more only look for a graver name.
const TRIES: usize = 200;

/// A cycle.
pub(super) struct Anomaly {
    /// Its name.
    pub(super) name: String,
    /// The way round.
    pub(super) cycle: Vec<Step>,
}

/// One cycle of each part of the graph that has any. Nodes from `transactions` on are moments of the clock, not transactions.
pub(super) fn anomalies(graph: &Graph, transactions: usize) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let mut named: HashSet<usize> = HashSet::new();
    for mask in MASKS {
        for part in graph.parts(mask) {
            if part.iter().any(|node| named.contains(node)) {
                continue;
            }
            let part: HashSet<usize> = part.into_iter().collect();
            if let Some(cycle) = gravest(graph, &part, mask) {
                anomalies.push(Anomaly {
                    name: name(&cycle),
                    cycle,
                });
                named.extend(part.into_iter().filter(|node| *node < transactions));
            }
        }
    }
    anomalies
}

/// A cycle of a part, with one read-write edge if such a one is found.
fn gravest(graph: &Graph, part: &HashSet<usize>, mask: u8) -> Option<Vec<Step>> {
    let without = mask & !READ_WRITE;
    let single = graph
        .edges_of(part, mask & READ_WRITE)
        .take(TRIES)
        .find_map(|(from, step)| graph.cycle_through(from, step, without, part));
    single.or_else(|| {
        let mut edges = graph.edges_of(part, mask);
        edges.find_map(|(from, step)| graph.cycle_through(from, step, mask, part))
    })
}

fn name(cycle: &[Step]) -> String {
    let count = |kind| cycle.iter().filter(|(_, why)| *why == kind).count();
    let name = match (count(Why::ReadWrite), count(Why::WriteRead)) {
        (0, 0) => "G0",
        (0, _) => "G1c",
        (1, _) => "G-single",
        _ => "G2",
    };
    let suffix = if count(Why::RealTime) > 0 { "-realtime" } else { "" };
    format!("{name}{suffix}")
}
