//! The events of a tenant are its history: gapless, in order, each once, and enough to rebuild what it has.
//!
//! How it works, for each tenant: positions are 1, 2, 3 and so on up to the position of the export; each record is created with
//! version 1, goes up by one with each event, deletion included, and goes on counting if it is created again, unless its collection was
//! dropped in between; what is there after
//! the last event is exactly what was read back; whoever followed live from the first event got the same ones in the same order, as
//! far as they got; and each acknowledged operation that changes a record has an event of its own.
//!
//! CAVEATS: events of other kinds count for their positions only. That an operation has too many events is not judged here: the
//! registers' and lists' contents tell (`linearizability`, `durability`). How late a follower is is not judged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::support::{Findings, View, acknowledged, created, deleted, of_each};
use super::{Invariant, names};
use crate::ending::{Ending, Event};
use crate::history::{Act, Action, History};
use crate::verdict::Verdict;

/// The promise.
pub struct Events;

impl Invariant for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, |view, findings| {
            positions(view, findings);
            fold(view, findings);
            followed(view, findings);
            operations(view, findings);
        })
    }

    /// An event from the middle is lost.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let tenant = ending.tenants.iter_mut().find(|tenant| !tenant.events.is_empty())?;
        tenant.events.remove(tenant.events.len() / 2);
        Some((history.clone(), ending))
    }
}

fn positions(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    let events = &view.ending.events;
    let mut expected = 1;
    for event in events {
        if event.position != expected {
            findings.add(format!("{slug}: position {} follows {}", event.position, expected - 1));
        }
        expected = event.position.saturating_add(1);
    }
    let last = events.last().map_or(0, |event| event.position);
    if last != view.ending.position {
        findings.add(format!(
            "{slug}: the last event is {last}, the export is at {}",
            view.ending.position
        ));
    }
}

/// By collection and id.
type Versions<'a> = BTreeMap<(&'a str, &'a str), u64>;

/// Rebuilds the records from the events.
fn fold(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    let (mut records, mut gone) = (Versions::new(), Versions::new());
    for event in &view.ending.events {
        if let (names::DROPPED, Some(name)) = (event.kind.as_str(), &event.collection) {
            records.retain(|(collection, _), _| collection != name);
            gone.retain(|(collection, _), _| collection != name);
        }
        if let Err(why) = apply(&mut records, &mut gone, event) {
            findings.add(format!("{slug}: event {} ({}): {why}", event.position, event.kind));
        }
    }
    let mut held: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (collection, of_collection) in &view.ending.records {
        held.extend(
            of_collection
                .iter()
                .map(|(id, record)| ((collection.as_str(), id.as_str()), record.version)),
        );
    }
    let places: BTreeSet<_> = records.keys().chain(held.keys()).collect();
    for place in places {
        let (collection, id) = place;
        match (records.get(place), held.get(place)) {
            (Some(version), None) => findings.add(format!(
                "{slug}: {id} in {collection} is gone; its events end at version {version}"
            )),
            (None, Some(version)) => findings.add(format!(
                "{slug}: {id} in {collection} has version {version}; its events leave none"
            )),
            (by_events, by_export) if by_events != by_export => findings.add(format!(
                "{slug}: {id} in {collection} has version {by_export:?}, by its events {by_events:?}"
            )),
            _ => {}
        }
    }
}

/// Applies one event; an illegal one is applied all the same, so that one fault is told once.
fn apply<'a>(records: &mut Versions<'a>, gone: &mut Versions<'a>, event: &'a Event) -> Result<(), String> {
    let is_of_record = [names::CREATED, names::UPDATED, names::DELETED].contains(&event.kind.as_str());
    if !is_of_record {
        return Ok(());
    }
    let (Some(collection), Some(id), Some(version)) = (&event.collection, &event.id, event.version) else {
        return Err("it does not say which version of which record".to_owned());
    };
    let place = (collection.as_str(), id.as_str());
    let before = if event.kind == names::DELETED {
        gone.insert(place, version);
        records.remove(&place)
    } else {
        records.insert(place, version)
    };
    let known = before.or_else(|| gone.get(&place).copied().filter(|_| event.kind == names::CREATED));
    let is_creation = event.kind == names::CREATED;
    match before {
        Some(before) if is_creation => Err(format!("{id} in {collection} is there already, at version {before}")),
        None if !is_creation => Err(format!("{id} in {collection} is not there")),
        _ if version == known.unwrap_or(0).saturating_add(1) => Ok(()),
        _ => Err(format!("{id} in {collection} goes from version {known:?} to {version}")),
    }
}

/// What a consumer got live is the beginning of what there is.
fn followed(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    let (followed, events) = (&view.ending.followed, &view.ending.events);
    if let Some(at) = (0..followed.len()).find(|at| events.get(*at) != Some(&followed[*at])) {
        findings.add(format!(
            "{slug}: a follower got {:?} as number {}, where {:?} stands",
            followed[at],
            at + 1,
            events.get(at)
        ));
    }
}

