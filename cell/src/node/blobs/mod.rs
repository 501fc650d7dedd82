//! Chunks of files among the replicas of a cell: kept on a majority before a command names them, fetched from another where one lacks them.
//!
//! Each replica has its chunks on its own disk (`storage::blob`). The leader's node sends each chunk to all of them at once and goes on when a
//! majority has it on disk, itself most likely among them; who is late has a moment more. What a replica did not get, or lost, or has
//! rotten, it asks of another when it is wanted ([`Platform::chunk`]), and [`scrub`] looks for it before.
//!
//! The exchanges are those of `node/relay`: `space u64 | hash | bytes` to keep one, `space u64 | hash` to have one, `space u64 | hash …` to hear
//! which are not there. What comes is held against its hash on both sides.
//!
//! CAVEATS: where the members of a cell change while a chunk is sent, the majority is of those that this node knew.

pub(crate) mod counts;
mod scrub;
mod tend;

use std::sync::Arc;
use std::time::Duration;

use api::error::{Code, Error};
use bytes::{BufMut, Bytes, BytesMut};
use raft::NodeId;
use storage::Space;
use storage::blob::{BlobError, Blobs, ChunkHash, hex};
use tokio::task::JoinSet;

use super::platform::Platform;
use super::relay::{What, status};
use super::replica::Replica;
use crate::mutant::Mutant;
use crate::service::error::{away, internal};

/// How long who is late with a chunk has after a majority has it.
const LATE: Duration = Duration::from_secs(2);
/// Chunks for which that is waited for at a time. Raised: more memory while a replica hangs. Lowered: it lacks more of them afterwards.
pub(crate) const LATE_CHUNKS: usize = 16;
/// Chunks whose being there is asked for at a time.
const ASKED: usize = 4_096;

/// What nodes do for chunks by themselves, for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    tokio::join!(scrub::run(Arc::clone(&platform)), tend::run(platform));
}

impl Platform {
    /// Keeps a chunk on a majority of the replicas of a cell; its name.
    pub(crate) async fn keep_chunk(self: &Arc<Self>, cell: u64, space: Space, bytes: Bytes) -> Result<ChunkHash, Error> {
        let hash = *blake3::hash(&bytes).as_bytes();
        let mut members = self.members(cell);
        members.retain(|number| !Mutant::ChunkOnOneDisk.active() || *number == self.me.number); // Mutant.
        let needed = members.len() / 2 + 1;
        let payload = payload(space, &[hash], &bytes);
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
                self.blobs.written(bytes.len());
                self.wait_for_late(puts);
                return Ok(hash);
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
        let blobs = replica.blobs.clone().ok_or_else(no_chunks)?;
        let kept = tokio::task::spawn_blocking(move || blobs.put(space, &bytes)).await;
        kept.map_err(|error| internal(&error))?
            .map(drop)
            .map_err(|error| failed(&error))
    }

