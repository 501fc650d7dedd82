//! A tenant is served by one cell, and what it wrote is nowhere else.
//!
//! How it works: at the end all nodes name one cell for each tenant, and a cell for tenants that nobody names holds next to nothing: the
//! marks of those that were there. Two cells that take writes of one tenant at the same time number them alike: so no two acknowledged
//! writes have one position, for a write has an event, and the answer to its key is always that of the first time. And a record that was
//! acknowledged at a position has its event there or before: the cell that acknowledged it is the one whose events there are.
//!
//! CAVEATS: what a cell holds is told by the number of its keys. A cell that serves one tenant, and kept another that left, is told by
//! nothing here; so `moves` ends with all tenants in one cell.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use super::names;
use super::support::{Findings, View, acknowledged, invalid, of_each, when};
use crate::ending::Ending;
use crate::history::{Action, History, Operation};
use crate::verdict::Verdict;

/// Keys that a cell may hold without a tenant. One tenant of a run has thousands.
pub const LEFT_KEYS: u64 = 100;
/// What names of cells for tenants do not begin with.
const DIRECTORY: &str = "directory";

/// The promise.
pub struct Owners;

impl Invariant for Owners {
    fn name(&self) -> &'static str {
        "owners"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        if ending.owners.is_empty() {
            return invalid("no node was asked where tenants are");
        }
        let mut findings = Findings::default();
        let mut cells: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        for owner in &ending.owners {
            let (cell, node) = *cells.entry(&owner.tenant).or_insert((&owner.cell, &owner.node));
            if cell != owner.cell {
                findings.add(format!(
                    "{} is in {cell} for {node} and in {} for {}",
                    owner.tenant, owner.cell, owner.node
                ));
            }
        }
        let region = |cell: &str| cells.values().any(|(owned, _)| *owned == cell);
        let empty = ending.replicas.iter().filter(|replica| !region(&replica.cell));
        for replica in empty.filter(|replica| replica.cell != DIRECTORY && replica.keys > LEFT_KEYS) {
            findings.add(format!(
                "no tenant is in {}, and its replica on {} holds {} keys",
                replica.cell, replica.node, replica.keys
            ));
        }
        if !findings.is_empty() {
            return findings.verdict();
        }
        of_each(history, ending, judge)
    }

    /// One node more has a tenant elsewhere.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let mut owner = ending.owners.first()?.clone();
        owner.cell.push('x');
        ending.owners.push(owner);
        Some((history.clone(), ending))
    }
}

/// Events of records are where their acknowledgements say.
fn judge(view: View<'_>, findings: &mut Findings) {
    let created = view.ending.events.iter().filter(|event| event.kind == names::CREATED);
    let made: BTreeMap<&str, u64> = created
        .filter_map(|event| Some((event.id.as_deref()?, event.position)))
        .collect();
    let mut at: BTreeMap<u64, &Operation> = BTreeMap::new();
    for operation in view
        .operations()
        .filter(|operation| acknowledged(operation) && writes(operation))
    {
        if let Some(position) = operation.position
            && let Some(other) = at.insert(position, operation)
        {
            findings.add(format!(
                "{}: two writes were acknowledged at position {position} ({}; {})",
                view.tenant.slug,
                when(other),
                when(operation)
            ));
        }
        let id = match &operation.action {
            Action::Claim { id, .. } | Action::Number { id, .. } | Action::Comment { id, .. } => id,
            _ => continue,
        };
        if let (Some(position), Some(event)) = (operation.position, made.get(id.as_str()))
            && *event > position
        {
            findings.add(format!(
                "{}: {id} was acknowledged at position {position} ({}), and its event is at {event}",
                view.tenant.slug,
                when(operation)
            ));
        }
    }
}

/// What always makes an event.
fn writes(operation: &Operation) -> bool {
    match &operation.action {
        Action::Write { .. } | Action::Claim { .. } | Action::Number { .. } | Action::Comment { .. } => true,
        Action::Transaction { appends, .. } => !appends.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::stories::{Story, claim, write};

    const CHECKER: Owners = Owners;

    fn story() -> Story {
        let mut story = Story::new();
        for node in ["n1", "n2"] {
            story.owner("acme", node, "c1");
            story.replica("c1", node, "aa").keys = 5_000;
            story.replica("c2", node, "bb").keys = 4;
        }
        story.event(names::CREATED, "claims", "x", 1);
        story.ok(0, 10, claim("acme-n", "x")).position = Some(1);
        story
    }

    #[test]
    fn one_cell_for_all_is_green() {
        story().assert_damage_is_found(&CHECKER);
    }

    #[test]
    fn a_node_that_has_a_tenant_elsewhere_is_found() {
        let mut story = story();
        story.owner("acme", "n3", "c2");
        story.assert_finds(&CHECKER, &["acme is in c1 for n1 and in c2 for n3"]);
    }

    #[test]
    fn a_cell_that_kept_what_left_is_found() {
        let mut story = story();
        story.ending.replicas[3].keys = 4_000;
        story.assert_finds(&CHECKER, &["no tenant is in c2, and its replica on n2 holds 4000 keys"]);
    }

    #[test]
    fn two_writes_of_one_position_are_found() {
        let mut story = story();
        story.ok(20, 30, write("r", "acme-1")).position = Some(1);
        story.assert_finds(&CHECKER, &["two writes were acknowledged at position 1"]);
        story.history.operations[1].position = Some(2);
        assert!(story.verdict(&CHECKER).is_green());
    }

    #[test]
    fn an_event_behind_its_acknowledgement_is_found() {
        let mut story = story();
        story.history.operations[0].position = Some(0);
        story.assert_finds(&CHECKER, &["x was acknowledged at position 0", "its event is at 1"]);
    }

    #[test]
    fn nobody_asked_is_invalid() {
        let alone = Story::new();
        assert!(matches!(alone.verdict(&CHECKER), Verdict::Invalid { .. }));
        alone.assert_no_damage(&CHECKER);
    }
}