/// Each acknowledged operation has an event of its own.
fn operations(view: View<'_>, findings: &mut Findings) {
    let mut there: BTreeMap<(&str, &str, bool), usize> = BTreeMap::new();
    for event in &view.ending.events {
        let is_deletion = event.kind == names::DELETED;
        let is_change = event.kind == names::CREATED || event.kind == names::UPDATED;
        if let (Some(collection), Some(id), true) = (&event.collection, &event.id, is_deletion || is_change) {
            *there.entry((collection, id, is_deletion)).or_default() += 1;
        }
    }
    let mut wanted: BTreeMap<(&str, &str, bool), usize> = BTreeMap::new();
    for operation in view.operations().filter(|operation| acknowledged(operation)) {
        for place in changes(&operation.action) {
            *wanted.entry(place).or_default() += 1;
        }
    }
    for (place, wanted) in wanted {
        let there = there.get(&place).copied().unwrap_or(0);
        // Deleting what is gone already changes nothing and may be acknowledged again.
        let (collection, id, is_deletion) = place;
        let wanted = if is_deletion { 1 } else { wanted };
        if there < wanted {
            let what = if is_deletion { "deletions" } else { "changes" };
            let slug = &view.tenant.slug;
            findings.add(format!(
                "{slug}: {id} in {collection}: {wanted} {what} were acknowledged, {there} have events"
            ));
        }
    }
}

/// Collection and id of the records that an operation changes, and whether it deletes them.
fn changes(action: &Action) -> Vec<(&str, &str, bool)> {
    match action {
        Action::Write { key, .. } => vec![(names::REGISTERS, key, false)],
        Action::Transaction { appends, .. } => {
            // Two appends to one list in one batch may be one change of the record.
            let keys: BTreeSet<&str> = appends.iter().map(|(key, _)| key.as_str()).collect();
            keys.into_iter().map(|key| (names::LISTS, key, false)).collect()
        }
        Action::Craft { collection, id, act, .. } => vec![(collection, id, *act == Act::Delete)],
        Action::Once { ids, .. } => ids.iter().map(|id| (names::ONCE, id.as_str(), false)).collect(),
        action => {
            let created = created(action).map(|(collection, id)| (collection, id, false));
            let deleted = deleted(action).map(|(collection, id)| (collection, id, true));
            created.or(deleted).into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::invariants::stories::{Story, once, release, transaction, write};

    const CHECKER: Events = Events;

    fn story() -> Story {
        let mut story = Story::new();
        story.event("collection.created", "registers", "registers", 1);
        story.event("record.created", "registers", "r", 1);
        story.event("record.created", "claims", "c", 1);
        story.event("record.updated", "registers", "r", 2);
        story.event("record.deleted", "claims", "c", 2);
        story.event("record.created", "claims", "c", 3);
        story.event("record.deleted", "claims", "c", 4);
        story.event("record.created", "lists", "l", 1);
        story.holds("registers", "r", json!({ "value": "v2" }));
        story.holds("lists", "l", json!({ "elements": [1, 2] }));
        story.ending.tenants[0]
            .records
            .get_mut("registers")
            .unwrap()
            .get_mut("r")
            .unwrap()
            .version = 2;
        story.ending.tenants[0].followed = story.ending.tenants[0].events[..5].to_vec();
        story.ok(0, 10, write("r", "v1"));
        story.ok(0, 10, write("r", "v2"));
        story.ok(20, 30, release("c"));
        story.ok(20, 30, transaction(&[], &[("l", 1), ("l", 2)]));
        story.unknown(20, 30, write("r", "v3"));
        story
    }

    #[test]
    fn events_that_make_what_is_there_are_green() {
        story().assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
    }

    #[test]
    fn gaps_repetitions_and_a_missing_end_are_found() {
        let mut gap = story();
        gap.ending.tenants[0].events.remove(0);
        gap.assert_finds(&CHECKER, &["position 2 follows 0"]);
        let mut twice = story();
        let event = twice.ending.tenants[0].events[0].clone();
        twice.ending.tenants[0].events.insert(1, event);
        twice.assert_finds(&CHECKER, &["position 1 follows 1"]);
        let mut short = story();
        short.ending.tenants[0].position += 1;
        short.assert_finds(&CHECKER, &["the last event is 8, the export is at 9"]);
    }

    #[test]
    fn illegal_versions_are_found() {
        for (kind, id, version, words) in [
            ("record.created", "r", 3, "is there already"),
            ("record.updated", "q", 1, "is not there"),
            ("record.updated", "r", 4, "goes from version Some(2) to 4"),
            ("record.deleted", "r", 2, "goes from version Some(2) to 2"),
        ] {
            let mut story = story();
            story.event(kind, "registers", id, version);
            story.assert_finds(&CHECKER, &["event 9", words]);
        }
        let mut nameless = story();
        nameless.event("record.updated", "registers", "r", 3);
        nameless.ending.tenants[0].events[8].id = None;
        nameless.assert_finds(&CHECKER, &["does not say"]);
    }

    #[test]
    fn events_that_make_something_else_are_found() {
        let mut gone = story();
        gone.ending.tenants[0].records.remove("lists");
        gone.assert_finds(&CHECKER, &["l in lists is gone"]);
        let mut more = story();
        more.holds("tasks", "t", json!({}));
        more.assert_finds(&CHECKER, &["t in tasks", "its events leave none"]);
        let mut older = story();
        older.holds("registers", "r", json!({ "value": "v1" }));
        older.assert_finds(&CHECKER, &["r in registers has version Some(1), by its events Some(2)"]);
    }

    #[test]
    fn a_follower_that_missed_one_is_found() {
        let mut story = story();
        story.ending.tenants[0].followed.remove(2);
        story.assert_finds(&CHECKER, &["a follower got", "as number 3"]);
    }

    #[test]
    fn operations_without_an_event_are_found() {
        let mut story = story();
        story.ok(40, 50, write("r", "v4"));
        story.ok(40, 50, release("d"));
        story.ok(40, 50, once("k", &["o"]));
        story.assert_finds(&CHECKER, &["r in registers: 3 changes were acknowledged, 2 have events"]);
        story.assert_finds(&CHECKER, &["d in claims: 1 deletions"]);
        story.assert_finds(&CHECKER, &["o in once: 1 changes"]);
    }
}
