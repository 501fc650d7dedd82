//! Chunks of files on their way into the store: each once for a life of a cell's log, before what names it counts as archived.
//!
//! A chunk whose object is there is not read again. One that was written long ago is written anew, so that a sweep leaves it alone
//! ([`super::collect`] removes only what was not written for longer than that, and takes no turn with who writes).
//!
//! What cannot be had is for the caller to judge: a list says so of it, or the round is tried again.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::blob::ChunkHash;
use tokio::sync::{RwLock, Semaphore};

use super::listed::{self, Holdings, LIST_CHUNKS, Listed};
use super::names::{BaseName, Line, SegmentName};
use super::vault::{Vault, VaultError};
use crate::records::time::now_micros;

/// After so long a chunk is written anew when something names it again, in seconds. Half of what a sweep leaves alone.
pub(super) const RENEW_SECONDS: i64 = 12 * 3_600;
/// Chunks that one round, base or restore has under way. Raised: more memory and more of the disk. Lowered: slow where the store is far.
pub(crate) const UNDER_WAY: usize = 4;
/// Chunks that a node has under way between its disks and the store.
pub(super) const PLACES: usize = 8;

const _: () = assert!(PLACES < super::vault::REQUESTS);

/// A chunk that is on its way from a replica; none: no replica that can be reached has it.
pub(super) type Coming = BoxFuture<'static, Option<Bytes>>;
/// Gives chunks by the number of the space and the name.
pub(super) type Give = Arc<dyn Fn(u64, ChunkHash) -> Coming + Send + Sync>;

/// What those who write and remove chunks share on a node.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// Places for chunks between disks and store.
    pub(super) places: Semaphore,
    /// Whoever looks at a chunk and writes it has it read; who looks at a folder and removes some of it, written.
    pub(super) turns: RwLock<()>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            places: Semaphore::new(PLACES),
            turns: RwLock::default(),
        }
    }
}

/// Brings chunks of one cell into the store.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) vault: Vault,
    pub(super) line: Line,
    pub(super) traffic: Arc<Traffic>,
    pub(super) give: Give,
    /// Is told of bytes that were written.
    pub(super) wrote: Arc<dyn Fn(usize) + Send + Sync>,
}

impl Keeper {
    /// Sees to it that a chunk is in the store; false: it cannot be had.
    async fn keep(&self, uid: u64, hash: ChunkHash) -> Result<bool, VaultError> {
        let _place = self.traffic.places.acquire().await.map_err(|_| closed())?;
        let _turn = self.traffic.turns.read().await;
        let name = self.line.chunk(uid, &hash);
        let written = self.vault.written(&name).await?;
        if written.is_some_and(|written| written > now_seconds() - RENEW_SECONDS) {
            return Ok(true);
        }
        let bytes = match (self.give)(uid, hash).await {
            Some(bytes) => bytes,
            None if written.is_some() => self.vault.get(&name).await?,
            None => return Ok(false),
        };
        if *blake3::hash(&bytes).as_bytes() != hash {
            return Ok(false);
        }
        let length = bytes.len();
        self.vault.put(&name, bytes).await?;
        (self.wrote)(length);
        Ok(true)
    }

    /// Sees to it that chunks of a tenant are in the store.
    pub(super) async fn keep_all(&self, uid: u64, chunks: impl IntoIterator<Item = ChunkHash>) -> Result<Listed, VaultError> {
        let keeping = stream::iter(chunks).map(|hash| async move { self.keep(uid, hash).await.map(|is_kept| (hash, is_kept)) });
        let done: Vec<(ChunkHash, bool)> = keeping.buffer_unordered(UNDER_WAY).try_collect().await?;
        let mut listed = Listed {
            uid,
            ..Listed::default()
        };
        for (hash, is_kept) in done {
            let list = if is_kept { &mut listed.kept } else { &mut listed.missing };
            list.push(hash);
        }
        Ok(listed)
    }

    /// The same for the chunks that rows name, ascending: what is there already is found by listing folders. `renews`: what is old is written
    /// anew, as where a sweep may be under way.
    pub(super) async fn keep_page(&self, uid: u64, chunks: &[ChunkHash], renews: bool) -> Result<Listed, VaultError> {
        let oldest = if renews { now_seconds() - RENEW_SECONDS } else { i64::MIN };
        let (mut there, mut lacking) = (Vec::new(), Vec::new());
        for some in chunks.chunk_by(|one, next| one[0] == next[0]) {
            let found = self.vault.found(&self.line.chunks_of(uid, some[0][0]), some).await?;
            for hash in some {
                let is_there = found.get(hash).is_some_and(|written| *written > oldest);
                if is_there { &mut there } else { &mut lacking }.push(*hash);
            }
        }
        let mut listed = self.keep_all(uid, lacking).await?;
        listed.kept.extend(there);
        Ok(listed)
    }
}

fn now_seconds() -> i64 {
    i64::try_from(now_micros() / 1_000_000).unwrap_or(i64::MAX)
}

fn closed() -> VaultError {
    VaultError::Source("the node stops".to_owned())
}

/// What lists are of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    /// The commands of a segment.
    Segment(SegmentName),
    /// The rows of a base.
    Base(BaseName),
}

/// Writes lists.
pub(super) struct Lists<'k> {
    keeper: &'k Keeper,
    of: Of,
    gathered: Vec<Listed>,
    chunks: usize,
    holdings: Holdings,
}

impl<'k> Lists<'k> {
    pub(super) fn new(keeper: &'k Keeper, of: Of) -> Self {
        Self {
            keeper,
            of,
            gathered: Vec::new(),
            chunks: 0,
            holdings: Holdings::default(),
        }
    }

    pub(super) async fn add(&mut self, listed: Listed) -> Result<(), VaultError> {
        if listed.kept.is_empty() && listed.missing.is_empty() {
            return Ok(());
        }
        self.holdings.kept += listed.kept.len() as u64;
        self.holdings.missing += listed.missing.len() as u64;
        self.chunks += listed.kept.len() + listed.missing.len();
        self.gathered.push(listed);
        if self.chunks >= LIST_CHUNKS {
            self.write().await?;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), VaultError> {
        let (line, piece) = (self.keeper.line, self.holdings.lists);
        let name = match self.of {
            Of::Segment(name) => line.named_by(name, piece),
            Of::Base(name) => line.held(name, piece),
        };
        let bytes = listed::encode(std::mem::take(&mut self.gathered));
        let length = bytes.len();
        self.keeper.vault.put(&name, bytes).await?;
        (self.keeper.wrote)(length);
        self.chunks = 0;
        self.holdings.lists += 1;
        Ok(())
    }

    /// Writes what is left; what there is.
    pub(super) async fn finish(mut self) -> Result<Holdings, VaultError> {
        if self.chunks > 0 {
            self.write().await?;
        }
        if let Of::Base(name) = self.of {
            let holdings = self.keeper.line.holdings(name);
            self.keeper.vault.put(&holdings, self.holdings.encode()).await?;
        }
        Ok(self.holdings)
    }
}

#[cfg(test)]
mod tests;
