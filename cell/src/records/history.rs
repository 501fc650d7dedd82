//! History: what a record was before it was changed or deleted.
//!
//! The commit of a change keeps the version that it supersedes, whole, with when and by whom it was superseded. A record that is deleted
//! and made again goes on counting its versions, so that a version names one state of a record for as long as history is kept.
//! [`super::trim`] forgets what is older than the tenant's plan keeps.
//!
//! Invariant: a version is either the record's or in history, never both. Rows in `history_age` are a function of those in `history`.
//!
//! CAVEATS: versions are shown under today's schema: values of a field that has been dropped since are there, but nobody sees them.
//! Changes by commands of before there was a history ([`super::write::RecordsWrite`] itself) keep nothing.

use serde::{Deserialize, Serialize};
use storage::table::{self, HistoryAge};
use storage::{Direction, Table};

use super::entries::Place;
use super::value::Record;
use crate::machine::envelope::seal;
use crate::machine::idempotency::bad_key;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::Fault;
use crate::machine::rows::Actor;
use crate::machine::world::World;
use crate::mutant::Mutant;

/// A version that is no longer the record's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Superseded {
    /// The record as it was.
    pub(crate) record: Record,
    /// When it was superseded, in microseconds since the epoch.
    pub(crate) stamp: u64,
    /// By whom.
    pub(crate) actor: Actor,
    /// It was not changed but deleted.
    pub(crate) deleted: bool,
}

/// Versions of [`Superseded`].
#[derive(Serialize, Deserialize)]
pub(crate) enum HistoryRow {
    /// The first.
    V1(Superseded),
}

/// Keeps what a change supersedes, where the command keeps history.
pub(super) fn supersede(world: &mut World<'_>, place: Place, old: &Record, deleted: bool) {
    if !world.keeps_history() {
        return;
    }
    // Mutant, without a number.
    if Mutant::HistoryForgetsAVersion.active() && old.version % 4 == 2 {
        return;
    }
    let (space, stamp) = (world.space, world.stamp);
    let row = HistoryRow::V1(Superseded {
        record: old.clone(),
        stamp,
        actor: world.actor.clone(),
        deleted,
    });
    let (collection, id, version) = (place.collection, place.id.into_bytes(), old.version);
    // A version is the record's or in history, never both: nothing is there yet.
    world.put_counted(
        &table::History {
            space,
            collection,
            id,
            version,
        },
        seal(&row).into(),
        None,
    );
    world.put_key(&HistoryAge {
        space,
        stamp,
        collection,
        id,
        version,
    });
}

/// The version of a record that is not there and is made now: the one after its deletion, where that is known.
pub(super) fn first_version(world: &World<'_>, place: Place) -> Result<u64, Fault> {
    if !world.keeps_history() {
        return Ok(1);
    }
    // Its deletion counted as a version, too.
    Ok(last(world, place)?.map_or(1, |gone| gone.record.version.saturating_add(2)))
}

/// The last version that was superseded.
pub(crate) fn last(reader: &impl Reader, place: Place) -> Result<Option<Superseded>, Fault> {
    versions(reader, place, u64::MAX).next().transpose()
}

/// The superseded versions below `before`, the newest first.
pub(crate) fn versions<R: Reader>(reader: &R, place: Place, before: u64) -> impl Iterator<Item = Result<Superseded, Fault>> {
    let (space, collection, id) = (place.space, place.collection, place.id.into_bytes());
    let key = |version| table::History {
        space,
        collection,
        id,
        version,
    };
    let range = table::History::range(space, collection, id).before(&key(before).key());
    reader.scan(range, Direction::Backward).map(|row| {
        let (raw, bytes) = row?;
        let key = table::History::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
        let HistoryRow::V1(superseded) = decode(&key, &bytes)?;
        Ok(superseded)
    })
}

/// When a superseded version may be forgotten: what its row says of that.
pub(crate) fn age(key: &table::History, bytes: &[u8]) -> Result<HistoryAge, Fault> {
    let HistoryRow::V1(superseded) = decode(key, bytes)?;
    Ok(HistoryAge {
        space: key.space,
        stamp: superseded.stamp,
        collection: key.collection,
        id: key.id,
        version: key.version,
    })
}

/// One superseded version.
pub(crate) fn version(reader: &impl Reader, place: Place, version: u64) -> Result<Option<Superseded>, Fault> {
    let key = table::History {
        space: place.space,
        collection: place.collection,
        id: place.id.into_bytes(),
        version,
    };
    Ok(reader.row(&key)?.map(|HistoryRow::V1(superseded)| superseded))
}
