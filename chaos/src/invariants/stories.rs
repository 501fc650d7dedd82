//! Hand-written runs for the tests of the checkers.

mod actions;
mod realtime;

use std::time::Duration;

use serde_json::{Value, json};

pub(super) use self::actions::*;
use super::bounds::KEPT_BYTES;
use super::{Invariant, names};
use crate::ending::{
    Ending, Event, Kept, KeptVersion, NodeUse, Owner, Record, ReplicaEnding, Searched, Stream, TenantEnding, Version, Wanted,
};
use crate::history::{Act, Action, History, Operation, Outcome, Tenant, Total};
use crate::verdict::Verdict;

/// More than any story needs.
pub(super) const BUDGET: Duration = Duration::from_secs(20);

/// A run of the tenants acme (tag `acme-`) and zeta (tag `zeta-`), all of it in acme unless it says otherwise.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) history: History,
    pub(super) ending: Ending,
}

impl Story {
    /// Nothing happened yet.
    pub(super) fn new() -> Self {
        let tenants = ["acme", "zeta"].map(|slug| Tenant {
            slug: slug.to_owned(),
            tag: format!("{slug}-"),
        });
        let history = History {
            tenants: tenants.into(),
            ..History::default()
        };
        let ending = Ending {
            tenants: vec![TenantEnding::default(); 2],
            ..Ending::default()
        };
        Self { history, ending }
    }

    /// An operation of a process of its own between two times.
    pub(super) fn did(&mut self, outcome: Outcome, (invoked_us, completed_us): (u64, u64), action: Action) -> &mut Operation {
        let process = self.history.operations.len() as u64;
        self.history.operations.push(Operation {
            process,
            tenant: 0,
            action,
            invoked_us,
            completed_us,
            outcome,
            position: None,
        });
        self.history.operations.last_mut().unwrap()
    }

    /// One that was acknowledged.
    pub(super) fn ok(&mut self, invoked_us: u64, completed_us: u64, action: Action) -> &mut Operation {
        self.did(Outcome::Ok, (invoked_us, completed_us), action)
    }

    /// One that was refused.
    pub(super) fn failed(&mut self, invoked_us: u64, completed_us: u64, action: Action) {
        self.did(Outcome::Failed, (invoked_us, completed_us), action);
    }

    /// One of which nobody knows.
    pub(super) fn unknown(&mut self, invoked_us: u64, completed_us: u64, action: Action) {
        self.did(Outcome::Unknown, (invoked_us, completed_us), action);
    }

    /// A record of acme at the end, in its first version.
    pub(super) fn holds(&mut self, collection: &str, id: &str, fields: Value) {
        let Value::Object(fields) = fields else {
            panic!("fields are an object")
        };
        let records = self.ending.tenants[0].records.entry(collection.to_owned()).or_default();
        records.insert(id.to_owned(), Record { version: 1, fields });
    }

    /// A list of acme at the end.
    pub(super) fn lists(&mut self, key: &str, elements: &[u64]) {
        self.holds("lists", key, json!({ "elements": elements }));
    }

    /// The next event of acme.
    pub(super) fn event(&mut self, kind: &str, collection: &str, id: &str, version: u64) {
        let tenant = &mut self.ending.tenants[0];
        tenant.position += 1;
        tenant.events.push(Event {
            position: tenant.position,
            kind: kind.to_owned(),
            collection: Some(collection.to_owned()),
            id: Some(id.to_owned()),
            version: Some(version),
            told: tenant.position,
        });
    }

    /// A stream that gave the events at these positions.
    pub(super) fn follows(&mut self, wanted: Wanted, positions: &[u64]) {
        let tenant = &mut self.ending.tenants[0];
        let event = |position: &u64| {
            tenant
                .events
                .iter()
                .find(|event| event.position == *position)
                .unwrap()
                .clone()
        };
        tenant.streams.push(Stream {
            by: "a stream".to_owned(),
            wanted,
            began: Some(0),
            events: positions.iter().map(event).collect(),
            connections: 1,
            resumes: 0,
            odd: Vec::new(),
        });
    }

    /// A replica of a cell.
    pub(super) fn replica(&mut self, cell: &str, node: &str, hash: &str) -> &mut ReplicaEnding {
        self.ending.replicas.push(ReplicaEnding {
            cell: cell.to_owned(),
            node: node.to_owned(),
            applied: 7,
            hash: hash.to_owned(),
            keys: 3,
            hash_after_replay: Some(hash.to_owned()),
        });
        self.ending.replicas.last_mut().unwrap()
    }

    /// Where a node has a tenant.
    pub(super) fn owner(&mut self, tenant: &str, node: &str, cell: &str) {
        self.ending.owners.push(Owner {
            tenant: tenant.to_owned(),
            node: node.to_owned(),
            cell: cell.to_owned(),
        });
    }

