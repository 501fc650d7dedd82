//! What is sent under one idempotency key is applied at most once, however often it is sent.
//!
//! How it works: at the end at most one record carries the key, exactly one if the creation was acknowledged; and all replies,
//! also those to attempts after the first answer, name that record.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::support::{Findings, View, acknowledged, of_each, text};
use super::{Invariant, names};
use crate::ending::Ending;
use crate::history::{Action, History};
use crate::verdict::Verdict;

/// The promise.
pub struct Idempotency;

impl Invariant for Idempotency {
    fn name(&self) -> &'static str {
        "idempotency"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, judge)
    }

    /// A record that was created under a key is there twice.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let mut tenants = ending.tenants.iter_mut();
        let records = tenants.find_map(|tenant| tenant.records.get_mut(names::ONCE).filter(|records| !records.is_empty()))?;
        let (id, record) = records.first_key_value()?;
        let (id, record) = (format!("{id}-again"), record.clone());
        records.insert(id, record);
        Some((history.clone(), ending))
    }
}

/// What is known of one key.
#[derive(Default)]
struct Key<'a> {
    is_acknowledged: bool,
    attempts: u32,
    named: BTreeSet<&'a str>,
}

fn judge(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    let mut held: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for (id, record) in view.records(names::ONCE) {
        let key = text(record, names::ONCE_KEY).unwrap_or("");
        held.entry(key).or_default().insert(id);
    }
    let mut keys: BTreeMap<&str, Key<'_>> = BTreeMap::new();
    for operation in view.operations() {
        let Action::Once { key, attempts, ids } = &operation.action else {
            continue;
        };
        let known = keys.entry(key).or_default();
        known.is_acknowledged |= acknowledged(operation);
        known.attempts += attempts;
        known.named.extend(ids.iter().map(String::as_str));
    }
    for key in held.keys() {
        keys.entry(key).or_default();
    }
    let nothing = BTreeSet::new();
    for (key, known) in keys {
        let held = held.get(key).unwrap_or(&nothing);
        let attempts = known.attempts;
        if held.len() > 1 {
            findings.add(format!(
                "{slug}: key {key}, sent {attempts} times, was applied {} times: {held:?}",
                held.len()
            ));
        }
        if known.named.len() > 1 {
            findings.add(format!("{slug}: key {key}: its replies name {:?}", known.named));
        }
        if known.is_acknowledged && held.is_empty() {
            findings.add(format!("{slug}: key {key} was acknowledged, and no record has it"));
        }
        if known.is_acknowledged && known.named.is_empty() {
            findings.add(format!("{slug}: key {key} was acknowledged without a record's id"));
        }
        if !held.is_empty() && !known.named.is_subset(held) {
            findings.add(format!(
                "{slug}: key {key}: its replies name {:?}, the record is {held:?}",
                known.named
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::invariants::stories::{Story, once};

    const CHECKER: Idempotency = Idempotency;

    fn story() -> Story {
        let mut story = Story::new();
        story.ok(0, 10, once("k1", &["a"]));
        story.unknown(0, 10, once("k2", &[]));
        story.unknown(0, 10, once("k3", &[]));
        story.holds("once", "a", json!({ "key": "k1" }));
        story.holds("once", "b", json!({ "key": "k2" }));
        story
    }

    #[test]
    fn what_was_applied_once_is_green() {
        story().assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
    }

    #[test]
    fn what_was_applied_twice_is_found() {
        let mut story = story();
        story.holds("once", "c", json!({ "key": "k2" }));
        story.assert_finds(&CHECKER, &["key k2", "applied 2 times"]);
    }

    #[test]
    fn replies_that_name_another_record_are_found() {
        let mut two = story();
        two.ok(20, 30, once("k1", &["z"]));
        two.assert_finds(&CHECKER, &["key k1: its replies name {\"a\", \"z\"}"]);
        let mut other = story();
        other.ok(20, 30, once("k2", &["z"]));
        other.assert_finds(&CHECKER, &["key k2", "the record is {\"b\"}"]);
    }

    #[test]
    fn an_acknowledged_key_without_a_record_or_an_id_is_found() {
        let mut story = story();
        story.ok(20, 30, once("k4", &["d"]));
        story.ok(20, 30, once("k5", &[]));
        story.assert_finds(&CHECKER, &["key k4", "no record has it"]);
        story.assert_finds(&CHECKER, &["key k5", "without a record's id"]);
    }
}
