//! How often chunks are named: every command that makes something name a chunk, or stops it, goes through here.

use std::collections::BTreeMap;

use storage::blob::ChunkHash;
use storage::table::ChunkUse;
use storage::{Direction, Space, Table};

use super::rows::{Use, UseRow, chunk_use};
use crate::machine::idempotency::bad_key;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::{Fault, Stop};
use crate::machine::world::World;

/// Something names these chunks from now on; one that comes twice is named twice.
pub(crate) fn take(world: &mut World<'_>, chunks: &[ChunkHash]) -> Result<(), Stop> {
    change(world, chunks, |count, times| count.saturating_add(times))
}

/// Something names these chunks no longer. One that nothing names stays for a while.
pub(crate) fn give_back(world: &mut World<'_>, chunks: &[ChunkHash]) -> Result<(), Stop> {
    change(world, chunks, |count, times| count.saturating_sub(times))
}

/// Some of the chunks of a space that there are rows of, after one, ascending. What has a count of 0 nothing names any more.
pub(crate) fn page(
    reader: &impl Reader,
    space: Space,
    after: Option<ChunkHash>,
    most: usize,
) -> Result<Vec<(ChunkHash, Use)>, Fault> {
    let range = ChunkUse::range(space);
    let range = match after {
        Some(hash) => range.after(&ChunkUse { space, hash }.key()),
        None => range,
    };
    let rows = reader.scan(range, Direction::Forward).take(most);
    rows.map(|row| {
        let (raw, bytes) = row?;
        let key = ChunkUse::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
        let UseRow::V1(used) = decode(&key, &bytes)?;
        Ok((key.hash, used))
    })
    .collect()
}

fn change(world: &mut World<'_>, chunks: &[ChunkHash], count: impl Fn(u64, u64) -> u64) -> Result<(), Stop> {
    let mut times: BTreeMap<ChunkHash, u64> = BTreeMap::new();
    for hash in chunks {
        *times.entry(*hash).or_default() += 1;
    }
    let (space, since) = (world.space, world.stamp);
    for (hash, times) in times {
        let before = chunk_use(world, space, hash)?.map_or(0, |used| used.count);
        let count = count(before, times);
        world.put(&ChunkUse { space, hash }, &UseRow::V1(Use { count, since }));
    }
    Ok(())
}
