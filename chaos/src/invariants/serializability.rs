//! Batches are strictly serializable: there is one order of all transactions of a tenant, keeping to real time, in which each read
//! shows exactly what was appended before.
//!
//! Source: Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (VLDB 2020). Because lists
//! only grow and elements are unique, a read tells the whole history of its list, so the order of appends is known and not guessed.
//! `transactions` says which transactions count, `lists` draws the edges between them (who appended behind
//! whom, who read whom, who read before whom), `add_real_time` those of the clock, and `anomalies` names each cycle. With what
//! was read back at the end as the last transaction nothing stays open: the history is strictly serializable if and only if there
//! is no finding, which the tests hold against brute force. O(n) in the size of the history, but for the words about a cycle.
//!
//! CAVEATS: tenants are judged one by one, since no transaction spans two. A transaction that only reads is taken as one moment.

use std::collections::HashMap;
use std::time::Duration;

use super::support::{Deadline, Findings, acknowledged, views};
use super::{Invariant, names};
use crate::ending::Ending;
use crate::history::{Action, History};
use crate::verdict::Verdict;

mod anomalies;
mod graph;
mod lists;
#[cfg(test)]
mod tests;
mod transactions;

use anomalies::Anomaly;
use graph::{Graph, Why};
use transactions::{Transaction, last_lists, transactions};

/// Most transactions of a cycle that are told. The shortest cycles have two or three; moments of the clock do not count.
const TOLD: usize = 8;

/// The promise.
pub struct Serializability;

impl Invariant for Serializability {
    fn name(&self) -> &'static str {
        "serializability"
    }

    fn check(&self, history: &History, ending: &Ending, budget: Duration) -> Verdict {
        let deadline = Deadline::after(budget);
        let views = match views(history, ending) {
            Ok(views) => views,
            Err(verdict) => return verdict,
        };
        let mut findings = Findings::default();
        for view in views {
            if deadline.is_over() {
                return if findings.is_empty() {
                    deadline.verdict()
                } else {
                    findings.verdict()
                };
            }
            let last = last_lists(view);
            let (transactions, authors) = transactions(view, &last);
            let slug = &view.tenant.slug;
            let mut graph = Graph::default();
            for _ in &transactions {
                graph.add_node();
            }
            lists::add_edges(&transactions, &authors, slug, &mut graph, &mut findings);
            add_real_time(&transactions, &mut graph);
            for anomaly in anomalies::anomalies(&graph, transactions.len()) {
                findings.add(format!("{slug}: {}", tell(&anomaly, &transactions)));
            }
        }
        findings.verdict()
    }

    /// A read loses its last element, which had been acknowledged before the read began.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut history = history.clone();
        let mut acknowledged_at: HashMap<(usize, &str, u64), u64> = HashMap::new();
        for operation in history.operations.iter().filter(|operation| acknowledged(operation)) {
            if let Action::Transaction { appends, .. } = &operation.action {
                let places = appends
                    .iter()
                    .map(|(key, element)| (operation.tenant, key.as_str(), *element));
                acknowledged_at.extend(places.map(|place| (place, operation.completed_us)));
            }
        }
        let found = history.operations.iter().enumerate().find_map(|(at, reader)| {
            let Action::Transaction { reads, .. } = &reader.action else {
                return None;
            };
            let is_old = |(key, elements): &(String, Vec<u64>)| {
                let last = elements.last().map(|last| (reader.tenant, key.as_str(), *last));
                let appended = last.and_then(|last| acknowledged_at.get(&last));
                appended.is_some_and(|appended| *appended < reader.invoked_us)
            };
            let read = reads.iter().position(is_old).filter(|_| acknowledged(reader))?;
            Some((at, read))
        });
        let (at, read) = found?;
        if let Action::Transaction { reads, .. } = &mut history.operations[at].action {
            reads[read].1.pop();
        }
        Some((history, ending.clone()))
    }
}

/// Adds the order of the clock: a transaction that completed before another began comes before it. Not an edge for each pair, but
/// one chain of moments, one for each completion: from a transaction to the moment of its completion, from each moment to the next,
/// and from the last moment before a transaction began to the transaction. That is O(n) edges with the same reach.
fn add_real_time(transactions: &[Transaction<'_>], graph: &mut Graph) {
    let mut completions: Vec<(u64, usize)> = transactions
        .iter()
        .enumerate()
        .filter(|(_, transaction)| transaction.completed_us != u64::MAX)
        .map(|(number, transaction)| (transaction.completed_us, number))
        .collect();
    completions.sort_unstable();
    let mut moments = Vec::with_capacity(completions.len());
    for (_, number) in &completions {
        let moment = graph.add_node();
        graph.add_edge(*number, moment, Why::RealTime);
        if let Some(before) = moments.last() {
            graph.add_edge(*before, moment, Why::RealTime);
        }
        moments.push(moment);
    }
    for (number, transaction) in transactions.iter().enumerate() {
        let before = completions.partition_point(|(completed_us, _)| *completed_us < transaction.invoked_us);
        if let Some(before) = before.checked_sub(1) {
            graph.add_edge(moments[before], number, Why::RealTime);
        }
    }
}

/// A cycle in words.
fn tell(anomaly: &Anomaly, transactions: &[Transaction<'_>]) -> String {
    let mut words = Vec::new();
    for (node, why) in &anomaly.cycle {
        let Some(transaction) = transactions.get(*node) else {
            continue;
        };
        let why = match why {
            Why::WriteWrite => "was appended behind by",
            Why::WriteRead => "was read by",
            Why::ReadWrite => "had not read what was appended by",
            Why::RealTime => "had ended before the beginning of",
        };
        words.push(format!("{} {why}", transaction.label));
    }
    if words.len() > TOLD {
        let more = words.len() - TOLD;
        words.truncate(TOLD);
        words.push(format!("({more} more)"));
    }
    format!("{} over {}: {} the first", anomaly.name, names::LISTS, words.join(" "))
}