    /// A chunk: from this node's disk, or, where it is not there or not what it was, from another replica, and from then on here too.
    pub(crate) async fn chunk(self: &Arc<Self>, replica: &Arc<Replica>, space: Space, hash: ChunkHash) -> Result<Bytes, Error> {
        let blobs = replica.blobs.clone().ok_or_else(no_chunks)?;
        let own = blobs.clone();
        let read = tokio::task::spawn_blocking(move || own.get(space, &hash)).await;
        match read.map_err(|error| internal(&error))? {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                self.blobs.found_wrong(&error);
                tracing::warn!(cell = %replica.name, space = space.0, %error, "a chunk is asked of another replica");
                self.fetch_chunk(replica, blobs, space, hash).await
            }
        }
    }

    /// A chunk from another replica, kept here.
    async fn fetch_chunk(&self, replica: &Replica, blobs: Blobs, space: Space, hash: ChunkHash) -> Result<Bytes, Error> {
        let wanted = payload(space, &[hash], &[]);
        for number in self.members(replica.number) {
            if number == self.me.number {
                continue;
            }
            let asked = self.ask(NodeId(number), What::ChunkGet, replica.number, &wanted).await;
            let bytes = match asked {
                Ok(bytes) if *blake3::hash(&bytes).as_bytes() == hash => bytes,
                Ok(_) => {
                    tracing::warn!(
                        node = number,
                        chunk = hex(&hash),
                        "another node gave something else than the chunk"
                    );
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, node = number, chunk = hex(&hash), "another node did not give the chunk");
                    continue;
                }
            };
            let own = bytes.clone();
            let kept = tokio::task::spawn_blocking(move || blobs.put(space, &own)).await;
            match kept.map_err(|error| internal(&error))? {
                Ok(_) => self.blobs.repaired(),
                // It is right, wherever it is from.
                Err(error) => tracing::warn!(%error, "a chunk from another replica was not kept"),
            }
            return Ok(bytes);
        }
        tracing::error!(cell = %replica.name, space = space.0, chunk = hex(&hash), "no replica that can be reached has a chunk");
        let detail = "a part of the content is on no replica that can be reached now";
        Err(Error::new(Code::Unavailable, detail).retry_after(Duration::from_secs(1)))
    }

    /// Has a majority of a cell's replicas keep chunks that this node's replica of another cell has.
    pub(crate) async fn send_chunks(
        self: &Arc<Self>,
        from: &Arc<Replica>,
        to: u64,
        space: Space,
        chunks: &[ChunkHash],
    ) -> Result<(), Error> {
        for some in chunks.chunks(ASKED) {
            let members = self.members(to);
            let needed = members.len() / 2 + 1;
            let (mut whole, mut last) = (0, None);
            for number in members {
                match self.send_chunks_to(from, to, NodeId(number), space, some).await {
                    Ok(()) => whole += 1,
                    Err(error) => last = Some(error),
                }
            }
            if whole < needed {
                let late = || Error::new(Code::Unavailable, "the other cell has no replicas");
                return Err(last.unwrap_or_else(late));
            }
        }
        Ok(())
    }

    async fn send_chunks_to(
        self: &Arc<Self>,
        from: &Arc<Replica>,
        to: u64,
        node: NodeId,
        space: Space,
        chunks: &[ChunkHash],
    ) -> Result<(), Error> {
        let is_own = node.0 == self.me.number;
        let there = |what: What, payload: Bytes| async move {
            match is_own {
                false => self.ask(node, what, to, &payload).await,
                true => self
                    .serve_chunk(what as u8, to, &payload)
                    .await
                    .map_err(|(_, why)| Error::new(Code::Unavailable, why)),
            }
        };
        let lacking = there(What::ChunkLacks, payload(space, chunks, &[])).await?;
        for hash in lacking.chunks_exact(32) {
            let hash = <ChunkHash>::try_from(hash).map_err(|error| internal(&error))?;
            let bytes = self.chunk(from, space, hash).await?;
            there(What::ChunkPut, payload(space, &[hash], &bytes)).await?;
        }
        Ok(())
    }

    /// What is answered to an exchange about chunks; none: it is about something else.
    pub(super) async fn answer_about_chunks(&self, what: u8, group: u64, payload: &Bytes) -> Option<(u8, Bytes)> {
        if !is_about_chunks(what) {
            return None;
        }
        Some(match self.serve_chunk(what, group, payload).await {
            Ok(bytes) => (status::DONE, bytes),
            Err((status, reason)) => (status, reason.into()),
        })
    }

    async fn serve_chunk(&self, what: u8, group: u64, payload: &Bytes) -> Result<Bytes, (u8, String)> {
        let refused = |why: String| (status::NOT_APPLIED, why);
        let replica = self.slot(group).and_then(|slot| slot.get());
        let replica = replica.ok_or_else(|| refused("the node has no replica of the group".to_owned()))?;
        let blobs = replica
            .blobs
            .clone()
            .ok_or_else(|| refused("the group has no chunks".to_owned()))?;
        let (space, rest) = space_of(payload).ok_or_else(|| refused("it names no space".to_owned()))?;
        let rest = payload.slice_ref(rest);
        let work = move || -> Result<Bytes, BlobError> {
            if what == What::ChunkLacks as u8 {
                let mut lacking = BytesMut::new();
                for hash in rest.chunks_exact(32) {
                    if <ChunkHash>::try_from(hash).is_ok_and(|hash| !blobs.has(space, &hash)) {
                        lacking.put_slice(hash);
                    }
                }
                return Ok(lacking.freeze());
            }
            let Some((hash, bytes)) = rest.split_first_chunk::<32>() else {
                return Err(BlobError::Missing("that has no name".to_owned()));
            };
            if what == What::ChunkGet as u8 {
                return blobs.get(space, hash);
            }
            match blobs.put(space, bytes)? == *hash {
                true => Ok(Bytes::new()),
                false => Err(BlobError::Rotten(hex(hash))),
            }
        };
        let done = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| refused(error.to_string()))?;
        done.map_err(|error| {
            self.blobs.found_wrong(&error);
            refused(error.to_string())
        })
    }
}

/// Whether an exchange is about chunks.
pub(super) fn is_about_chunks(what: u8) -> bool {
    (What::ChunkPut as u8..=What::ChunkLacks as u8).contains(&what)
}

/// The space that an exchange about chunks is for, and what comes after it.
pub(crate) fn space_of(payload: &[u8]) -> Option<(Space, &[u8])> {
    let (space, rest) = payload.split_first_chunk::<8>()?;
    Some((Space(u64::from_be_bytes(*space)), rest))
}

fn payload(space: Space, chunks: &[ChunkHash], bytes: &[u8]) -> Bytes {
    let mut payload = BytesMut::with_capacity(8 + 32 * chunks.len() + bytes.len());
    payload.put_u64(space.0);
    chunks.iter().for_each(|hash| payload.put_slice(hash));
    payload.put_slice(bytes);
    payload.freeze()
}

fn no_chunks() -> Error {
    internal(&"a replica of a cell has no chunks")
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
