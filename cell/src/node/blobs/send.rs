//! Chunks of a tenant that moves, on their way to where the other cell keeps them.

use std::sync::Arc;

use api::error::{Code, Error};
use bytes::Bytes;
use raft::NodeId;
use storage::Space;
use storage::blob::ChunkHash;

use super::super::platform::Platform;
use super::super::relay::What;
use super::super::replica::Replica;
use super::bucket::Bucket;
use super::exchange::payload;
use super::unkept;
use crate::service::error::internal;

/// Chunks whose being there is asked for at a time.
const ASKED: usize = 4_096;

impl Platform {
    /// Has another cell keep chunks that this node's replica of a cell names: a majority of its replicas, or the store of its region. Where
    /// that is this region's own, they are there already, but for what is on disks still.
    pub(crate) async fn send_chunks(
        self: &Arc<Self>,
        from: &Arc<Replica>,
        to: u64,
        space: Space,
        chunks: &[ChunkHash],
    ) -> Result<(), Error> {
        let near = self.region_cells().iter().any(|cell| cell.number == to);
        if let Some(bucket) = self.bucket.as_ref().filter(|_| near) {
            return self.see_to(bucket, from, space, chunks).await;
        }
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
                    .map_err(|why| Error::new(Code::Unavailable, why)),
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

    /// Has the region's store have chunks of a space: those that it lacks are brought from disks.
    pub(super) async fn see_to(
        &self,
        bucket: &Bucket,
        replica: &Arc<Replica>,
        space: Space,
        chunks: &[ChunkHash],
    ) -> Result<(), Error> {
        let folder = self.folder(Some(replica), space).await?;
        for some in chunks.chunk_by(|one, next| one[0] == next[0]) {
            let found = bucket.found(folder, some).await.map_err(|error| {
                self.blobs.store_failed(&error);
                unkept(&error)
            })?;
            for hash in some.iter().filter(|hash| !found.contains_key(*hash)) {
                self.carry(bucket, replica, folder, *hash).await?;
            }
        }
        Ok(())
    }
}
