//! What the lists of one tenant say about the order of transactions.
//!
//! The longest read of a list is the order of its appends; every other read must be a prefix of it. An element that was acknowledged
//! and that no read shows comes behind all that are shown.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::graph::{Graph, Why};
use super::transactions::Transaction;
use crate::invariants::support::Findings;

/// Whose append an element is, and whether that transaction counts.
pub(super) enum Author {
    /// That transaction.
    Counts(usize),
    /// One that failed.
    Aborted(String),
}

/// Who appended what: list and element.
pub(super) type Authors<'a> = HashMap<(&'a str, u64), Author>;

/// The order of one list.
#[derive(Default)]
struct Order<'a> {
    /// The longest read.
    elements: &'a [u64],
    /// Transactions and what they read, all prefixes of the longest.
    readers: Vec<(usize, &'a [u64])>,
}

/// Adds the edges of all lists of the tenant `slug` to the graph.
pub(super) fn add_edges(
    transactions: &[Transaction<'_>],
    authors: &Authors<'_>,
    slug: &str,
    graph: &mut Graph,
    findings: &mut Findings,
) {
    let mut orders: BTreeMap<&str, Order<'_>> = BTreeMap::new();
    for transaction in transactions {
        for (key, elements) in &transaction.reads {
            let order = orders.entry(key).or_default();
            if elements.len() > order.elements.len() {
                order.elements = elements;
            }
        }
        for (key, _) in &transaction.appends {
            orders.entry(key).or_default();
        }
    }
    let mut unread: HashMap<&str, Vec<(u64, usize)>> = HashMap::new();
    let shown: HashSet<(&str, u64)> = orders
        .iter()
        .flat_map(|(key, order)| order.elements.iter().map(|element| (*key, *element)))
        .collect();
    for (number, transaction) in transactions.iter().enumerate() {
        for (key, elements) in &transaction.reads {
            let Some(order) = orders.get_mut(key) else { continue };
            if order.elements.starts_with(elements) {
                order.readers.push((number, elements));
            } else {
                let at = order.elements.iter().zip(*elements).take_while(|(a, b)| a == b).count();
                let (one, other) = (order.elements.get(at), elements.get(at));
                findings.add(format!(
                    "incompatible order: {slug}/{key}: {} read {other:?} at place {at}, others read {one:?}",
                    transaction.label
                ));
            }
        }
        for (key, element) in transaction.appends.iter().filter(|append| !shown.contains(*append)) {
            unread.entry(key).or_default().push((*element, number));
        }
    }
    for (key, order) in &orders {
        let names = Names { key, slug };
        names.edges(order, unread.get(key).map_or(&[], Vec::as_slice), authors, graph, findings);
        names.intermediate(order, transactions, authors, findings);
    }
}

/// How a list is called.
struct Names<'a> {
    key: &'a str,
    slug: &'a str,
}

impl Names<'_> {
    fn edges(
        &self,
        order: &Order<'_>,
        unread: &[(u64, usize)],
        authors: &Authors<'_>,
        graph: &mut Graph,
        findings: &mut Findings,
    ) {
        let Self { key, slug } = self;
        let mut writers: Vec<Option<usize>> = Vec::new();
        let mut twice = HashSet::new();
        for element in order.elements {
            if !twice.insert(element) {
                findings.add(format!("duplicate: {slug}/{key}: {element} is there twice"));
            }
            writers.push(match authors.get(&(key, *element)) {
                Some(Author::Counts(number)) => Some(*number),
                Some(Author::Aborted(whose)) => {
                    findings.add(format!("G1a (aborted read): {slug}/{key}: {element} of {whose} was read"));
                    None
                }
                None => {
                    findings.add(format!("phantom: {slug}/{key}: nobody appended {element}"));
                    None
                }
            });
        }
        for pair in writers.windows(2) {
            if let [Some(first), Some(second)] = pair {
                graph.add_edge(*first, *second, Why::WriteWrite);
            }
        }
        let last = writers.last().copied().flatten();
        for (_, behind) in unread {
            if let Some(last) = last {
                graph.add_edge(last, *behind, Why::WriteWrite);
            }
        }
        for (reader, elements) in &order.readers {
            let seen = elements.len();
            if let Some(writer) = seen.checked_sub(1).and_then(|at| writers[at]) {
                graph.add_edge(writer, *reader, Why::WriteRead);
            }
            match writers.get(seen) {
                Some(Some(next)) => graph.add_edge(*reader, *next, Why::ReadWrite),
                Some(None) => {}
                None => unread
                    .iter()
                    .for_each(|(_, behind)| graph.add_edge(*reader, *behind, Why::ReadWrite)),
            }
        }
    }

    /// Reads that end between two appends of one transaction, and those that show the reader its own.
    fn intermediate(&self, order: &Order<'_>, transactions: &[Transaction<'_>], authors: &Authors<'_>, findings: &mut Findings) {
        let Self { key, slug } = self;
        for (reader, elements) in &order.readers {
            let Some(last) = elements.last() else { continue };
            let Some(Author::Counts(writer)) = authors.get(&(key, *last)) else {
                continue;
            };
            let label = &transactions[*reader].label;
            if writer == reader {
                findings.add(format!(
                    "internal: {slug}/{key}: {label} read {last}, which it was yet to append"
                ));
                continue;
            }
            let mut own = transactions[*writer].appends.iter().filter(|(other, _)| other == key);
            if own.next_back().is_some_and(|(_, element)| element != last) {
                let whose = &transactions[*writer].label;
                findings.add(format!(
                    "G1b (intermediate read): {slug}/{key}: {label} read up to {last} of {whose}"
                ));
            }
        }
    }
}
