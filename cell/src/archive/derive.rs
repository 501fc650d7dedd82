//! Derived rows, built again from carried ones. A pure function of the rows that came before: the definitions of collections come first.
//!
//! It decodes every row on the way: one that the machine could not read would stop the replicas that hold it.

use std::collections::BTreeMap;
use std::ops::Bound;

use api::limits::VERSION_MAX;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use storage::table::{self, CollectionName};
use storage::{Direction, Key, KeyRange, Space, Table};
use uuid::Uuid;

use super::rows::{Head, is_defining};
use crate::access::token_row::TokenVersion;
use crate::documents::rows::UpdateRow;
use crate::files::rows::{self as files, FileRow, TotalsRow, UseRow, VersionRow};
use crate::files::secret::SecretRow;
use crate::files::upload::{LeafRow, UploadRow};
use crate::machine::catalog::Catalog;
use crate::machine::envelope::{EnvelopeError, seal};
use crate::machine::idempotency::{self, bad_key};
use crate::machine::reader::{Reader, Rows, decode};
use crate::machine::refusal::Fault;
use crate::machine::rows::EventRow;
use crate::records::entries::Place;
use crate::records::evolve::pending::ChangeRow;
use crate::records::evolve::work::{self, Work, WorkRow};
use crate::records::import::ImportRowVersion;
use crate::records::policy::PolicyRow;
use crate::records::schema::CollectionRow;
use crate::records::totals;
use crate::records::value::RecordRow;
use crate::records::{derived, history};
use crate::search::language::SettingsRow;

/// Most that the definitions of a tenant's collections have, in bytes: they are held in memory.
const DEFINITIONS_BYTES: usize = 256 * 1024 * 1024;

/// See the module.
pub(super) struct Deriver {
    space: Space,
    position: u64,
    next: u64,
    definitions: Definitions,
    bytes: usize,
    /// What the definitions say, once all are there.
    known: Option<(Catalog, Vec<Work>)>,
}

impl Deriver {
    pub(super) fn new(space: Space, head: &Head) -> Self {
        Self {
            space,
            position: head.position,
            next: head.next,
            definitions: Definitions::default(),
            bytes: 0,
            known: None,
        }
    }

    /// The rows that follow from a carried one. An error: the row is none that this version could have left.
    pub(super) fn take(&mut self, key: &Key, value: &[u8]) -> Result<Vec<(Key, Bytes)>, Fault> {
        if is_defining(key.tag()) {
            self.bytes += key.as_bytes().len() + value.len();
            if self.bytes > DEFINITIONS_BYTES {
                return Err(unfit(key, "the definitions of the collections are too large"));
            }
            self.definitions.0.insert(key.clone(), Bytes::copy_from_slice(value));
        }
        match key.tag() {
            table::CollectionSchema::TAG => self.collection(key, value),
            table::CollectionPolicy::TAG => read::<table::CollectionPolicy, PolicyRow>(key, value).map(nothing),
            table::CollectionPending::TAG => {
                let (parsed, ChangeRow::V1(change)) = read::<table::CollectionPending, _>(key, value)?;
                same(key, parsed.collection, change.target.number).map(nothing)
            }
            table::Operation::TAG => {
                let (parsed, WorkRow::V1(work)) = read::<table::Operation, _>(key, value)?;
                same(key, parsed.id, work.id.into_bytes()).map(nothing)
            }
            table::Token::TAG => {
                let (parsed, TokenVersion::V1(row)) = read::<table::Token, _>(key, value)?;
                same(key, parsed.id, row.id.into_bytes()).map(nothing)
            }
            table::TokenSecret::TAG => read::<table::TokenSecret, Uuid>(key, value).map(nothing),
            table::Record::TAG => self.record(key, value),
            table::Sequence::TAG => read::<table::Sequence, i64>(key, value).map(nothing),
            table::Event::TAG => {
                let (parsed, EventRow::V1(_)) = read::<table::Event, _>(key, value)?;
                if parsed.position == 0 || parsed.position > self.position {
                    return Err(unfit(key, "the event is behind the tenant's position"));
                }
                Ok(Vec::new())
            }
            table::History::TAG => {
                let age = history::age(&parse(key)?, value)?;
                counted(key, age.version)?;
                Ok(vec![(age.key(), Bytes::new())])
            }
            table::Idempotency::TAG => {
                let expiry = idempotency::expiry(&parse(key)?, value)?;
                Ok(vec![(expiry.key(), Bytes::new())])
            }
            table::DocumentUpdate::TAG => read::<table::DocumentUpdate, UpdateRow>(key, value).map(nothing),
            table::SearchSettings::TAG => read::<table::SearchSettings, SettingsRow>(key, value).map(nothing),
            table::File::TAG => {
                let (parsed, FileRow::V1(file)) = read::<table::File, _>(key, value)?;
                let attached = file.attached.filter(|_| !file.leaves);
                let attached = attached.map(|record| files::attached(self.space, record, Uuid::from_bytes(parsed.id)));
                Ok(attached.map(|attached| (attached.key(), Bytes::new())).into_iter().collect())
            }
            table::FileVersion::TAG => read::<table::FileVersion, VersionRow>(key, value).map(nothing),
            table::ChunkUse::TAG => read::<table::ChunkUse, UseRow>(key, value).map(nothing),
            table::Upload::TAG => read::<table::Upload, UploadRow>(key, value).map(nothing),
            table::UploadChunk::TAG => read::<table::UploadChunk, LeafRow>(key, value).map(nothing),
            table::FileTotals::TAG => read::<table::FileTotals, TotalsRow>(key, value).map(nothing),
            table::RecordTotals::TAG => read::<table::RecordTotals, totals::TotalsRow>(key, value).map(nothing),
            table::LinkSecret::TAG => read::<table::LinkSecret, SecretRow>(key, value).map(nothing),
            table::Import::TAG => read::<table::Import, ImportRowVersion>(key, value).map(nothing),
            _ => Err(unfit(key, "it is of a table that is not carried")),
        }
    }

