//! The scrubber of chunks: each node goes through what the rows of its own replicas name, and through what its disks have. Where the region has a
//! store of files, the leader of a cell goes through that instead ([`walk`]), and disks get rid of what it has.
//!
//! A chunk that is named is read and held against its name; one that is lost or rotten comes from another replica. A chunk that no row names is
//! removed once it has not been wanted for a day: whoever puts one makes it wanted. A space that is not here, erased or moved away, names
//! nothing. It is slow on purpose, and nobody waits for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::error::Error;
use storage::Space;
use storage::blob::{Blobs, ChunkHash};
use storage::table::FileTotals;

use super::super::platform::Platform;
use super::super::replica::Replica;
use super::bucket::{UNNAMED_SECONDS, now_seconds};
use super::{collect, walk};
use crate::files::rows::chunk_use;
use crate::files::uses;
use crate::machine::reader::Reader;
use crate::machine::rows::{Place, SpaceStatus};
use crate::service::error::internal;

/// Before the first pass: a node that starts has other things to do. And between two looks at whether one is due.
const FIRST: Duration = Duration::from_secs(5);
/// After a pass that the region's store broke off.
const AGAIN: Duration = Duration::from_secs(30);
/// Between two passes.
pub(super) const PAUSE: Duration = Duration::from_secs(3_600);
/// After a chunk that was read, times as long as that took: a tenth of a disk at most.
const REST: u32 = 9;
/// The shortest and the longest such rest.
const RESTS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_secs(1));
/// Rows that are read at a time: nothing is pinned while chunks are read.
pub(super) const PAGE: usize = 500;

/// Goes through everything, again and again, for as long as the platform is there.
pub(super) async fn run(platform: Arc<Platform>) {
    let (mut next, mut before) = (Instant::now() + FIRST, BTreeSet::new());
    loop {
        tokio::time::sleep(FIRST).await;
        // Who leads a cell from now on looks after what the store has of it.
        let leads = match &platform.bucket {
            Some(_) => collect::led(&platform).iter().map(|replica| replica.number).collect(),
            None => BTreeSet::new(),
        };
        let is_new = !leads.is_subset(&before);
        before = leads;
        if Instant::now() < next && !is_new {
            continue;
        }
        let is_whole = pass_all(&platform).await;
        next = Instant::now() + if is_whole { PAUSE } else { AGAIN };
    }
}

/// One pass over everything; false: the region's store is to be asked again before long.
async fn pass_all(platform: &Arc<Platform>) -> bool {
    let mut is_whole = true;
    for slot in platform.places().values() {
        let Some(replica) = slot.get() else { continue };
        if let Err(error) = pass(platform, &replica).await {
            tracing::warn!(cell = %replica.name, %error, "a pass over chunks ended early; the next one begins again");
            is_whole = platform.bucket.is_none();
        }
    }
    if let Some(bucket) = &platform.bucket
        && let Err(error) = collect::run(platform, bucket).await
    {
        tracing::warn!(%bucket, %error, "removing chunks that nothing names ended early; the next pass begins again");
        is_whole = false;
    }
    is_whole
}

async fn pass(platform: &Arc<Platform>, replica: &Arc<Replica>) -> Result<(), Error> {
    let Some(blobs) = replica.blobs.clone() else { return Ok(()) };
    let spaces: Result<Vec<Space>, _> = replica.store.begin_read().spaces().collect();
    for space in spaces.map_err(|error| internal(&error))? {
        if !is_named(replica, space)? {
            continue;
        }
        match &platform.bucket {
            None => check(platform, replica, space).await?,
            Some(bucket) if replica.group.is_leader() => walk::walk(platform, bucket, replica, space).await?,
            Some(_) => {}
        }
    }
    let own = blobs.clone();
    let spaces = tokio::task::spawn_blocking(move || own.spaces()).await;
    for space in spaces.map_err(|error| internal(&error))?.map_err(|error| internal(&error))? {
        remove(platform, replica, &blobs, space).await?;
        if let Some(bucket) = platform
            .bucket
            .as_ref()
            .filter(|_| is_named(replica, space).is_ok_and(|is_named| is_named))
        {
            walk::shed(platform, bucket, replica, space).await?;
        }
    }
    Ok(())
}

