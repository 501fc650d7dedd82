//! What lies between two topologies, in words.

use std::fmt;

use crate::config::{CellEntry, NodeEntry, Plan, Topology};

/// What happens to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It comes.
    Add,
    /// It changes.
    Change,
    /// It goes.
    Remove,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// What happens.
    pub(crate) sign: Sign,
    /// To what, such as `node eu-west-1a`.
    pub(crate) what: String,
    /// In which way.
    pub(crate) how: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.sign {
            Sign::Add => '+',
            Sign::Change => '~',
            Sign::Remove => '-',
        };
        match self.how.is_empty() {
            true => write!(f, "{sign} {}", self.what),
            false => write!(f, "{sign} {}: {}", self.what, self.how),
        }
    }
}

/// Everything that has to change for `current` to become `wanted`; empty: nothing.
pub(crate) fn changes(current: &Topology, wanted: &Topology) -> Vec<Change> {
    let mut out = Vec::new();
    let regions = |topology: &Topology| -> Vec<String> { topology.regions.iter().map(|region| region.name.clone()).collect() };
    let (have, want) = (regions(current), regions(wanted));
    compare(
        &mut out,
        "region",
        &have,
        &want,
        |name| (name.clone(), String::new()),
        |_, _| String::new(),
    );
    compare(&mut out, "node", &current.nodes, &wanted.nodes, show_node, node_change);
    compare(&mut out, "cell", &current.cells, &wanted.cells, show_cell, cell_change);
    let voters_change = set(&current.directory_voters) != set(&wanted.directory_voters);
    if voters_change || current.directory_changing != wanted.directory_changing {
        out.push(Change {
            sign: Sign::Change,
            what: "directory".to_owned(),
            how: arrow("voters", &list(&current.directory_voters), &list(&wanted.directory_voters)),
        });
    }
    compare(
        &mut out,
        "plan",
        &current.plans,
        &wanted.plans,
        |plan| (plan.name.clone(), String::new()),
        plan_change,
    );
    let first = |topology: &Topology| topology.plans.first().map(|plan| plan.name.clone()).unwrap_or_default();
    if first(current) != first(wanted) {
        out.push(Change {
            sign: Sign::Change,
            what: "default plan".to_owned(),
            how: format!("{} → {}", first(current), first(wanted)),
        });
    }
    out
}

/// The names in order, each once.
pub(crate) fn set(names: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn compare<T>(
    out: &mut Vec<Change>,
    kind: &str,
    current: &[T],
    wanted: &[T],
    show: impl Fn(&T) -> (String, String),
    change: impl Fn(&T, &T) -> String,
) {
    let find = |list: &'_ [T], name: &str| list.iter().position(|one| show(one).0 == name);
    for one in wanted {
        let (name, how) = show(one);
        let what = format!("{kind} {name}");
        match find(current, &name) {
            None => out.push(Change {
                sign: Sign::Add,
                what,
                how,
            }),
            Some(at) => {
                let how = change(&current[at], one);
                if !how.is_empty() {
                    let sign = Sign::Change;
                    out.push(Change { sign, what, how });
                }
            }
        }
    }
    for one in current {
        let (name, _) = show(one);
        if find(wanted, &name).is_none() {
            out.push(Change {
                sign: Sign::Remove,
                what: format!("{kind} {name}"),
                how: String::new(),
            });
        }
    }
}

fn show_node(node: &NodeEntry) -> (String, String) {
    (
        node.name.clone(),
        format!("number {} in {}, {}", node.number, node.region, node.endpoint),
    )
}

fn node_change(current: &NodeEntry, wanted: &NodeEntry) -> String {
    let mut parts = Vec::new();
    let mut part = |what: &str, old: String, new: String| {
        if old != new {
            parts.push(arrow(what, &old, &new));
        }
    };
    part("number", current.number.to_string(), wanted.number.to_string());
    part("region", current.region.clone(), wanted.region.clone());
    part("api", current.api.to_string(), wanted.api.to_string());
    part("peer", current.peer.to_string(), wanted.peer.to_string());
    part("endpoint", current.endpoint.clone(), wanted.endpoint.clone());
    parts.join(", ")
}

fn show_cell(cell: &CellEntry) -> (String, String) {
    let how = format!("{} in {}, on {}", cell.kind.name(), cell.region, list(&cell.nodes));
    (cell.name.clone(), how)
}

fn cell_change(current: &CellEntry, wanted: &CellEntry) -> String {
    let mut parts = Vec::new();
    let mut part = |what: &str, old: String, new: String| {
        if old != new {
            parts.push(arrow(what, &old, &new));
        }
    };
    part("number", current.number.to_string(), wanted.number.to_string());
    part("region", current.region.clone(), wanted.region.clone());
    part("kind", current.kind.name().to_owned(), wanted.kind.name().to_owned());
    if set(&current.nodes) != set(&wanted.nodes) {
        part("nodes", list(&current.nodes), list(&wanted.nodes));
    }
    // What an apply that was called off has begun.
    part("state", current.state.name().to_owned(), wanted.state.name().to_owned());
    parts.join(", ")
}

fn plan_change(current: &Plan, wanted: &Plan) -> String {
    let mut parts = Vec::new();
    let mut part = |what: &str, old: u64, new: u64| {
        if old != new {
            parts.push(arrow(what, &old.to_string(), &new.to_string()));
        }
    };
    part("weight", current.weight, wanted.weight);
    part("units_per_second", current.units_per_second, wanted.units_per_second);
    part("burst_units", current.burst_units, wanted.burst_units);
    part("storage_gib", current.storage_gib, wanted.storage_gib);
    let mut limit = |what: &str, old: Option<u64>, new: Option<u64>| {
        if old != new {
            let word = |limit: Option<u64>| limit.map_or_else(|| "no limit of its own".to_owned(), |limit| limit.to_string());
            parts.push(arrow(what, &word(old), &word(new)));
        }
    };
    limit("records", current.records, wanted.records);
    limit("connections", current.connections, wanted.connections);
    let mut part = |what: &str, old: u64, new: u64| {
        if old != new {
            parts.push(arrow(what, &old.to_string(), &new.to_string()));
        }
    };
    part("events_days", current.events_days, wanted.events_days);
    part("history_days", current.history_days, wanted.history_days);
    part("dedicated", u64::from(current.dedicated), u64::from(wanted.dedicated));
    parts.join(", ")
}

fn arrow(what: &str, old: &str, new: &str) -> String {
    format!("{what} {old} → {new}")
}

fn list(names: &[String]) -> String {
    names.join(" ")
}
