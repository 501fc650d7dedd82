//! The command that brings rows of a space to the cell that it goes to, as they are in the one that it leaves.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storage::table::{Kind, SpaceHeader, TABLES};
use storage::{Direction, Key, KeyRange, MAX_KEY_BYTES, MAX_VALUE_BYTES, Snapshot, Space, Table};

use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::limits::{MOVE_CHUNK_BYTES, MOVE_KEYS};
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::{Header, Place, SpaceStatus};
use crate::machine::world::World;

/// Brings rows. Chunks come one after the other; one that has come before is passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpaceArrive {
    /// The attempt.
    pub(crate) attempt: u64,
    /// The number of the chunk, from 0.
    pub(crate) chunk: u64,
    /// The rows.
    pub(crate) rows: Vec<Row>,
    /// With the last chunk: the header of the space, and the position of the other cell's log at which all of it was read.
    pub(crate) end: Option<(Header, u64)>,
}

/// One row, or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The encoded key.
    pub(crate) key: Vec<u8>,
    /// How much of the value has come before, in bytes.
    pub(crate) offset: u64,
    /// What comes now.
    pub(crate) value: Vec<u8>,
}

impl Command for SpaceArrive {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        let attempt = self.attempt;
        let chunks = match world.place() {
            Place::Copying { attempt: now, chunks } if now == attempt => chunks,
            // All chunks have come.
            Place::Following { attempt: now, .. } if now == attempt => return Ok(()),
            _ => return Err(Refusal::Stale.into()),
        };
        if self.chunk < chunks {
            return Ok(());
        }
        if self.chunk > chunks || self.rows.len() > MOVE_KEYS {
            return Err(Refusal::Stale.into());
        }
        for row in self.rows {
            put(world, row)?;
        }
        match self.end {
            None => {
                let chunks = chunks.saturating_add(1);
                world.set_place(Place::Copying { attempt, chunks });
            }
            Some((header, index)) if header.status == SpaceStatus::Live => {
                world.adopt(header, Place::Following { attempt, index });
            }
            Some(_) => return Err(Refusal::NoSpace.into()),
        }
        Ok(())
    }
}

fn put(world: &mut World<'_>, row: Row) -> Result<(), Stop> {
    let key = Key::from_bytes(row.key.into()).map_err(|_| Refusal::Stale)?;
    if !goes_along(&key) || key.space() != world.space || key.as_bytes().len() > MAX_KEY_BYTES {
        return Err(Refusal::Stale.into());
    }
    let mut value = Bytes::from(row.value);
    if row.offset > 0 {
        let before = world.get_raw(&key)?.filter(|before| before.len() as u64 == row.offset);
        let before = before.ok_or(Refusal::Stale)?;
        value = [before, value].concat().into();
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(Refusal::Stale.into());
    }
    world.put_raw(key, value);
    Ok(())
}

/// Whether a key goes along as a row. The header does not: it comes by itself, in the end.
fn goes_along(key: &Key) -> bool {
    let table = TABLES.iter().find(|table| table.tag == key.tag());
    table.is_some_and(|table| table.kind != Kind::Local && table.tag != SpaceHeader::TAG)
}

/// How far a space has been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursor {
    /// The last key that was read as a whole.
    after: Option<Key>,
    /// How much of the next one was read, in bytes.
    offset: usize,
}

/// What comes after the cursor, as much as one chunk takes; whether it is the last chunk.
pub(crate) fn read(snapshot: &Snapshot, space: Space, cursor: &mut Cursor) -> Result<(Vec<Row>, bool), storage::Error> {
    let whole = KeyRange::space(space);
    let range = match &cursor.after {
        Some(key) => whole.after(key),
        None => whole,
    };
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for row in snapshot.scan(range, Direction::Forward) {
        let (key, value) = row?;
        if !goes_along(&key) {
            cursor.after = Some(key);
            continue;
        }
        if rows.len() >= MOVE_KEYS || bytes >= MOVE_CHUNK_BYTES {
            return Ok((rows, false));
        }
        let piece = value.slice(cursor.offset.min(value.len())..);
        let room = MOVE_CHUNK_BYTES - bytes;
        let fits = piece.len() <= room;
        let piece = if fits { piece } else { piece.slice(..room) };
        bytes += key.as_bytes().len() + piece.len();
        rows.push(Row {
            key: key.as_bytes().to_vec(),
            offset: cursor.offset as u64,
            value: piece.to_vec(),
        });
        if !fits {
            cursor.offset += room;
            return Ok((rows, false));
        }
        cursor.after = Some(key);
        cursor.offset = 0;
    }
    Ok((rows, true))
}
