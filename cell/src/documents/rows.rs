//! The rows of a document.

use serde::{Deserialize, Serialize};
use storage::table::DocumentUpdate as Key;
use storage::{Direction, Table};

use crate::machine::idempotency::bad_key;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::Fault;
use crate::records::entries::Place;

/// An update of a document, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UpdateRow {
    /// As a client sent it, or merged of several.
    V1(Vec<u8>),
}

/// A document as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The updates with their numbers, in order.
    pub(crate) updates: Vec<(u64, Vec<u8>)>,
}

impl Stored {
    /// Bytes of all updates.
    pub(crate) fn bytes(&self) -> usize {
        self.updates.iter().map(|(_, update)| update.len()).sum()
    }

    /// The numbers of the first and the last update.
    pub(crate) fn ends(&self) -> Option<(u64, u64)> {
        Some((self.updates.first()?.0, self.updates.last()?.0))
    }
}

/// The key of an update.
pub(super) fn key(place: Place, field: u16, number: u64) -> Key {
    Key {
        space: place.space,
        collection: place.collection,
        id: place.id.into_bytes(),
        field: u32::from(field),
        number,
    }
}

/// A document.
pub(crate) fn read(reader: &impl Reader, place: Place, field: u16) -> Result<Stored, Fault> {
    let range = Key::of_field(place.space, place.collection, place.id.into_bytes(), u32::from(field));
    let mut stored = Stored::default();
    for row in reader.scan(range, Direction::Forward) {
        let (raw, bytes) = row?;
        let key = Key::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
        let UpdateRow::V1(update) = decode(&key, &bytes)?;
        stored.updates.push((key.number, update));
    }
    Ok(stored)
}

/// The number of the last update; none: there is none.
pub(super) fn last(reader: &impl Reader, place: Place, field: u16) -> Result<Option<u64>, Fault> {
    let range = Key::of_field(place.space, place.collection, place.id.into_bytes(), u32::from(field));
    let Some(row) = reader.scan(range, Direction::Backward).next() else {
        return Ok(None);
    };
    let (raw, _) = row?;
    let key = Key::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
    Ok(Some(key.number))
}