/// Rests after work that began then.
pub(super) async fn rest(began: Instant) {
    tokio::time::sleep((began.elapsed() * REST).clamp(RESTS.0, RESTS.1)).await;
}

/// Whether something names a chunk now.
pub(super) fn is_used(replica: &Replica, space: Space, hash: ChunkHash) -> bool {
    chunk_use(&replica.store.begin_read(), space, hash).is_ok_and(|used| used.is_some_and(|used| used.count > 0))
}

/// Whether a space has files, and is here to say what they are.
fn is_named(replica: &Replica, space: Space) -> Result<bool, Error> {
    let snapshot = replica.store.begin_read();
    let has_files = snapshot
        .get(&FileTotals { space })
        .map_err(|error| internal(&error))?
        .is_some();
    let placed = snapshot.placed(space).map_err(|fault| internal(&fault))?;
    Ok(has_files && placed.is_some_and(|(header, place)| header.status == SpaceStatus::Live && place.is_read()))
}

/// Reads every chunk that a space names, and has another replica give those that are not right.
async fn check(platform: &Arc<Platform>, replica: &Arc<Replica>, space: Space) -> Result<(), Error> {
    let mut after: Option<ChunkHash> = None;
    loop {
        let page = uses::page(&replica.store.begin_read(), space, after, PAGE).map_err(|fault| internal(&fault))?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        for (hash, used) in page {
            // It may be gone by now, and then nobody has it.
            if used.count == 0 || !is_used(replica, space, hash) {
                continue;
            }
            let began = Instant::now();
            platform.blobs.scrubbed();
            if let Err(error) = platform.chunk(replica, space, hash).await {
                tracing::warn!(cell = %replica.name, %error, "a chunk could not be repaired now; the next pass tries again");
            }
            rest(began).await;
        }
    }
}

/// Removes chunks of a space that nothing names and that were not wanted for a day.
async fn remove(platform: &Arc<Platform>, replica: &Arc<Replica>, blobs: &Blobs, space: Space) -> Result<(), Error> {
    let before = now_seconds().saturating_sub(UNNAMED_SECONDS);
    let mut removed = 0;
    for first in 0..=u8::MAX {
        let (replica, blobs) = (Arc::clone(replica), blobs.clone());
        let some = tokio::task::spawn_blocking(move || remove_some(&replica, &blobs, space, first, before)).await;
        removed += some.map_err(|error| internal(&error))??;
    }
    if removed > 0 {
        platform.blobs.removed(removed);
        tracing::info!(cell = %replica.name, space = space.0, removed, "removed chunks that nothing names");
        blobs.remove_empty(space);
    }
    Ok(())
}

fn remove_some(replica: &Replica, blobs: &Blobs, space: Space, first: u8, before: i64) -> Result<u64, Error> {
    let mut removed = 0;
    for found in blobs.list(space, first).map_err(|error| internal(&error))? {
        if found.wanted >= before {
            continue;
        }
        let snapshot = replica.store.begin_read();
        let placed = snapshot.placed(space).map_err(|fault| internal(&fault))?;
        let is_here = match placed {
            // It comes: what names its chunks may come last.
            Some((_, Place::Clearing { .. } | Place::Copying { .. } | Place::Following { .. })) => continue,
            Some((header, Place::Departed { .. })) => header.status == SpaceStatus::Live,
            Some((header, _)) => header.status == SpaceStatus::Live,
            None => false,
        };
        let named = chunk_use(&snapshot, space, found.hash).map_err(|fault| internal(&fault))?;
        if is_here && named.is_some() {
            continue;
        }
        drop(snapshot);
        removed += u64::from(
            blobs
                .remove_older(space, &found.hash, before)
                .map_err(|error| internal(&error))?,
        );
    }
    Ok(removed)
}