    /// A node.
    pub(super) fn node(&mut self, node: &str, log_bytes: u64, resident_bytes: u64) {
        self.ending.nodes.push(NodeUse {
            node: node.to_owned(),
            log_bytes,
            kept_bytes: log_bytes.min(KEPT_BYTES),
            resident_bytes,
        });
    }

    /// A collection whose schema changes, with the records that it begins with, one that was written, and one that is dropped.
    pub(super) fn shapes(&mut self) {
        for number in 0..names::BALLAST {
            let id = format!("b{number:04}");
            self.holds("shaped", &id, Value::Object(names::ballast("acme-", number)));
            self.event(names::CREATED, "shaped", &id, 1);
        }
        let made = shaped(1, "acme-c1");
        self.ok(200, 210, craft("s", Act::Create(made.clone()), 1));
        self.holds("shaped", "s", Value::Object(made.clone()));
        self.event(names::CREATED, "shaped", "s", 1);
        self.ok(220, 230, fleeting("f", "acme-f"));
        self.holds("fleeting", "f", json!({ "mark": "acme-f" }));
        self.event(names::CREATED, "fleeting", "f", 1);
        let ending = &mut self.ending.tenants[0];
        ending.left = Some(names::first_schema());
        let version = Version {
            version: 1,
            deleted: false,
            fields: made,
        };
        ending.versions.insert("s".to_owned(), vec![version]);
    }

    /// A note that is there at the end.
    pub(super) fn notes(&mut self, id: &str, version: u64, text: &str) {
        self.holds("notes", id, json!({ "text": text, "kind": "plain" }));
        let notes = self.ending.tenants[0].records.get_mut("notes");
        notes.unwrap().get_mut(id).unwrap().version = version;
    }

    /// What a node finds at the end: notes that are there.
    pub(super) fn finds(&mut self, word: &str, ids: &[&str]) {
        let tenant = &mut self.ending.tenants[0];
        let one = |id: &&str| {
            let note = &tenant.records["notes"][*id];
            found(id, note.version, note.fields["text"].as_str().unwrap())
        };
        let count = ids.len() as u64;
        tenant.searches.push(Searched {
            node: "n1".to_owned(),
            word: word.to_owned(),
            found: ids.iter().map(one).collect(),
            total: Some(Total { count, exact: true }),
            facets: if count > 0 {
                vec![("plain".to_owned(), count)]
            } else {
                Vec::new()
            },
            building: false,
        });
    }

    /// A file that is there at the end, with the contents of these marks as its versions, the first one first.
    pub(super) fn keeps(&mut self, name: &str, marks: &[&str]) {
        let nodes = ["n1", "n2"];
        let version = |(number, mark): (u64, &&str)| {
            let seen = glimpse(&filed(mark));
            KeptVersion {
                version: number,
                bytes: seen.bytes,
                digest: seen.digest.clone(),
                disks: 2,
                seen: nodes.map(|node| (node.to_owned(), Some(seen.clone()))).into(),
            }
        };
        let mut versions: Vec<_> = (1..).zip(marks).map(version).collect();
        versions.reverse();
        let tenant = &mut self.ending.tenants[0];
        tenant.needed_disks = 2;
        tenant.files.push(Kept {
            id: name.to_owned(),
            name: name.to_owned(),
            version: marks.len() as u64,
            attached: None,
            versions,
        });
    }

    /// What a checker says.
    pub(super) fn verdict(&self, invariant: &dyn Invariant) -> Verdict {
        invariant.check(&self.history, &self.ending, BUDGET)
    }

    /// Wants it green.
    #[track_caller]
    pub(super) fn assert_green(&self, invariant: &dyn Invariant) {
        assert_eq!(self.verdict(invariant), Verdict::Green);
    }

    /// Wants a finding with each of these words.
    #[track_caller]
    pub(super) fn assert_finds(&self, invariant: &dyn Invariant, words: &[&str]) {
        let Verdict::Violated { findings } = self.verdict(invariant) else {
            panic!("not found: {words:?}: {:?}", self.verdict(invariant))
        };
        let hit = findings.iter().any(|finding| words.iter().all(|word| finding.contains(word)));
        assert!(hit, "{words:?} is expected among {findings:#?}");
    }

    /// Wants it green, and its damaged copy violated.
    #[track_caller]
    pub(super) fn assert_damage_is_found(&self, invariant: &dyn Invariant) {
        self.assert_green(invariant);
        let (history, ending) = invariant.damage(&self.history, &self.ending).expect("something to damage");
        let verdict = invariant.check(&history, &ending, BUDGET);
        assert!(matches!(verdict, Verdict::Violated { .. }), "{verdict:?}");
    }

    /// Wants nothing that could be damaged.
    #[track_caller]
    pub(super) fn assert_no_damage(&self, invariant: &dyn Invariant) {
        assert!(invariant.damage(&self.history, &self.ending).is_none());
    }
}