    fn collection(&self, key: &Key, value: &[u8]) -> Result<Vec<(Key, Bytes)>, Fault> {
        let (parsed, CollectionRow::V1(collection)) = read::<table::CollectionSchema, _>(key, value)?;
        same(key, parsed.collection, collection.number)?;
        if u64::from(collection.number) >= self.next {
            return Err(unfit(key, "the number of the collection is still to be given"));
        }
        if collection.dropped {
            return Ok(Vec::new());
        }
        let name = CollectionName {
            space: self.space,
            name: collection.name,
        };
        Ok(vec![(name.key(), seal(&collection.number).into())])
    }

    fn record(&mut self, key: &Key, value: &[u8]) -> Result<Vec<(Key, Bytes)>, Fault> {
        let (parsed, RecordRow::V1(record)) = read::<table::Record, _>(key, value)?;
        counted(key, record.version)?;
        let (catalog, works) = match &self.known {
            Some(known) => known,
            None => {
                let catalog = Catalog::load(&self.definitions, self.space)?;
                let works = work::list(&self.definitions, self.space)?;
                self.known.insert((catalog, works))
            }
        };
        let place = Place {
            space: self.space,
            collection: parsed.collection,
            id: Uuid::from_bytes(parsed.id),
        };
        derived::of_record(catalog, works, place, &record).ok_or_else(|| unfit(key, "there is no such collection"))
    }
}

/// The definitions of a tenant's collections.
#[derive(Default)]
struct Definitions(BTreeMap<Key, Bytes>);

impl Reader for Definitions {
    fn get<T: Table>(&self, key: &T) -> Result<Option<Bytes>, storage::Error> {
        Ok(self.0.get(&key.key()).cloned())
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Rows<'_> {
        if range.start >= range.end {
            return Box::new(std::iter::empty());
        }
        let bounds = (Bound::Included(range.start.as_ref()), Bound::Excluded(range.end.as_ref()));
        let rows = self.0.range::<[u8], _>(bounds);
        let rows = rows.map(|(key, value)| Ok((key.clone(), value.clone())));
        match direction {
            Direction::Forward => Box::new(rows),
            Direction::Backward => Box::new(rows.rev()),
        }
    }
}

fn parse<T: Table>(key: &Key) -> Result<T, Fault> {
    T::parse(key.as_bytes()).map_err(|error| bad_key(key, &error))
}

fn read<T: Table, R: DeserializeOwned>(key: &Key, value: &[u8]) -> Result<(T, R), Fault> {
    let parsed = parse::<T>(key)?;
    let row = decode(&parsed, value)?;
    Ok((parsed, row))
}

/// A row that nothing follows from.
fn nothing<R>(_: R) -> Vec<(Key, Bytes)> {
    Vec::new()
}

/// That a row is where it says to be.
fn same<T: PartialEq>(key: &Key, there: T, says: T) -> Result<(), Fault> {
    match there == says {
        true => Ok(()),
        false => Err(unfit(key, "it belongs to another key")),
    }
}

/// That a version is one that changes can go on counting from.
fn counted(key: &Key, version: u64) -> Result<(), Fault> {
    match (1..=VERSION_MAX).contains(&version) {
        true => Ok(()),
        false => Err(unfit(key, "its version is none that a record can have")),
    }
}

fn unfit(key: &Key, why: &str) -> Fault {
    let what = "row";
    let why = why.to_owned();
    Fault::Row(key.to_string(), EnvelopeError::Body { what, why })
}
