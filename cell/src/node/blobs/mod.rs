//! Chunks of files: where they lie, how they are kept before a command names them, and how they are read.
//!
//! There are two places, by region. Where the configuration has `[region.files]`, chunks are objects in that store ([`bucket`]): who brings one
//! puts it there, at whichever node. Else they are on the disks of the cell's replicas ([`disks`]): on a majority before a command names
//! them, and fetched from another where one lacks them. All that keep and read chunks go through [`Platform::keep_chunk`] and
//! [`Platform::chunk`], which choose.
//!
//! A region that has got a store since has chunks on its disks still. They are read from there; the leader's walk brings them into the store
//! ([`walk`]), and then they leave the disks. So a disk is looked at first: that costs little, and a chunk has the same bytes everywhere. What
//! the store has lost or let rot is mended from a disk that still has it.
//!
//! - [`exchange`]: what nodes ask each other about chunks. [`send`]: chunks of a tenant that moves. [`scrub`]: each node goes through its disks.
//! - [`walk`], [`collect`]: what the leader of a cell does for the store; nobody else does.
//!
//! CAVEATS: all nodes of a region need the same `[region.files]`. While some have it and others not, those without it keep chunks on disks and
//! ask the others for what is in the store.

pub(crate) mod bucket;
mod collect;
pub(crate) mod counts;
mod disks;
mod exchange;
mod scrub;
mod send;
mod tend;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use api::error::{Code, Error};
use bytes::Bytes;
use storage::Space;
use storage::blob::{ChunkHash, hex};

use self::bucket::{Bucket, Folder, Lack, lack};
use self::disks::LATE_CHUNKS;
pub(crate) use self::exchange::space_of;
use super::platform::Platform;
use super::replica::Replica;
use crate::backup::vault::VaultError;
use crate::directory::rows::tenant_by_uid;
use crate::machine::reader::Reader;
use crate::service::error::{away, internal};

/// When to come back to a store that does not answer.
const SILENT: Duration = Duration::from_secs(5);

/// What nodes do for chunks by themselves, for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    tokio::join!(scrub::run(Arc::clone(&platform)), tend::run(platform));
}

impl Platform {
    /// Keeps a chunk for good, for a cell of this region: in the region's store, or on a majority of the cell's replicas. Its name.
    pub(crate) async fn keep_chunk(self: &Arc<Self>, cell: u64, space: Space, bytes: Bytes) -> Result<ChunkHash, Error> {
        let hash = *blake3::hash(&bytes).as_bytes();
        match &self.bucket {
            Some(bucket) => {
                let folder = self.folder(self.cell(cell).as_deref(), space).await?;
                let kept = bucket.keep(folder, hash, &bytes).await;
                kept.map_err(|error| {
                    self.blobs.store_failed(&error);
                    unkept(&error)
                })?;
            }
            None => self.keep_on_disks(cell, space, hash, &bytes).await?,
        }
        self.blobs.written(bytes.len());
        Ok(hash)
    }

    /// A chunk of a space that this node has a replica of: from this node's disk, or else from the region's store, or, where that lacks it or
    /// there is none, from another replica's disk. Then it is in its place from now on.
    pub(crate) async fn chunk(self: &Arc<Self>, replica: &Arc<Replica>, space: Space, hash: ChunkHash) -> Result<Bytes, Error> {
        let failure = match self.chunk_here(replica, space, hash).await? {
            Ok(bytes) => return Ok(bytes),
            Err(failure) => failure,
        };
        let Some(bucket) = &self.bucket else {
            self.blobs.found_wrong(&failure);
            tracing::warn!(cell = %replica.name, space = space.0, error = %failure, "a chunk is asked of another replica");
            return self.repair_here(replica, space, hash).await;
        };
        let folder = self.folder(Some(replica), space).await?;
        match bucket.fetch(folder, hash).await {
            Ok(bytes) => Ok(bytes),
            Err(error) => self.mend(bucket, replica, folder, hash, &error).await,
        }
    }

