//! What was acknowledged is there at the end, and nothing is there that nobody wrote.
//!
//! How it works: for every acknowledged operation the record that it must have left is looked up in what was read back, unless a
//! later or unknown one explains its absence; then for every record and value that was read back an operation is looked up that
//! may have written it: acknowledged or unknown, never failed. Registers hold the last acknowledged value or one that no
//! acknowledged write followed. Elements of lists are there exactly once, in the order in which they were ever read.
//!
//! CAVEATS: tasks and projects are made before the run and leave no operation, so a task too many goes unseen here (its tag does
//! not: see `isolation`). Which of several concurrent values may stand at the end is judged by `linearizability`, which knows what
//! was read in between.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::support::{Findings, View, acknowledged, created, deleted, latest_us, possible, text, views, when};
use super::{Invariant, names};
use crate::ending::{Ending, Record, TenantEnding};
use crate::history::{Action, History, Operation, Outcome};
use crate::verdict::Verdict;

mod phantoms;
#[cfg(test)]
mod tests;

/// The promise.
pub struct Durability;

impl Invariant for Durability {
    fn name(&self) -> &'static str {
        "durability"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        let views = match views(history, ending) {
            Ok(views) => views,
            Err(verdict) => return verdict,
        };
        let mut findings = Findings::default();
        for view in &views {
            registers(*view, &mut findings);
            lists(*view, &mut findings);
            creations(*view, &mut findings);
            deletions(*view, &mut findings);
            once(*view, &mut findings);
            counted(*view, &mut findings);
        }
        for view in views {
            phantoms::find(view, &mut findings);
        }
        findings.verdict()
    }

    /// The end forgets a record that was acknowledged, or the last element of a list.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        // Found by what is missing, not by how many.
        ending.tenants.iter_mut().for_each(|tenant| tenant.counted = None);
        let acknowledged = history.operations.iter().filter(|operation| acknowledged(operation));
        for operation in acknowledged {
            let tenant = ending.tenants.get_mut(operation.tenant)?;
            let is_hurt = match &operation.action {
                Action::Write { key, .. } => remove(tenant, names::REGISTERS, key),
                Action::Number { id, .. } => remove(tenant, names::NUMBERED, id),
                Action::Once { ids, .. } => ids.first().is_some_and(|id| remove(tenant, names::ONCE, id)),
                Action::Transaction { appends, .. } => appends.first().is_some_and(|(key, _)| remove(tenant, names::LISTS, key)),
                _ => false,
            };
            if is_hurt {
                return Some((history.clone(), ending));
            }
        }
        None
    }
}

fn remove(tenant: &mut TenantEnding, collection: &str, id: &str) -> bool {
    let records = tenant.records.get_mut(collection);
    records.is_some_and(|records| records.remove(id).is_some())
}

/// The elements of a list; what is no number stands apart.
fn elements(record: &Record) -> Vec<Option<u64>> {
    let elements = record.fields.get(names::LIST_ELEMENTS).and_then(serde_json::Value::as_array);
    elements.into_iter().flatten().map(serde_json::Value::as_u64).collect()
}

/// What the tenant's usage counts is what there is.
fn counted(view: View<'_>, findings: &mut Findings) {
    let exported: usize = view.ending.records.values().map(BTreeMap::len).sum();
    if let Some(counted) = view.ending.counted.filter(|counted| *counted != exported as u64) {
        let slug = &view.tenant.slug;
        findings.add(format!("{slug} has {exported} records, and its usage counts {counted}"));
    }
}

fn registers(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    let mut writes: BTreeMap<&str, Vec<(&str, &Operation)>> = BTreeMap::new();
    for operation in view.operations() {
        if let Action::Write { key, value } = &operation.action {
            writes.entry(key).or_default().push((value, operation));
        }
    }
    for (key, writes) in writes {
        let mut last: Option<(&str, &Operation)> = None;
        for (value, operation) in writes.iter().copied().filter(|(_, operation)| acknowledged(operation)) {
            if last.is_none_or(|(_, last)| operation.invoked_us > last.invoked_us) {
                last = Some((value, operation));
            }
        }
        let Some((value, last)) = last else { continue };
        let Some(held) = view.record(names::REGISTERS, key) else {
            findings.add(format!(
                "lost: {slug}: register {key} is gone; {value:?} was acknowledged ({})",
                when(last)
            ));
            continue;
        };
        let held = text(held, names::REGISTER_VALUE).unwrap_or("");
        // A value that nobody wrote is a phantom, told elsewhere.
        let writer = writes.iter().find(|(value, _)| *value == held);
        if let Some((_, writer)) = writer.filter(|(_, writer)| latest_us(writer) < last.invoked_us) {
            findings.add(format!(
                "lost: {slug}: register {key} holds {held:?} ({}); {value:?} was acknowledged after it ({})",
                when(writer),
                when(last)
            ));
        }
    }
}

