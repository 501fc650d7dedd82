//! The catalog of a tenant: all its collections, decoded once per schema version and shared by decide and apply.
//!
//! The cache is keyed by space and schema version. Within one group's history a version names one state of the schema, so
//! that an entry can be stale but never wrong; a snapshot install clears it all the same.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use storage::{Direction, Space, Table};

use super::idempotency::bad_key;
use super::kept::{Hits, Kept};
use super::limits::CATALOGS;
use super::reader::{Reader, decode};
use super::refusal::Fault;
use crate::records::evolve::pending::{ChangeRow, Pending};
use crate::records::evolve::work::{self, Phase};
use crate::records::guard::Guard;
use crate::records::policy::{Policy, PolicyRow};
use crate::records::schema::{Collection, CollectionRow, FieldSpec, Kind};

/// All collections of a tenant.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    by_number: BTreeMap<u32, Arc<Collection>>,
    by_name: BTreeMap<String, u32>,
    policies: BTreeMap<u32, Policed>,
    pending: BTreeMap<u32, Arc<Pending>>,
    retired: BTreeMap<u32, Vec<FieldSpec>>,
}

/// A policy, compiled when it is first asked for: apply never does.
#[derive(Debug, Default)]
struct Policed {
    policy: Policy,
    guard: OnceLock<Arc<Guard>>,
}

impl Catalog {
    /// Reads the catalog of a space.
    pub(crate) fn load(reader: &impl Reader, space: Space) -> Result<Self, Fault> {
        let mut catalog = Self::default();
        for row in reader.scan(storage::table::CollectionSchema::range(space), Direction::Forward) {
            let (raw, bytes) = row?;
            let key = storage::table::CollectionSchema::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
            let CollectionRow::V1(collection) = decode(&key, &bytes)?;
            if !collection.dropped {
                catalog.by_name.insert(collection.name.clone(), key.collection);
            }
            catalog.by_number.insert(key.collection, Arc::new(collection));
        }
        for row in reader.scan(storage::table::CollectionPolicy::range(space), Direction::Forward) {
            let (raw, bytes) = row?;
            let key = storage::table::CollectionPolicy::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
            let PolicyRow::V1(policy) = decode(&key, &bytes)?;
            catalog.set_policy(key.collection, policy);
        }
        for row in reader.scan(storage::table::CollectionPending::range(space), Direction::Forward) {
            let (raw, bytes) = row?;
            let key = storage::table::CollectionPending::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
            let ChangeRow::V1(change) = decode(&key, &bytes)?;
            if let Some(current) = catalog.by_number.get(&key.collection) {
                let pending = Arc::new(Pending::new(change, current));
                catalog.pending.insert(key.collection, pending);
            }
        }
        for work in work::list(reader, space)? {
            if let Phase::Clean(left) = work.phase {
                catalog.retire(work.collection, left.fields);
            }
        }
        Ok(catalog)
    }

    /// Notes fields whose values are being taken away.
    fn retire(&mut self, collection: u32, fields: Vec<FieldSpec>) {
        let references = fields
            .into_iter()
            .filter(|field| matches!(field.kind, Kind::Reference { .. }));
        let mut references = references.peekable();
        if references.peek().is_some() {
            self.retired.entry(collection).or_default().extend(references);
        }
    }

    /// References that a collection had, and of which its records may still have values and entries; none: there are none.
    pub(crate) fn retired(&self, collection: u32) -> Option<&Vec<FieldSpec>> {
        self.retired.get(&collection)
    }

    /// Adds a collection, as a template does before anything is stored.
    pub(crate) fn add(&mut self, collection: Collection) {
        self.by_name.insert(collection.name.clone(), collection.number);
        self.by_number.insert(collection.number, Arc::new(collection));
    }

    /// Gives a collection its policy.
    pub(crate) fn set_policy(&mut self, collection: u32, policy: Policy) {
        let guard = OnceLock::new();
        self.policies.insert(collection, Policed { policy, guard });
    }

    /// The policy of a collection; none: it has none.
    pub(crate) fn policy(&self, collection: u32) -> Option<&Policy> {
        self.policies.get(&collection).map(|policed| &policed.policy)
    }

    /// The guard of a collection; none: it has no policy.
    pub(crate) fn guard(&self, collection: &Collection) -> Option<&Arc<Guard>> {
        let policed = self.policies.get(&collection.number)?;
        let compile = || Arc::new(Guard::compile(&policed.policy, collection));
        Some(policed.guard.get_or_init(compile))
    }

    /// The change of a collection that is under way; none: there is none.
    pub(crate) fn pending(&self, collection: u32) -> Option<&Arc<Pending>> {
        self.pending.get(&collection)
    }

    /// A collection as users see it.
    pub(crate) fn show(&self, collection: &Collection) -> api::body::collection::Collection {
        let change = self
            .pending(collection.number)
            .map(|pending| api::ids::Id(pending.change.operation));
        api::body::collection::Collection {
            change,
            ..collection.to_api(self.policy(collection.number))
        }
    }

    /// A collection by its name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Collection>> {
        self.by_name.get(name).and_then(|number| self.by_number.get(number))
    }

    /// A collection by its number, dropped ones included.
    pub(crate) fn numbered(&self, number: u32) -> Option<&Arc<Collection>> {
        self.by_number.get(&number)
    }

    /// The numbers of all collections, dropped ones included.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.by_number.keys().copied()
    }

    /// The collections that are there, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Collection>> {
        self.by_name.values().filter_map(|number| self.by_number.get(number))
    }
}

/// The decoded catalogs of one group: by space, each with the schema version that it is of.
pub(crate) struct Catalogs(Kept<Space, (u64, Arc<Catalog>)>);

impl Default for Catalogs {
    fn default() -> Self {
        Self(Kept::new(CATALOGS))
    }
}

impl Catalogs {
    /// The catalog of a space at a schema version, read from `reader` where it is not known.
    pub(crate) fn get(&self, reader: &impl Reader, space: Space, version: u64) -> Result<Arc<Catalog>, Fault> {
        if let Some((_, catalog)) = self.0.get(space, |(known, _)| *known == version) {
            return Ok(catalog);
        }
        let catalog = Arc::new(Catalog::load(reader, space)?);
        // An older reader must not replace what a newer one has put here.
        self.0
            .put(space, (version, Arc::clone(&catalog)), |(known, _)| *known >= version);
        Ok(catalog)
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.0.clear();
    }

    /// How often a catalog was known.
    pub(crate) fn hits(&self) -> Hits {
        self.0.hits()
    }
}
