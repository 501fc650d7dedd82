//! What nodes ask each other about chunks. The exchanges are those of `node/relay`:
//!
//! ```text
//! keep one             space u64 | hash | bytes
//! have one             space u64 | hash, and DISKS_ALONE where the asking node has looked into the store itself
//! which are not there  space u64 | hash …
//! ```
//!
//! What comes is held against its hash on both sides. A node whose region has a store keeps what comes there, and looks there for what is asked of
//! it: so a tenant that comes from a region without one, or with another, ends up in the right place.

use std::sync::Arc;

use api::error::Error;
use bytes::{BufMut, Bytes, BytesMut};
use storage::Space;
use storage::blob::{BlobError, Blobs, ChunkHash, hex};

use super::super::platform::Platform;
use super::super::relay::{What, status};
use super::super::replica::Replica;
use super::bucket::Bucket;
use crate::backup::vault::VaultError;

/// What stands behind the hash of a chunk that is asked of disks alone.
pub(super) const DISKS_ALONE: u8 = 1;

/// Why an exchange about chunks failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Disk(#[from] BlobError),
    #[error(transparent)]
    Store(#[from] VaultError),
    #[error("{0}")]
    Refused(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Refused(error.detail)
    }
}

impl Platform {
    /// What is answered to an exchange about chunks; none: it is about something else.
    pub(in crate::node) async fn answer_about_chunks(&self, what: u8, group: u64, payload: &Bytes) -> Option<(u8, Bytes)> {
        if !is_about_chunks(what) {
            return None;
        }
        Some(match self.serve_chunk(what, group, payload).await {
            Ok(bytes) => (status::DONE, bytes),
            Err(reason) => (status::NOT_APPLIED, reason.into()),
        })
    }

    /// What is answered, or why nothing is.
    pub(super) async fn serve_chunk(&self, what: u8, group: u64, payload: &Bytes) -> Result<Bytes, String> {
        let answered = self.about_chunks(what, group, payload).await;
        answered.map_err(|error| {
            match &error {
                Failed::Disk(error) => self.blobs.found_wrong(error),
                Failed::Store(error) => self.blobs.store_failed(error),
                Failed::Refused(_) => {}
            }
            error.to_string()
        })
    }

    async fn about_chunks(&self, what: u8, group: u64, payload: &Bytes) -> Result<Bytes, Failed> {
        let refused = |why: &str| Failed::Refused(why.to_owned());
        let replica = self.slot(group).and_then(|slot| slot.get());
        let replica = replica.ok_or_else(|| refused("the node has no replica of the group"))?;
        let blobs = replica.blobs.clone().ok_or_else(|| refused("the group has no chunks"))?;
        let (space, rest) = space_of(payload).ok_or_else(|| refused("it names no space"))?;
        let rest = payload.slice_ref(rest);
        let Some(bucket) = &self.bucket else {
            return of_disk(what, blobs, space, rest).await;
        };
        if what == What::ChunkLacks as u8 {
            return self.lacking(bucket, &replica, space, &rest).await;
        }
        let (hash, after) = rest.split_first_chunk::<32>().ok_or_else(|| refused("it names no chunk"))?;
        let (hash, after) = (*hash, rest.slice_ref(after));
        if what == What::ChunkGet as u8 {
            let alone = after.first() == Some(&DISKS_ALONE);
            return match of_disk(what, blobs, space, rest).await {
                Err(Failed::Disk(_)) if !alone => Ok(bucket.fetch(self.folder(Some(&replica), space).await?, hash).await?),
                answered => answered,
            };
        }
        if *blake3::hash(&after).as_bytes() != hash {
            return Err(BlobError::Rotten(hex(&hash)).into());
        }
        let folder = self.folder(Some(&replica), space).await?;
        bucket.keep(folder, hash, &after).await?;
        Ok(Bytes::new())
    }

    /// Which of these chunks the store lacks, or has for so long that it may soon remove them.
    async fn lacking(&self, bucket: &Bucket, replica: &Arc<Replica>, space: Space, chunks: &[u8]) -> Result<Bytes, Failed> {
        let folder = self.folder(Some(replica), space).await?;
        let chunks: Vec<ChunkHash> = chunks
            .chunks_exact(32)
            .filter_map(|hash| <ChunkHash>::try_from(hash).ok())
            .collect();
        let mut lacking = BytesMut::new();
        for some in chunks.chunk_by(|one, next| one[0] == next[0]) {
            let found = bucket.found(folder, some).await?;
            let lacks = |hash: &&ChunkHash| !found.get(*hash).copied().unwrap_or(false);
            some.iter().filter(lacks).for_each(|hash| lacking.put_slice(hash));
        }
        Ok(lacking.freeze())
    }
}

/// What is answered of this node's disk.
async fn of_disk(what: u8, blobs: Blobs, space: Space, rest: Bytes) -> Result<Bytes, Failed> {
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
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Failed::Refused(error.to_string()))??)
}

/// Whether an exchange is about chunks.
fn is_about_chunks(what: u8) -> bool {
    (What::ChunkPut as u8..=What::ChunkLacks as u8).contains(&what)
}

/// The space that an exchange about chunks is for, and what comes after it.
pub(crate) fn space_of(payload: &[u8]) -> Option<(Space, &[u8])> {
    let (space, rest) = payload.split_first_chunk::<8>()?;
    Some((Space(u64::from_be_bytes(*space)), rest))
}

pub(super) fn payload(space: Space, chunks: &[ChunkHash], bytes: &[u8]) -> Bytes {
    let mut payload = BytesMut::with_capacity(8 + 32 * chunks.len() + bytes.len());
    payload.put_u64(space.0);
    chunks.iter().for_each(|hash| payload.put_slice(hash));
    payload.put_slice(bytes);
    payload.freeze()
}
