//! Chunks on the disks of a cell's replicas.
//!
//! Each replica has its chunks on its own disk (`storage::blob`). The leader's node sends each chunk to all of them at once and goes on when a
//! majority has it on disk, itself most likely among them; who is late has a moment more. What a replica did not get, or lost, or has
//! rotten, it asks of another when it is wanted, and the scrubber looks for it before.
//!
//! CAVEATS: where the members of a cell change while a chunk is sent, the majority is of those that this node knew.

use std::sync::Arc;
use std::time::Duration;

use api::error::{Code, Error};
use bytes::Bytes;
use raft::NodeId;
use storage::Space;
use storage::blob::{BlobError, Blobs, ChunkHash, hex};
use tokio::task::JoinSet;

use super::super::platform::Platform;
use super::super::relay::What;
use super::super::replica::Replica;
use super::exchange::{DISKS_ALONE, payload};
use crate::mutant::Mutant;
use crate::service::error::{away, internal};

/// How long who is late with a chunk has after a majority has it.
const LATE: Duration = Duration::from_secs(2);
/// Chunks for which that is waited for at a time. Raised: more memory while a replica hangs. Lowered: it lacks more of them afterwards.
pub(super) const LATE_CHUNKS: usize = 16;

impl Platform {
    /// Keeps a chunk on a majority of the replicas of a cell.
    pub(super) async fn keep_on_disks(
        self: &Arc<Self>,
        cell: u64,
        space: Space,
        hash: ChunkHash,
        bytes: &Bytes,
    ) -> Result<(), Error> {
        let mut members = self.members(cell);
        members.retain(|number| !Mutant::ChunkOnOneDisk.active() || *number == self.me.number); // Mutant.
        let needed = members.len() / 2 + 1;
        let payload = payload(space, &[hash], bytes);
        let mut puts = JoinSet::new();
        for number in members {
            let (platform, bytes, payload) = (Arc::clone(self), bytes.clone(), payload.clone());
            puts.spawn(async move {
                match number == platform.me.number {
                    true => platform.keep_here(cell, space, bytes).await,
                    false => platform.ask(NodeId(number), What::ChunkPut, cell, &payload).await.map(drop),
                }
            });
        }
        let (mut kept, mut failures) = (0, Vec::new());
        while let Some(put) = puts.join_next().await {
            match put {
                Ok(Ok(())) => kept += 1,
                Ok(Err(error)) => failures.push(error),
                Err(error) => failures.push(internal(&error)),
            }
            if kept >= needed {
                self.wait_for_late(puts);
                return Ok(());
            }
        }
        if let Some(full) = failures.iter().find(|error| error.code == Code::StorageFull) {
            return Err(full.clone());
        }
        tracing::info!(cell, kept, needed, ?failures, "a chunk is on too few replicas");
        let detail = "too few replicas of the cell have taken what came; nothing of the file was stored: send it again";
        Err(Error::new(Code::Unavailable, detail).retry_after(Duration::from_secs(1)))
    }

    /// Waits for those who are late, a moment, and for few chunks at a time.
    fn wait_for_late(&self, mut puts: JoinSet<Result<(), Error>>) {
        if puts.is_empty() {
            return;
        }
        let Ok(place) = Arc::clone(&self.blobs.late).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let _place = place;
            let all = async { while puts.join_next().await.is_some() {} };
            // What does not come now, its replica asks for when it is wanted.
            let _ = tokio::time::timeout(LATE, all).await;
        });
    }

    /// Keeps a chunk on this node's disk.
    async fn keep_here(&self, cell: u64, space: Space, bytes: Bytes) -> Result<(), Error> {
        let replica = self.cell(cell).ok_or_else(away)?;
        let blobs = disk(&replica)?;
        let kept = tokio::task::spawn_blocking(move || blobs.put(space, &bytes)).await;
        kept.map_err(|error| internal(&error))?
            .map(drop)
            .map_err(|error| failed(&error))
    }

    /// A chunk from this node's disk, or why that does not have it.
    pub(super) async fn chunk_here(
        &self,
        replica: &Replica,
        space: Space,
        hash: ChunkHash,
    ) -> Result<Result<Bytes, BlobError>, Error> {
        let blobs = disk(replica)?;
        let read = tokio::task::spawn_blocking(move || blobs.get(space, &hash)).await;
        read.map_err(|error| internal(&error))
    }

    /// A chunk from another replica, kept here from now on.
    pub(super) async fn repair_here(&self, replica: &Replica, space: Space, hash: ChunkHash) -> Result<Bytes, Error> {
        let Some(bytes) = self.chunk_of_others(replica, space, hash).await else {
            tracing::error!(cell = %replica.name, space = space.0, chunk = hex(&hash), "no replica that can be reached has a chunk");
            let detail = "a part of the content is on no replica that can be reached now";
            return Err(Error::new(Code::Unavailable, detail).retry_after(Duration::from_secs(1)));
        };
        let (blobs, own) = (disk(replica)?, bytes.clone());
        let kept = tokio::task::spawn_blocking(move || blobs.put(space, &own)).await;
        match kept.map_err(|error| internal(&error))? {
            Ok(_) => self.blobs.repaired(),
            // It is right, wherever it is from.
            Err(error) => tracing::warn!(%error, "a chunk from another replica was not kept"),
        }
        Ok(bytes)
    }

    /// A chunk from another replica, if one that can be reached has it: on its disk, or, where this node knows no store, in that too.
    pub(super) async fn chunk_of_others(&self, replica: &Replica, space: Space, hash: ChunkHash) -> Option<Bytes> {
        let from: &[u8] = if self.bucket.is_some() { &[DISKS_ALONE] } else { &[] };
        let wanted = payload(space, &[hash], from);
        for number in self.members(replica.number) {
            if number == self.me.number {
                continue;
            }
            match self.ask(NodeId(number), What::ChunkGet, replica.number, &wanted).await {
                Ok(bytes) if *blake3::hash(&bytes).as_bytes() == hash => return Some(bytes),
                Ok(_) => tracing::warn!(
                    node = number,
                    chunk = hex(&hash),
                    "another node gave something else than the chunk"
                ),
                Err(error) => tracing::debug!(%error, node = number, chunk = hex(&hash), "another node did not give the chunk"),
            }
        }
        None
    }
}

/// The chunks on this node's disk for a cell.
pub(super) fn disk(replica: &Replica) -> Result<Blobs, Error> {
    let none = || internal(&"a replica of a cell has no chunks");
    replica.blobs.clone().ok_or_else(none)
}

/// A disk that did not keep a chunk.
fn failed(error: &BlobError) -> Error {
    tracing::warn!(%error, "a chunk was not kept");
    match error {
        BlobError::Full { .. } => Error::new(
            Code::StorageFull,
            "the disk of a replica is full; nothing of the file was stored",
        )
        .retry_after(Duration::from_secs(1)),
        _ => Error::new(Code::Unavailable, "a disk of the cell did not take the file").retry_after(Duration::from_secs(1)),
    }
}
