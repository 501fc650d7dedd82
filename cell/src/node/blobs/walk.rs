//! The leader's walk over the region's store: that it has what the rows of the cell name.
//!
//! Each pass asks whether the chunks are there, and reads one in twenty-four of them, so that each is read about once a day: reading is what
//! buckets charge for. What the store lacks or has let rot comes from a disk, if one has it: chunks from before there was a store come into it this
//! way. What cannot be had is told of in the log and counted.
//!
//! Then it leaves the disks: each node removes from its own what it has read in the store, once it was not wanted there for a day.

use std::sync::Arc;
use std::time::Instant;

use api::error::Error;
use storage::Space;
use storage::blob::ChunkHash;

use super::super::platform::Platform;
use super::super::replica::Replica;
use super::bucket::{Bucket, Folder, Lack, UNNAMED_SECONDS, lack, now_seconds};
use super::disks::disk;
use super::scrub::{PAGE, PAUSE, is_used, rest};
use super::{unkept, unread};
use crate::files::uses;
use crate::service::error::internal;

/// Passes in which every chunk is read once. Raised: rot is found later. Lowered: more is read of the store.
const READ_IN_PASSES: u64 = 24;

/// Goes through the chunks that a space names. An error: the store does not answer.
pub(super) async fn walk(platform: &Arc<Platform>, bucket: &Bucket, replica: &Arc<Replica>, space: Space) -> Result<(), Error> {
    let folder = platform.folder(Some(replica), space).await?;
    let pass = now_seconds().unsigned_abs() / PAUSE.as_secs();
    let mut after: Option<ChunkHash> = None;
    loop {
        let page = uses::page(&replica.store.begin_read(), space, after, PAGE).map_err(|fault| internal(&fault))?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        let named: Vec<ChunkHash> = page
            .iter()
            .filter(|(_, used)| used.count > 0)
            .map(|(hash, _)| *hash)
            .collect();
        for some in named.chunk_by(|one, next| one[0] == next[0]) {
            let began = Instant::now();
            let found = bucket.found(folder, some).await.map_err(|error| {
                platform.blobs.store_failed(&error);
                unread(&error)
            })?;
            rest(began).await;
            for hash in some {
                platform.blobs.scrubbed();
                let is_there = found.contains_key(hash);
                if is_there && !is_read_in(pass, hash) {
                    continue;
                }
                let began = Instant::now();
                look(platform, bucket, replica, folder, *hash, is_there).await?;
                rest(began).await;
            }
        }
    }
}

/// Whether a pass reads a chunk.
fn is_read_in(pass: u64, hash: &ChunkHash) -> bool {
    u64::from(hash[0]) % READ_IN_PASSES == pass % READ_IN_PASSES
}

/// Looks at a chunk, and has it mended where that can be done.
async fn look(
    platform: &Arc<Platform>,
    bucket: &Bucket,
    replica: &Arc<Replica>,
    folder: Folder,
    hash: ChunkHash,
    is_there: bool,
) -> Result<(), Error> {
    // It may be gone by now, and then nobody has it.
    if !is_used(replica, folder.space, hash) {
        return Ok(());
    }
    let why = match is_there {
        false => bucket.missing(folder, &hash),
        true => match bucket.fetch(folder, hash).await {
            Ok(_) => return Ok(()),
            Err(error) if lack(&error) == Lack::Silent => {
                platform.blobs.store_failed(&error);
                return Err(unread(&error));
            }
            Err(error) => error,
        },
    };
    if let Err(error) = platform.mend(bucket, replica, folder, hash, &why).await {
        tracing::warn!(cell = %replica.name, %error, "a chunk could not be repaired now; the next pass tries again");
    }
    Ok(())
}

/// Removes from this node's disk what the store has of a space. An error: the store does not answer.
pub(super) async fn shed(platform: &Arc<Platform>, bucket: &Bucket, replica: &Arc<Replica>, space: Space) -> Result<(), Error> {
    let (blobs, folder) = (disk(replica)?, platform.folder(Some(replica), space).await?);
    let before = now_seconds().saturating_sub(UNNAMED_SECONDS);
    let mut removed = 0;
    for first in 0..=u8::MAX {
        let own = blobs.clone();
        let found = tokio::task::spawn_blocking(move || own.list(space, first)).await;
        let found = found.map_err(|error| internal(&error))?.map_err(|error| internal(&error))?;
        for found in found.into_iter().filter(|found| found.wanted < before) {
            let began = Instant::now();
            match bucket.fetch(folder, found.hash).await {
                Ok(_) => {
                    let gone = blobs.remove_older(space, &found.hash, before);
                    removed += u64::from(gone.map_err(|error| internal(&error))?);
                }
                Err(error) if lack(&error) == Lack::Silent => {
                    platform.blobs.store_failed(&error);
                    return Err(unkept(&error));
                }
                // It leaves with the next pass. One that nothing names has been removed before.
                Err(error) => {
                    let mended = platform.mend(bucket, replica, folder, found.hash, &error).await;
                    mended
                        .inspect_err(|error| tracing::warn!(%error, "a chunk is not in the store"))
                        .ok();
                }
            }
            rest(began).await;
        }
    }
    if removed > 0 {
        platform.blobs.removed(removed);
        tracing::info!(cell = %replica.name, space = space.0, removed, %bucket, "removed chunks from a disk that the store has");
        blobs.remove_empty(space);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_is_read_once_in_a_day() {
        for first in 0..=u8::MAX {
            let hash = [first; 32];
            let passes = (7..7 + READ_IN_PASSES).filter(|pass| is_read_in(*pass, &hash));
            assert_eq!(passes.count(), 1, "{first}");
        }
    }
}
