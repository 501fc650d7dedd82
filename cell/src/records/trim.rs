//! The command that forgets events and superseded versions which are older than they are kept, some keys at a time.
//!
//! Events are cut from the front, so that the first one that is left says from where on there are any: nothing else is stored about it.

use serde::{Deserialize, Serialize};
use storage::table::{self, HistoryAge};
use storage::{Direction, Space, Table};

use super::totals;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::idempotency::bad_key;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::{Fault, Stop};
use crate::machine::rows::{Event, EventRow, Header};
use crate::machine::world::World;

/// Events, and superseded versions, that one step forgets at most: as many keys as an erasure removes in one.
const STEP: usize = 1_000;
/// Bytes of versions that one step reads at most, and one version: what goes has to be subtracted from the totals, and others wait for the
/// step. Raised: they wait longer. Lowered: long versions take more steps.
const STEP_BYTES: usize = 4 << 20;

/// Forgets what happened before some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpaceTrim {
    /// Events from before this stamp go.
    pub(crate) events_before: u64,
    /// Versions that were superseded before this stamp go.
    pub(crate) history_before: u64,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trimmed {
    /// Events that it forgot.
    pub(crate) events: u64,
    /// Versions that it forgot.
    pub(crate) versions: u64,
    /// Nothing that old is left.
    pub(crate) done: bool,
}

impl Command for SpaceTrim {
    type Reply = Trimmed;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Trimmed, Stop> {
        world.live()?;
        let events = trim_events(world, self.events_before)?;
        let (versions, all) = trim_history(world, self.history_before)?;
        Ok(Trimmed {
            events: events as u64,
            versions: versions as u64,
            done: events < STEP && all,
        })
    }
}

fn trim_events(world: &mut World<'_>, before: u64) -> Result<usize, Stop> {
    let mut old = Vec::new();
    for row in world.scan(table::Event::range(world.space), Direction::Forward).take(STEP) {
        let (key, bytes) = row?;
        let parsed = table::Event::parse(key.as_bytes()).map_err(|error| bad_key(&key, &error))?;
        let EventRow::V1(event) = decode(&parsed, &bytes)?;
        if event.stamp >= before {
            break;
        }
        old.push(key);
    }
    let count = old.len();
    old.into_iter().for_each(|key| world.delete_raw(key));
    Ok(count)
}

/// How many versions went, and whether those were all. Only where the versions of a space are counted they are read.
fn trim_history(world: &mut World<'_>, before: u64) -> Result<(usize, bool), Stop> {
    let space = world.space;
    let is_counted = totals::row(world, space)?.is_some();
    let range = HistoryAge::range_before(space, before);
    let old: Vec<_> = world.scan(range, Direction::Forward).take(STEP).collect::<Result<_, _>>()?;
    let (found, mut gone, mut read) = (old.len(), 0, 0);
    for (key, _) in old {
        if read >= STEP_BYTES {
            break;
        }
        let age = HistoryAge::parse(key.as_bytes()).map_err(|error| bad_key(&key, &error))?;
        let version = table::History {
            space,
            collection: age.collection,
            id: age.id,
            version: age.version,
        };
        if !is_counted {
            world.delete(&version);
        } else if let Some(bytes) = world.get(&version)? {
            read += bytes.len();
            world.delete_counted(version.key(), bytes.len());
        }
        world.delete_raw(key);
        gone += 1;
    }
    Ok((gone, gone == found && found < STEP))
}

/// The first event that is kept, with its position; none: there is none.
pub(crate) fn first_event(reader: &impl Reader, space: Space) -> Result<Option<(u64, Event)>, Fault> {
    let mut rows = reader.scan(table::Event::range(space), Direction::Forward);
    let Some(row) = rows.next() else { return Ok(None) };
    let (raw, bytes) = row?;
    let key = table::Event::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
    let EventRow::V1(event) = decode(&key, &bytes)?;
    Ok(Some((key.position, event)))
}

/// The position of the last event that is no longer kept; 0: all are.
pub(crate) fn trimmed_to(reader: &impl Reader, space: Space, header: &Header) -> Result<u64, Fault> {
    Ok(first_event(reader, space)?.map_or(header.position, |(first, _)| first.saturating_sub(1)))
}

/// Whether anything is older than it is kept.
pub(crate) fn is_due(reader: &impl Reader, space: Space, trim: &SpaceTrim) -> Result<bool, Fault> {
    if first_event(reader, space)?.is_some_and(|(_, event)| event.stamp < trim.events_before) {
        return Ok(true);
    }
    let mut old = reader.scan(HistoryAge::range_before(space, trim.history_before), Direction::Forward);
    Ok(old.next().transpose()?.is_some())
}
