//! The transactions of one tenant that count.
//!
//! Acknowledged ones do. An unknown one counts when somebody read one of its appends; of its reads only those of lists that it
//! appended to, since only their versions were compared when it took effect. What was read back at the end is one more transaction,
//! which reads every list after everything else.

use std::collections::HashSet;

use super::lists::{Author, Authors};
use crate::ending::Record;
use crate::history::{Action, Outcome};
use crate::invariants::names;
use crate::invariants::support::{View, latest_us, when};

/// A transaction that counts.
pub(super) struct Transaction<'a> {
    pub(super) reads: Vec<(&'a str, &'a [u64])>,
    pub(super) appends: Vec<(&'a str, u64)>,
    pub(super) invoked_us: u64,
    /// [`u64::MAX`]: nobody knows.
    pub(super) completed_us: u64,
    /// For findings.
    pub(super) label: String,
}

/// The lists at the end, by their keys; those whose elements are no list of numbers are empty.
pub(super) fn last_lists(view: View<'_>) -> Vec<(String, Vec<u64>)> {
    let elements = |record: &Record| {
        let elements = record.fields.get(names::LIST_ELEMENTS).and_then(serde_json::Value::as_array);
        elements.into_iter().flatten().filter_map(serde_json::Value::as_u64).collect()
    };
    let records = view.records(names::LISTS);
    records.map(|(key, record)| (key.to_owned(), elements(record))).collect()
}

/// The transactions that count, the ending last, and who appended what.
pub(super) fn transactions<'a>(view: View<'a>, last: &'a [(String, Vec<u64>)]) -> (Vec<Transaction<'a>>, Authors<'a>) {
    let seen = seen(view, last);
    let mut transactions = Vec::new();
    let mut authors = Authors::new();
    for operation in view.operations() {
        let Action::Transaction { reads, appends } = &operation.action else {
            continue;
        };
        let appends: Vec<_> = appends.iter().map(|(key, element)| (key.as_str(), *element)).collect();
        if operation.outcome == Outcome::Failed {
            let aborted = |append| (append, Author::Aborted(when(operation)));
            authors.extend(appends.into_iter().map(aborted));
            continue;
        }
        let is_known = operation.outcome == Outcome::Ok;
        if !is_known && !appends.iter().any(|append| seen.contains(append)) {
            continue;
        }
        let compared = |key: &str| is_known || appends.iter().any(|(other, _)| *other == key);
        let reads = reads.iter().filter(|(key, _)| compared(key));
        let reads = reads.map(|(key, elements)| (key.as_str(), elements.as_slice())).collect();
        let number = transactions.len();
        authors.extend(appends.iter().map(|append| (*append, Author::Counts(number))));
        transactions.push(Transaction {
            reads,
            appends,
            invoked_us: operation.invoked_us,
            completed_us: latest_us(operation),
            label: format!("[{}]", when(operation)),
        });
    }
    if !last.is_empty() {
        let ends = view.operations().map(|operation| operation.completed_us);
        transactions.push(Transaction {
            reads: last
                .iter()
                .map(|(key, elements)| (key.as_str(), elements.as_slice()))
                .collect(),
            appends: Vec::new(),
            invoked_us: ends.max().unwrap_or(0) + 1,
            completed_us: u64::MAX,
            label: "[the ending]".to_owned(),
        });
    }
    (transactions, authors)
}

/// What acknowledged transactions and the ending show.
fn seen<'a>(view: View<'a>, last: &'a [(String, Vec<u64>)]) -> HashSet<(&'a str, u64)> {
    let reads = view.operations().filter_map(|operation| match &operation.action {
        Action::Transaction { reads, .. } if operation.outcome == Outcome::Ok => Some(reads.as_slice()),
        _ => None,
    });
    let mut seen = HashSet::new();
    for (key, elements) in reads.flatten().chain(last) {
        // From the end: what stands before an element that is known is nearly always known, too.
        for element in elements.iter().rev() {
            if !seen.insert((key.as_str(), *element)) {
                break;
            }
        }
    }
    seen
}
