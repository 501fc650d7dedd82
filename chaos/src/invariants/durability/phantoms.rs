//! Records and values at the end that no operation wrote, or only one that failed.

use std::collections::HashMap;

use super::elements;
use crate::ending::Record;
use crate::history::{Action, Operation, Outcome};
use crate::invariants::names;
use crate::invariants::support::{Findings, View, text, when};

/// Who may have written what: collection, record (an idempotency key for `once`), and the value that marks it.
type Authors<'a> = HashMap<(&'static str, &'a str, String), &'a Operation>;

/// Looks up the author of everything.
pub(super) fn find(view: View<'_>, findings: &mut Findings) {
    let authors = authors(view);
    let mut wanted: Vec<(&'static str, &str, String)> = Vec::new();
    let marked = [
        (names::REGISTERS, names::REGISTER_VALUE),
        (names::CLAIMS, names::CLAIM_NAME),
        (names::NUMBERED, names::NUMBERED_PROJECT),
        (names::COMMENTS, names::COMMENT_TASK),
    ];
    for (collection, field) in marked {
        let mark = |record: &Record| text(record, field).unwrap_or("").to_owned();
        wanted.extend(view.records(collection).map(|(id, record)| (collection, id, mark(record))));
    }
    for (_, record) in view.records(names::ONCE) {
        wanted.push((names::ONCE, text(record, names::ONCE_KEY).unwrap_or(""), String::new()));
    }
    for (key, record) in view.records(names::LISTS) {
        let elements = elements(record).into_iter();
        wanted.extend(elements.map(|element| (names::LISTS, key, element.unwrap_or(u64::MAX).to_string())));
    }
    let slug = &view.tenant.slug;
    for place in wanted {
        let author = authors.get(&place);
        let (collection, id, mark) = place;
        match author {
            None => findings.add(format!(
                "phantom: {slug}: {id} in {collection} with {mark:?}: nobody wrote that"
            )),
            Some(author) if author.outcome == Outcome::Failed => findings.add(format!(
                "phantom: {slug}: {id} in {collection} with {mark:?}: that failed ({})",
                when(author)
            )),
            Some(_) => {}
        }
    }
}

fn authors(view: View<'_>) -> Authors<'_> {
    let mut authors = Authors::new();
    for operation in view.operations() {
        let mut add = |collection, id, mark: &str| {
            // A name or key may be tried again after it failed: what may have been counts.
            let author = authors.entry((collection, id, mark.to_owned())).or_insert(operation);
            if author.outcome == Outcome::Failed {
                *author = operation;
            }
        };
        match &operation.action {
            Action::Write { key, value } => add(names::REGISTERS, key, value),
            Action::Transaction { appends, .. } => {
                for (key, element) in appends {
                    add(names::LISTS, key, &element.to_string());
                }
            }
            Action::Claim { name, id } => add(names::CLAIMS, id, name),
            Action::Number { project, id, .. } => add(names::NUMBERED, id, project),
            Action::Once { key, .. } => add(names::ONCE, key, ""),
            Action::Comment { id, task } => add(names::COMMENTS, id, task),
            Action::Read { .. }
            | Action::ReadAt { .. }
            | Action::Release { .. }
            | Action::RemoveTask { .. }
            | Action::Go { .. }
            | Action::Craft { .. }
            | Action::Reshape { .. }
            | Action::Import { .. }
            | Action::Revoke { .. }
            | Action::Shelve { .. }
            | Action::Peek { .. }
            | Action::Scribe { .. }
            | Action::Search { .. }
            | Action::Trespass { .. } => {}
        }
    }
    authors
}
