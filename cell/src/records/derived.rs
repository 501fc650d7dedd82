//! The entries of a record as a function of the record, of its collection's schema and of how far a change of that is: for who has the
//! records alone, such as an archive.

use bytes::Bytes;
use storage::{Key, Table};

use super::entries::{self, KEY_BYTES, Place};
use super::evolve::work::{Phase, Work};
use super::schema::Collection;
use super::value::Record;
use crate::machine::catalog::Catalog;
use crate::machine::envelope::seal;

/// All rows that follow from a record. None: there is no such collection.
///
/// While a schema is being changed, the records that have been brought along have the entries of both. Those that were written since and
/// whose turn is still to come may have both as well: what is missing of them here they get in their turn.
pub(crate) fn of_record(catalog: &Catalog, works: &[Work], place: Place, record: &Record) -> Option<Vec<(Key, Bytes)>> {
    let mut rows = of_schema(catalog.numbered(place.collection)?, place, record);
    if let Some(pending) = catalog.pending(place.collection) {
        let work = works.iter().find(|work| work.id == pending.change.operation);
        if work.is_some_and(|work| is_brought_along(work, place)) {
            let mut extra = of_schema(pending.extra(), place, record);
            // References may be fields of both.
            extra.retain(|row| !rows.contains(row));
            rows.extend(extra);
        }
    }
    Some(rows)
}

fn is_brought_along(work: &Work, place: Place) -> bool {
    let reached = matches!(work.phase, Phase::Fit(Some(last)) if place.id <= last);
    reached && work.failures.iter().all(|(id, _)| *id != place.id)
}

/// The entries under one schema. A record with one that no key can hold does not fit it, and waits for its turn.
fn of_schema(collection: &Collection, place: Place, record: &Record) -> Vec<(Key, Bytes)> {
    let bare = |key: Key| (key, Bytes::new());
    let index = entries::index_entries(collection, place, record)
        .into_iter()
        .map(|entry| entry.key());
    let unique = entries::unique_entries(collection, place, record);
    let unique = unique.into_iter().map(|entry| (entry.key(), Bytes::from(seal(&place.id))));
    let references = entries::reference_entries(collection, place, record);
    let references = references.into_iter().map(|entry| entry.key());
    let all = index.map(bare).chain(unique).chain(references.map(bare));
    all.filter(|(key, _)| key.as_bytes().len() <= KEY_BYTES).collect()
}
