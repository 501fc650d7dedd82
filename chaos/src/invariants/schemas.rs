//! A change of a schema happens wholly or not at all, while others write, and leaves nothing half done.
//!
//! How it works, for the collection whose schema changes: at the end no operation has anything left to do, and all nodes say the same
//! of it. Each ended in a way that what was written allows (`outcomes`): one that no record could mind is done, one that was
//! cancelled was asked to be, and one that failed lists records that did not fit, and all of those that did not fit all along. The
//! schema is that of the last change that was done, or of one after it of which nobody knows. Lists that an index serves have the records that
//! the export has. While a unique constraint held, nobody got a value that another record had (`uniques`). And the records have the values
//! and the versions that their writers gave them (`values`): being brought along is no change.
//!
//! CAVEATS: what is left of an index that was dropped is seen by nobody who asks over HTTP; `replicas` compares it between nodes. When an
//! operation looked at a record is not known, so only what held all the time is held against it.

use std::collections::BTreeSet;
use std::time::Duration;

use api::body::collection::CollectionSchema;
use serde_json::Value;

use super::support::{Findings, View, acknowledged, of_each, possible, when};
use super::{Invariant, names};
use crate::ending::{Ending, Shape};
use crate::history::{Action, History, Operation};
use crate::verdict::Verdict;

mod outcomes;
#[cfg(test)]
mod tests;
mod uniques;
mod values;

/// Operations of a tenant that are remembered at least.
const REMEMBERED: usize = 99;

/// The promise.
pub struct Schemas;

impl Invariant for Schemas {
    fn name(&self) -> &'static str {
        "schemas"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, |view, findings| {
            let changes = changes(view);
            ends(view, &changes, findings);
            schema(view, &changes, findings);
            lists(view, findings);
            outcomes::judge(view, &changes, findings);
            uniques::judge(view, &changes, findings);
            values::judge(view, findings);
        })
    }

    /// A record counts as changed that was only brought along.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let mut shaped = ending
            .tenants
            .iter_mut()
            .filter_map(|tenant| tenant.records.get_mut(names::SHAPED));
        shaped.find_map(|records| records.values_mut().next())?.version += 1;
        Some((history.clone(), ending))
    }
}

/// A change that was asked for.
#[derive(Clone, Copy)]
pub(super) struct Change<'a> {
    /// As it was asked for.
    request: &'a Operation,
    what: &'a str,
    schema: &'a Value,
    /// Its id, if it began an operation.
    id: Option<&'a str>,
    /// How it ended; none: nobody knows.
    status: Option<&'a str>,
    /// Whether somebody saw it end before the request counted as answered.
    seen: bool,
    listed: &'a [String],
    cancelled: bool,
    doubt: bool,
}

/// The changes of the collection that were made or may have been.
fn changes(view: View<'_>) -> Vec<Change<'_>> {
    let change = |request| change(view, request);
    view.operations()
        .filter(|operation| possible(operation))
        .filter_map(change)
        .collect()
}

fn change<'a>(view: View<'a>, request: &'a Operation) -> Option<Change<'a>> {
    let Action::Reshape {
        collection,
        change,
        schema,
        operation,
        status,
        listed,
        cancelled,
        doubt,
    } = &request.action
    else {
        return None;
    };
    let mut works = view.ending.shapes.iter().flat_map(|shape| &shape.operations);
    let work = operation.as_ref().and_then(|id| works.find(|work| work.id == *id));
    (collection == names::SHAPED).then_some(Change {
        request,
        what: change,
        schema,
        id: operation.as_deref(),
        status: status.as_deref().or(work.map(|work| work.status.as_str())),
        seen: status.is_some(),
        listed,
        cancelled: *cancelled,
        doubt: *doubt,
    })
}

/// Nothing is left to do, and nothing is told in two ways.
fn ends(view: View<'_>, changes: &[Change<'_>], findings: &mut Findings) {
    let slug = &view.tenant.slug;
    for Shape { node, operations, .. } in &view.ending.shapes {
        for work in operations {
            let is_over = ["done", "failed", "cancelled"].contains(&work.status.as_str()) && work.phase.is_none();
            if !is_over {
                findings.add(format!(
                    "{slug}: {node}: operation {} is still {} ({:?})",
                    work.id, work.status, work.phase
                ));
            }
        }
        for change in changes {
            let Some(id) = change.id else { continue };
            let told = when(change.request);
            match operations.iter().find(|work| work.id == id) {
                None if operations.len() < REMEMBERED => {
                    findings.add(format!(
                        "{slug}: {node} does not know operation {id} ({}, {told})",
                        change.what
                    ));
                }
                Some(work) if change.status.is_some_and(|status| status != work.status) => findings.add(format!(
                    "{slug}: {node}: operation {id} ({}, {told}) is {}, and was {:?}",
                    change.what, work.status, change.status
                )),
                _ => {}
            }
        }
    }
    let mut schemas = view.ending.shapes.iter();
    if let Some(first) = schemas.next() {
        for other in schemas.filter(|other| other.schema != first.schema) {
            let (one, two) = (&first.node, &other.node);
            findings.add(format!(
                "{slug}: {one} has the schema {}, {two} has {}",
                first.schema, other.schema
            ));
        }
    }
}

/// The schema that the run left is one that it may have left.
fn schema(view: View<'_>, changes: &[Change<'_>], findings: &mut Findings) {
    let Some(left) = &view.ending.left else {
        if !changes.is_empty() {
            findings.add(format!("{}: nobody read the schema of {}", view.tenant.slug, names::SHAPED));
        }
        return;
    };
    let first = names::first_schema();
    let mut may = vec![&first];
    for change in changes {
        match change.status {
            Some("done") if acknowledged(change.request) => may = vec![change.schema],
            Some("failed" | "cancelled") if !change.doubt => {}
            _ => may.push(change.schema),
        }
    }
    let is = plain(left);
    if is.is_none() || !may.iter().any(|schema| plain(schema) == is) {
        let last = changes.iter().rfind(|change| change.status == Some("done"));
        let told = last.map_or_else(|| "none".to_owned(), |last| format!("{}, {}", last.what, when(last.request)));
        findings.add(format!(
            "{}: the schema is {left}; the last change that was done was {told}: {}",
            view.tenant.slug, may[0]
        ));
    }
}

/// A schema without what an answer leaves out.
fn plain(schema: &Value) -> Option<CollectionSchema> {
    let mut schema: CollectionSchema = serde_json::from_value(schema.clone()).ok()?;
    schema.fields.values_mut().for_each(|field| field.renamed_from = None);
    Some(schema)
}

/// What an index serves is what is there.
fn lists(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    for Shape { node, lists, .. } in &view.ending.shapes {
        for (field, value, listed) in lists {
            let records = view
                .records(names::SHAPED)
                .filter(|(_, record)| record.fields.get(field) == Some(value));
            let there: BTreeSet<&str> = records.map(|(id, _)| id).collect();
            let shown: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
            if shown.len() != listed.len() {
                findings.add(format!("{slug}: {node}: the list of {field} {value} has records twice"));
            }
            for id in there.difference(&shown) {
                findings.add(format!("{slug}: {node}: {id} has {field} {value}, and the list has it not"));
            }
            for id in shown.difference(&there) {
                findings.add(format!("{slug}: {node}: the list of {field} {value} has {id}, which has not"));
            }
        }
    }
}