    /// A chunk that the store did not give, from a disk; where the store lacks it, it is there from now on.
    async fn mend(
        &self,
        bucket: &Bucket,
        replica: &Replica,
        folder: Folder,
        hash: ChunkHash,
        why: &VaultError,
    ) -> Result<Bytes, Error> {
        let found = self.chunk_of_disks(replica, folder.space, hash).await?;
        // One from before there was a store is not missing.
        if found.is_none() || lack(why) != Lack::Missing {
            self.blobs.store_failed(why);
        }
        let Some(bytes) = found else {
            match lack(why) {
                Lack::Silent => {
                    tracing::warn!(cell = %replica.name, error = %why, "the store of the region's files gives nothing")
                }
                Lack::Missing | Lack::Rotten => lost(replica, folder, &hash, why),
            }
            return Err(unread(why));
        };
        tracing::warn!(cell = %replica.name, error = %why, "a chunk came from a disk");
        if lack(why) != Lack::Silent {
            match bucket.keep(folder, hash, &bytes).await {
                Ok(()) => self.blobs.repaired(),
                // It is right, wherever it is from.
                Err(error) => tracing::warn!(%error, "a chunk from a disk was not kept in the store"),
            }
        }
        Ok(bytes)
    }

    /// Brings a chunk that the store lacks from a disk into it. An error: the store did not take it, or no disk has it.
    async fn carry(&self, bucket: &Bucket, replica: &Replica, folder: Folder, hash: ChunkHash) -> Result<(), Error> {
        let Some(bytes) = self.chunk_of_disks(replica, folder.space, hash).await? else {
            let missing = bucket.missing(folder, &hash);
            self.blobs.store_failed(&missing);
            lost(replica, folder, &hash, &missing);
            return Err(unread(&missing));
        };
        let kept = bucket.keep(folder, hash, &bytes).await;
        kept.map_err(|error| {
            self.blobs.store_failed(&error);
            unkept(&error)
        })?;
        self.blobs.repaired();
        Ok(())
    }

    async fn chunk_of_disks(&self, replica: &Replica, space: Space, hash: ChunkHash) -> Result<Option<Bytes>, Error> {
        Ok(match self.chunk_here(replica, space, hash).await? {
            Ok(bytes) => Some(bytes),
            Err(_) => self.chunk_of_others(replica, space, hash).await,
        })
    }

    /// The folder of a space in the region's store.
    async fn folder(&self, replica: Option<&Replica>, space: Space) -> Result<Folder, Error> {
        let header = replica.map(|replica| replica.store.begin_read().header(space)).transpose();
        if let Some(header) = header.map_err(|fault| internal(&fault))?.flatten() {
            let tenant = header.tenant;
            return Ok(Folder { space, tenant });
        }
        // It comes, and the directory has it.
        let known = || -> Result<Option<Folder>, Error> {
            let found = tenant_by_uid(&self.directory.read()?, space.0).map_err(|fault| internal(&fault))?;
            let found = found.filter(|tenant| tenant.uid == space.0);
            Ok(found.map(|tenant| Folder {
                space,
                tenant: tenant.id,
            }))
        };
        if let Some(folder) = known()? {
            return Ok(folder);
        }
        self.freshen_directory().await;
        known()?.ok_or_else(away)
    }
}

/// Tells of a chunk that is nowhere any more.
fn lost(replica: &Replica, folder: Folder, hash: &ChunkHash, why: &VaultError) {
    tracing::error!(cell = %replica.name, space = folder.space.0, chunk = hex(hash), error = %why, "a chunk of a file is lost");
}

/// A store that did not take a chunk.
fn unkept(error: &VaultError) -> Error {
    tracing::warn!(%error, "a chunk was not kept in the store of the region's files");
    let detail = "the store of the region's files did not take what came; nothing of it was stored: send it again later";
    Error::new(Code::Unavailable, detail).retry_after(SILENT)
}

/// A store that did not give a chunk that no disk has.
fn unread(error: &VaultError) -> Error {
    let detail = match lack(error) {
        Lack::Missing => {
            "a part of the content is missing in the store of the region's files, and on no disk that can be reached now"
        }
        Lack::Rotten => {
            "a part of the content is damaged in the store of the region's files, and on no disk that can be reached now"
        }
        Lack::Silent => "the store of the region's files does not give a part of the content now: try again later",
    };
    Error::new(Code::Unavailable, detail).retry_after(SILENT)
}
