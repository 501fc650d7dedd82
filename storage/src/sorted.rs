//! Sorted changes into a redb table, so that its leaves stay full.
//!
//! redb's `insert` splits a full leaf in the middle. Keys that always come at an end of their range (records by time-ordered
//! ids, events by position) leave half of every leaf empty that way, for good. redb's cursor packs a run of new keys for one gap
//! into full leaves instead, and updates their parents once for the run. So: as long as the next two keys are new and no key of
//! the table lies between them they go through a cursor; whatever stands alone goes through `insert`, whose halves leave
//! room for more of its kind.

use std::iter::Peekable;
use std::ops::Bound;

use redb::{CursorError, CursorMut, StorageError, Table};

use crate::delta::Entry;
use crate::value;

type Bytewise = &'static [u8];

/// Makes these changes, in ascending order of their keys; one without a value deletes.
pub(crate) fn write<'a>(
    table: &mut Table<'_, Bytewise, Bytewise>,
    changes: impl Iterator<Item = &'a Entry>,
) -> Result<(), StorageError> {
    let mut changes = changes.peekable();
    let mut wrapped = Vec::new();
    while let Some(entry) = changes.next() {
        let key = entry.key().as_bytes();
        let Some(value) = entry.change() else {
            table.remove(key)?;
            continue;
        };
        value::wrap(key, value, &mut wrapped);
        if !write_run(table, key, &mut wrapped, &mut changes)? {
            table.insert(key, wrapped.as_slice())?;
        }
    }
    Ok(())
}

/// Writes the key and all that follow it into the same gap; false, and nothing is done, if that is not even two.
fn write_run<'a>(
    table: &mut Table<'_, Bytewise, Bytewise>,
    key: &[u8],
    wrapped: &mut Vec<u8>,
    changes: &mut Peekable<impl Iterator<Item = &'a Entry>>,
) -> Result<bool, StorageError> {
    if changes.peek().is_none_or(|second| second.change().is_none()) {
        return Ok(false);
    }
    let mut gap = table.upper_bound_mut(Bound::Included(key))?;
    let known = gap.peek_prev()?.is_some_and(|(found, _)| found.value() == key);
    let end = gap.peek_next()?.map(|(found, _)| found.value().to_vec());
    let before_end = |entry: &&Entry| entry.change().is_some() && end.as_deref().is_none_or(|end| entry.key().as_bytes() < end);
    if known || !changes.peek().is_some_and(before_end) {
        gap.close()?;
        return Ok(false);
    }
    insert(&mut gap, key, wrapped)?;
    while let Some(entry) = changes.next_if(before_end) {
        let (key, Some(value)) = (entry.key().as_bytes(), entry.change()) else {
            break;
        };
        value::wrap(key, value, wrapped);
        insert(&mut gap, key, wrapped)?;
    }
    gap.close()?;
    Ok(true)
}

fn insert(gap: &mut CursorMut<'_, Bytewise, Bytewise>, key: &[u8], wrapped: &[u8]) -> Result<(), StorageError> {
    gap.insert_before(key, wrapped).map_err(|error| match error {
        CursorError::Storage(error) => error,
        // Every key of a run was seen to lie behind the one before it and before the end of the gap.
        other => StorageError::Corrupted(format!("a run of new keys: {other}")),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

    use super::*;
    use crate::delta::Delta;
    use crate::{Event, Record, Space, Table as _};

    const DATA: TableDefinition<'_, Bytewise, Bytewise> = TableDefinition::new("data");

    fn database() -> Database {
        Database::builder().create_with_backend(InMemoryBackend::new()).unwrap()
    }

    fn commit(database: &Database, delta: &Delta) {
        let transaction = database.begin_write().unwrap();
        write(&mut transaction.open_table(DATA).unwrap(), delta.changes.iter()).unwrap();
        transaction.commit().unwrap();
    }

    fn random(seed: &mut u64) -> u64 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    }

    #[test]
    fn any_mixture_of_runs_single_keys_overwritten_and_deleted_ones_reads_back() {
        let mut seed = 7;
        for _ in 0..30 {
            let (database, mut model) = (database(), BTreeMap::new());
            for _ in 0..12 {
                let mut delta = Delta::default();
                let mut position = random(&mut seed) % 400;
                for _ in 0..random(&mut seed) % 200 {
                    // Runs of neighbours, with jumps between them.
                    position = if random(&mut seed).is_multiple_of(4) {
                        random(&mut seed) % 400
                    } else {
                        position + 1
                    };
                    let key = Event {
                        space: Space(1),
                        position,
                    }
                    .key();
                    let length = (random(&mut seed) % 700) as usize;
                    let change = (!random(&mut seed).is_multiple_of(5)).then(|| Bytes::from(vec![position as u8; length]));
                    model.insert(key.as_bytes().to_vec(), change.clone());
                    delta.put(Entry::new(key, change));
                }
                commit(&database, &delta);
                let reader = database.begin_read().unwrap();
                let table = reader.open_table(DATA).unwrap();
                let found: Vec<(Vec<u8>, Vec<u8>)> = table
                    .iter()
                    .unwrap()
                    .map(|row| row.unwrap())
                    .map(|(key, wrapped)| {
                        let value = value::unwrap(key.value(), wrapped.value()).unwrap().to_vec();
                        (key.value().to_vec(), value)
                    })
                    .collect();
                let wanted: Vec<(Vec<u8>, Vec<u8>)> = model
                    .iter()
                    .filter_map(|(key, change)| Some((key.clone(), change.as_ref()?.to_vec())))
                    .collect();
                assert_eq!(found, wanted);
            }
        }
    }

    #[test]
    fn keys_that_come_in_order_leave_no_leaf_half_empty() {
        let database = database();
        for flush in 0..20u64 {
            let mut delta = Delta::default();
            for number in flush * 500..(flush + 1) * 500 {
                let mut id = [0; 16];
                id[..8].copy_from_slice(&number.to_be_bytes());
                // Two ranges that both grow at their end, one of them in the middle of the table.
                for key in [
                    Record {
                        space: Space(1),
                        collection: 1,
                        id,
                    }
                    .key(),
                    Event {
                        space: Space(1),
                        position: number,
                    }
                    .key(),
                ] {
                    delta.put(Entry::new(key, Some(Bytes::from(vec![1; 300]))));
                }
            }
            commit(&database, &delta);
        }
        let reader = database.begin_read().unwrap();
        let stats = reader.open_table(DATA).unwrap().stats().unwrap();
        let full = stats.stored_bytes() as f64 / (stats.leaf_pages() * 4096) as f64;
        assert!(full > 0.85, "leaves are {:.0} % full", full * 100.0);
    }
}
