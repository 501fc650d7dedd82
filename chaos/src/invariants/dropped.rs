//! What was dropped with its collection does not come back, nor under the name that is used again; and what is made after that stays.
//!
//! How it works: every record of the collection has a mark that no other has. One whose making was acknowledged before its collection
//! was dropped, and that was acknowledged, is not there at the end. One that no drop may have met is there, in its first version: it has
//! nothing of a record that had its id in a collection before. And nothing is there that nobody made.

use std::collections::BTreeMap;
use std::time::Duration;

use super::support::{Findings, View, acknowledged, latest_us, of_each, possible, text, when};
use super::{Invariant, names};
use crate::ending::{Ending, Record};
use crate::history::{Act, Action, History, Operation};
use crate::verdict::Verdict;

/// The promise.
pub struct Dropped;

impl Invariant for Dropped {
    fn name(&self) -> &'static str {
        "dropped"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, judge)
    }

    /// A record is there that was dropped; where none was, one that nobody made.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let made = history
            .operations
            .iter()
            .find_map(|operation| Some((operation, making(operation)?)));
        let (operation, (id, mark)) = made?;
        let drops = |drop: &&Operation| drop.tenant == operation.tenant && is_drop(drop) && acknowledged(drop);
        let drop = history
            .operations
            .iter()
            .filter(drops)
            .find(|drop| drop.invoked_us > operation.completed_us);
        let was_dropped = drop.is_some() && acknowledged(operation);
        let mark = if was_dropped {
            mark.to_owned()
        } else {
            format!("{mark}-damaged")
        };
        let fields = BTreeMap::from([(names::FLEETING_MARK, mark)]);
        let mut ending = ending.clone();
        let records = ending
            .tenants
            .get_mut(operation.tenant)?
            .records
            .entry(names::FLEETING.to_owned());
        let fields = serde_json::to_value(fields).ok()?.as_object()?.clone();
        records.or_default().insert(id.to_owned(), Record { version: 1, fields });
        Some((history.clone(), ending))
    }
}

/// The id and the mark of what an operation makes in the collection that is dropped.
fn making(operation: &Operation) -> Option<(&str, &str)> {
    match &operation.action {
        Action::Craft {
            collection,
            id,
            act: Act::Create(fields),
            ..
        } if collection == names::FLEETING => Some((id, fields.get(names::FLEETING_MARK)?.as_str()?)),
        _ => None,
    }
}

/// A drop that was, or may have been.
fn is_drop(operation: &Operation) -> bool {
    match &operation.action {
        Action::Reshape { collection, schema, .. } => collection == names::FLEETING && schema.is_null() && possible(operation),
        _ => false,
    }
}

fn judge(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    let all: Vec<&Operation> = view.operations().filter(|operation| is_drop(operation)).collect();
    let mut marks: BTreeMap<&str, &Operation> = BTreeMap::new();
    for operation in view.operations().filter(|operation| possible(operation)) {
        let Some((id, mark)) = making(operation) else { continue };
        marks.insert(mark, operation);
        let held = view
            .record(names::FLEETING, id)
            .filter(|held| text(held, names::FLEETING_MARK) == Some(mark));
        let told = when(operation);
        let dropped = all
            .iter()
            .find(|drop| acknowledged(drop) && acknowledged(operation) && drop.invoked_us > operation.completed_us);
        let may_be_gone = all.iter().any(|drop| latest_us(drop) >= operation.invoked_us);
        match (held, dropped) {
            (Some(_), Some(drop)) => findings.add(format!(
                "{slug}: {id} ({mark}, {told}) is there, and was dropped with its collection ({})",
                when(drop)
            )),
            (None, None) if acknowledged(operation) && !may_be_gone => findings.add(format!(
                "{slug}: {id} ({mark}, {told}) is gone, and nobody dropped its collection since"
            )),
            (Some(held), None) if held.version != 1 => findings.add(format!(
                "{slug}: {id} ({mark}, {told}) has version {}: it has something of one that was dropped",
                held.version
            )),
            _ => {}
        }
        if let Action::Craft {
            version: Some(version), ..
        } = &operation.action
            && *version != 1
        {
            findings.add(format!("{slug}: {id} ({mark}, {told}) was made as version {version}"));
        }
    }
    for (id, record) in view.records(names::FLEETING) {
        let mark = text(record, names::FLEETING_MARK).unwrap_or("");
        if !marks.contains_key(mark) {
            findings.add(format!("{slug}: {id} in {} with {mark:?}: nobody made that", names::FLEETING));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::invariants::stories::{Story, fleeting, reshape};

    const CHECKER: Dropped = Dropped;

    fn drop_it() -> Action {
        reshape("fleeting", "drop", Value::Null, Some("o"), "done")
    }

    fn story() -> Story {
        let mut story = Story::new();
        story.ok(0, 10, fleeting("a", "acme-1"));
        story.ok(0, 10, fleeting("b", "acme-2"));
        story.ok(20, 30, drop_it());
        story.ok(40, 50, fleeting("a", "acme-3"));
        story.ok(40, 50, fleeting("c", "acme-4"));
        story.unknown(60, 70, fleeting("d", "acme-5"));
        story.failed(60, 70, fleeting("e", "acme-6"));
        story.holds("fleeting", "a", json!({ "mark": "acme-3" }));
        story.holds("fleeting", "c", json!({ "mark": "acme-4" }));
        story
    }

    #[test]
    fn what_was_made_after_the_drop_is_green() {
        story().assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
        let mut without = Story::new();
        without.ok(0, 10, fleeting("a", "acme-1"));
        without.holds("fleeting", "a", json!({ "mark": "acme-1" }));
        without.assert_damage_is_found(&CHECKER);
    }

    #[test]
    fn what_a_drop_may_have_met_may_be_there_or_not() {
        for is_there in [true, false] {
            let mut story = story();
            story.unknown(80, 90, drop_it());
            story.ok(85, 95, fleeting("f", "acme-7"));
            if is_there {
                story.holds("fleeting", "f", json!({ "mark": "acme-7" }));
                story.holds("fleeting", "d", json!({ "mark": "acme-5" }));
            }
            story.assert_green(&CHECKER);
        }
    }

    #[test]
    fn what_comes_back_or_goes_is_found() {
        let mut back = story();
        back.holds("fleeting", "b", json!({ "mark": "acme-2" }));
        back.assert_finds(&CHECKER, &["b (acme-2", "is there, and was dropped"]);
        let mut gone = story();
        gone.ending.tenants[0].records.get_mut("fleeting").unwrap().remove("c");
        gone.assert_finds(&CHECKER, &["c (acme-4", "is gone"]);
        let mut counted = story();
        let records = counted.ending.tenants[0].records.get_mut("fleeting").unwrap();
        records.get_mut("a").unwrap().version = 3;
        counted.assert_finds(&CHECKER, &["a (acme-3", "has version 3"]);
        let mut phantom = story();
        phantom.holds("fleeting", "e", json!({ "mark": "acme-6" }));
        phantom.assert_finds(&CHECKER, &["e in fleeting", "nobody made that"]);
    }
}