fn lists(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    let held: HashMap<&str, Vec<Option<u64>>> = view
        .records(names::LISTS)
        .map(|(key, record)| (key, elements(record)))
        .collect();
    let sets: HashMap<&str, HashSet<u64>> = held
        .iter()
        .map(|(key, elements)| (*key, elements.iter().copied().flatten().collect()))
        .collect();
    for (key, elements) in &held {
        let mut met = HashSet::new();
        for element in elements.iter().flatten().filter(|element| !met.insert(**element)) {
            findings.add(format!("twice: {slug}: list {key} holds {element} twice"));
        }
    }
    for operation in view.operations().filter(|operation| acknowledged(operation)) {
        let Action::Transaction { reads, appends } = &operation.action else {
            continue;
        };
        for (key, element) in appends {
            if !sets.get(key.as_str()).is_some_and(|elements| elements.contains(element)) {
                findings.add(format!(
                    "lost: {slug}: {element} of list {key}, acknowledged ({})",
                    when(operation)
                ));
            }
        }
        for (key, read) in reads {
            let held = held.get(key.as_str()).map_or(&[][..], Vec::as_slice);
            let is_prefix = read.len() <= held.len() && read.iter().zip(held).all(|(read, held)| Some(*read) == *held);
            if !is_prefix {
                findings.add(format!(
                    "reordered: {slug}: list {key} does not begin with what was read ({})",
                    when(operation)
                ));
            }
        }
    }
}

/// Records that were created once and never deleted, not even perhaps.
fn creations(view: View<'_>, findings: &mut Findings) {
    let deletions: HashSet<(&str, &str)> = view
        .operations()
        .filter(|operation| possible(operation))
        .filter_map(|operation| deleted(&operation.action))
        .collect();
    for operation in view.operations().filter(|operation| acknowledged(operation)) {
        let Some((collection, id)) = created(&operation.action) else {
            continue;
        };
        let went_along = match &operation.action {
            Action::Comment { task, .. } => deletions.contains(&(names::TASKS, task.as_str())),
            _ => false,
        };
        let may_be_gone = went_along || deletions.contains(&(collection, id));
        if !may_be_gone && view.record(collection, id).is_none() {
            let slug = &view.tenant.slug;
            findings.add(format!(
                "lost: {slug}: {id} in {collection}, acknowledged ({})",
                when(operation)
            ));
        }
    }
}

/// Deletions that did not last. What is deleted was created before, and for certain, and is never created again.
fn deletions(view: View<'_>, findings: &mut Findings) {
    let mut unsure: HashSet<(&str, &str)> = HashSet::new();
    for operation in view.operations().filter(|operation| operation.outcome == Outcome::Unknown) {
        unsure.extend(created(&operation.action));
    }
    for operation in view.operations().filter(|operation| acknowledged(operation)) {
        let Some((collection, id)) = deleted(&operation.action) else {
            continue;
        };
        if view.record(collection, id).is_some() && !unsure.contains(&(collection, id)) {
            let slug = &view.tenant.slug;
            findings.add(format!(
                "undeleted: {slug}: {id} in {collection}, deletion acknowledged ({})",
                when(operation)
            ));
        }
    }
}

/// Records that were created under an idempotency key.
fn once(view: View<'_>, findings: &mut Findings) {
    let keys: HashSet<&str> = view
        .records(names::ONCE)
        .filter_map(|(_, record)| text(record, names::ONCE_KEY))
        .collect();
    for operation in view.operations().filter(|operation| acknowledged(operation)) {
        let Action::Once { key, ids, .. } = &operation.action else {
            continue;
        };
        let lost = ids.iter().find(|id| view.record(names::ONCE, id).is_none());
        if lost.is_some() || !keys.contains(key.as_str()) {
            let slug = &view.tenant.slug;
            findings.add(format!(
                "lost: {slug}: {lost:?} of key {key}, acknowledged ({})",
                when(operation)
            ));
        }
    }
}
