//! The checkers, one file each: pure functions of what was recorded and what was read back.
//!
//! What counts as proof is the same for all of them. An acknowledged operation took effect once, between its two times; a failed
//! one never; an unknown one at any time after it began, or never, so that nothing is ever held against a run that an unlucky
//! unknown operation would explain. Two operations are in real-time order only if one completed before the other began; what falls
//! on one microsecond is concurrent. [`names`] is what the workload calls things.

use std::time::Duration;

pub mod bounds;
pub mod documents;
pub mod dropped;
pub mod durability;
pub mod events;
pub mod files;
pub mod idempotency;
pub mod imports;
pub mod isolation;
pub mod linearizability;
mod lives;
pub mod names;
pub mod owners;
pub mod positions;
pub mod presence;
pub mod references;
pub mod replay;
pub mod replicas;
pub mod revocation;
pub mod schemas;
pub mod search;
pub mod sequences;
pub mod serializability;
pub mod states;
#[cfg(test)]
mod stories;
pub mod streams;
mod support;
pub mod unique;
pub mod versions;

use crate::ending::Ending;
use crate::history::History;
use crate::verdict::Verdict;

/// One promise and how it is checked.
pub trait Invariant: Sync {
    /// Its name in reports, in kebab-case.
    fn name(&self) -> &'static str;

    /// Holds the record against the promise. What takes longer than `budget` ends [`Verdict::Invalid`].
    fn check(&self, history: &History, ending: &Ending, budget: Duration) -> Verdict;

    /// A copy of a run with a damage that [`Invariant::check`] must find; none: the run has nothing that could be damaged,
    /// which makes it INVALID.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)>;
}

/// All of them; a run is the worst of what they say.
pub fn all() -> &'static [&'static dyn Invariant] {
    &[
        &linearizability::Linearizability,
        &serializability::Serializability,
        &durability::Durability,
        &unique::Unique,
        &references::References,
        &sequences::Sequences,
        &idempotency::Idempotency,
        &imports::Imports,
        &states::States,
        &schemas::Schemas,
        &dropped::Dropped,
        &versions::Versions,
        &events::Events,
        &streams::Streams,
        &search::Search,
        &documents::Documents,
        &presence::Presence,
        &files::Files,
        &positions::Positions,
        &isolation::Isolation,
        &owners::Owners,
        &revocation::Revocation,
        &replicas::Replicas,
        &replay::Replay,
        &bounds::Bounds,
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::stories::{
        BUDGET, Story, claim, comment, filed, go, import, note, number, once, read, revoke, scribe, shelve, transaction,
        trespass, write,
    };
    use super::*;
    use crate::ending::Wanted;
    use crate::history::{Deed, Stroke};

    /// A run with something of everything.
    fn run() -> Story {
        let mut story = Story::new();
        story.ok(0, 10, write("r", "acme-1")).position = Some(1);
        story.ok(20, 30, write("r", "acme-2")).position = Some(2);
        story.ok(40, 50, read("r", "acme-2")).position = Some(2);
        story.ok(60, 70, transaction(&[("l", &[])], &[("l", 1)])).position = Some(3);
        story.ok(80, 90, transaction(&[("l", &[1])], &[])).position = Some(3);
        story.ok(100, 110, claim("acme-n", "c"));
        story.ok(100, 110, number("p", "s1", 1));
        story.ok(120, 130, number("p", "s2", 2));
        story.ok(140, 150, once("acme-o", &["x"]));
        story.ok(140, 150, comment("m", "t"));
        story.failed(140, 150, go("t", "in_review", true));
        story.ok(140, 150, import("acme-i", 1, Some(1)));
        story.ok(160, 170, revoke("k", &[], 3));
        story.ok(160, 170, trespass("zeta", &[], 3));
        let records = [
            ("registers", "r", json!({ "value": "acme-2" })),
            ("lists", "l", json!({ "elements": [1] })),
            ("claims", "c", json!({ "name": "acme-n" })),
            ("numbered", "s1", json!({ "project": "p", "number": 1 })),
            ("numbered", "s2", json!({ "project": "p", "number": 2 })),
            ("once", "x", json!({ "key": "acme-o" })),
            ("bulk", "b", json!({ "import": "acme-i", "line": 0 })),
            ("tasks", "t", json!({ "title": "acme-t", "status": "backlog" })),
            ("comments", "m", json!({ "task": "t" })),
        ];
        for (collection, id, fields) in records {
            story.event(names::CREATED, collection, id, 1);
            story.holds(collection, id, fields);
        }
        story.event(names::UPDATED, "registers", "r", 2);
        let registers = story.ending.tenants[0].records.get_mut("registers");
        registers.unwrap().get_mut("r").unwrap().version = 2;
        story.ok(180, 190, shelve("acme-f", Deed::Create(filed("acme-f1"))));
        story.keeps("acme-f", &["acme-f1"]);
        story.ok(180, 190, scribe("acme-page", 5, "acme-mark", Stroke::Append));
        story.page("acme-page", "acme-mark ");
        story.call("acme-there");
        story.ok(180, 190, note("acme-note", Some("acme-one")));
        story.event(names::CREATED, "notes", "acme-note", 1);
        story.notes("acme-note", 1, "acme-one");
        story.finds("acme-one", &["acme-note"]);
        story.shapes();
        let positions: Vec<u64> = (1..=story.ending.tenants[0].position).collect();
        story.follows(Wanted::All, &positions);
        story.owner("acme", "n1", "c1");
        story.replica("c1", "n1", "aa");
        story.replica("c1", "n2", "aa");
        story.node("n1", 1, 1);
        story
    }

    #[test]
    fn a_good_run_is_green_and_every_damage_of_it_is_found() {
        for invariant in all() {
            run().assert_damage_is_found(*invariant);
        }
    }

    #[test]
    fn a_damage_is_of_one_kind() {
        // Which other checkers see a damage, too: the fewer, the plainer is what a red run says.
        for invariant in all() {
            let (history, ending) = invariant.damage(&run().history, &run().ending).unwrap();
            let finders = all()
                .iter()
                .filter(|other| !other.check(&history, &ending, BUDGET).is_green());
            let finders: Vec<_> = finders.map(|other| other.name()).collect();
            assert!(
                finders.contains(&invariant.name()) && finders.len() <= 5,
                "{}: {finders:?}",
                invariant.name()
            );
        }
    }

    #[test]
    fn every_checker_has_a_name_of_its_own() {
        let names: BTreeSet<_> = all().iter().map(|invariant| invariant.name()).collect();
        assert_eq!(names.len(), 25);
    }
}
