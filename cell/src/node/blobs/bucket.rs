//! The store of a region's files: chunks as objects of a bucket, or of a directory that the nodes share.
//!
//! ```text
//! chunks/SPACE-TENANT/FI/HASH      SPACE in 16 hexadecimal digits, TENANT the public id, FI begins the hash
//! ```
//!
//! The place is of one region alone, and each tenant has a folder of its own: the same bytes of two tenants lie there twice, and no two clusters
//! ever share a folder, even if their numbers of spaces do. A tenant keeps its folder wherever in the region it moves.
//!
//! A chunk is written once, where none is. One that is there is read, and written anew where it is rotten or old: what nothing names is removed
//! once it was not written for a day, and who names it next must not lose it.
//!
//! Invariants: what is given out has the hash that its name says. A chunk is removed only in its own turn, after another look at its age and at
//! what names it ([`Bucket::remove`]).
//!
//! CAVEATS: turns are of this node. Another one that writes an old chunk anew, between the last look at it and its removal, loses it; only the
//! owner of a space and who brings one write its chunks, and nothing is removed of a space that comes (`collect`).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use storage::Space;
use storage::blob::{ChunkHash, hex};
use storage::objects::ObjectError;
use tokio::sync::RwLock;
use uuid::Uuid;

use crate::backup::names::read_chunk;
use crate::backup::vault::{Bounds, Vault, VaultError};
use crate::config::Store;
use crate::records::time::now_micros;

/// Requests of one node that are under way. Raised: more memory, a chunk each. Lowered: slow where the store is far.
const REQUESTS: usize = 64;
/// How long a request waits for its place among them.
const WAIT: Duration = Duration::from_secs(5);
/// Longest time for one request. Raised: who uploads hears later that the store hangs. Lowered: a slow store fails.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long a chunk is written anew when somebody brings it again, in seconds.
const RENEW_SECONDS: i64 = 12 * 3_600;
/// How long a chunk is left alone that nothing names, in seconds.
pub(super) const UNNAMED_SECONDS: i64 = 24 * 3_600;
/// Turns that chunks take: those of one are never written and removed at once.
const TURNS: usize = 64;
/// The folder of all chunks.
const CHUNKS: &str = "chunks";

const _: () = assert!(UNNAMED_SECONDS >= 2 * RENEW_SECONDS);

/// Whose chunks: the number of a space, and the public id of its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) space: Space,
    pub(super) tenant: Uuid,
}

impl Folder {
    /// The folder of chunks whose names begin with a byte.
    fn of(self, first: u8) -> String {
        format!("{CHUNKS}/{self}/{first:02x}")
    }

    fn chunk(self, hash: &ChunkHash) -> String {
        format!("{}/{}", self.of(hash[0]), hex(hash))
    }

    fn parse(name: &str) -> Option<Self> {
        let (space, tenant) = name.split_once('-')?;
        let (space, tenant) = (u64::from_str_radix(space, 16).ok()?, tenant.parse().ok()?);
        let space = Space(space);
        Some(Self { space, tenant }).filter(|folder| folder.to_string() == name)
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.space.0, self.tenant)
    }
}

/// What a store lacks, or cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// The chunk is not there.
    Missing,
    /// What lies there is not the chunk.
    Rotten,
    /// The store did not say.
    Silent,
}

/// What an answer of a store comes to.
pub(super) fn lack(error: &VaultError) -> Lack {
    match error {
        VaultError::Object(ObjectError::Missing { .. }) => Lack::Missing,
        VaultError::Object(ObjectError::Damaged { .. }) | VaultError::Content { .. } => Lack::Rotten,
        _ => Lack::Silent,
    }
}

/// See the module.
pub(crate) struct Bucket {
    store: Store,
    bounds: Bounds,
    /// What is open; none: it was not asked for yet, or its key was refused.
    vault: ArcSwapOption<Vault>,
    /// Whoever writes a chunk has its turn read; who removes it, written.
    turns: Vec<RwLock<()>>,
}

impl Bucket {
    /// Nothing is asked of the store yet: a node starts without it.
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            bounds: Bounds::new(REQUESTS, WAIT, PATIENCE),
            vault: ArcSwapOption::empty(),
            turns: (0..TURNS).map(|_| RwLock::default()).collect(),
        }
    }

    /// Keeps a chunk for good.
    pub(super) async fn keep(&self, folder: Folder, hash: ChunkHash, bytes: &Bytes) -> Result<(), VaultError> {
        let _turn = self.turn(&hash).read().await;
        let name = folder.chunk(&hash);
        let is_new = self
            .ask(async |vault: Vault| vault.put_new(&name, bytes.clone()).await)
            .await?;
        if is_new {
            return Ok(());
        }
        let there = self.ask(async |vault: Vault| vault.get_written(&name).await).await;
        let is_fresh = match there {
            Ok((there, written)) => there == *bytes && is_young(written),
            Err(error) if lack(&error) == Lack::Silent => return Err(error),
            Err(_) => false,
        };
        if is_fresh {
            return Ok(());
        }
        self.ask(async |vault: Vault| vault.put(&name, bytes.clone()).await).await
    }

    /// A chunk, as it was written.
    pub(super) async fn fetch(&self, folder: Folder, hash: ChunkHash) -> Result<Bytes, VaultError> {
        let name = folder.chunk(&hash);
        let bytes = self.ask(async |vault: Vault| vault.get(&name).await).await?;
        match *blake3::hash(&bytes).as_bytes() == hash {
            true => Ok(bytes),
            false => Err(VaultError::Content {
                why: "its bytes have another hash than its name says".to_owned(),
                name,
            }),
        }
    }

    /// Which of these chunks are there, and whether they are so young that nobody removes them. All begin with the same byte; whether they are
    /// right, [`Bucket::fetch`] says.
    pub(super) async fn found(&self, folder: Folder, chunks: &[ChunkHash]) -> Result<BTreeMap<ChunkHash, bool>, VaultError> {
        let Some(first) = chunks.first() else {
            return Ok(BTreeMap::new());
        };
        let below = folder.of(first[0]);
        let found = self.ask(async |vault: Vault| vault.found(&below, chunks).await).await?;
        Ok(found.into_iter().map(|(hash, written)| (hash, is_young(written))).collect())
    }

    /// Whose chunks there are any of.
    pub(super) async fn folders(&self) -> Result<Vec<Folder>, VaultError> {
        let names = self.ask(async |vault: Vault| vault.folders(CHUNKS).await).await?;
        Ok(names.iter().filter_map(|name| Folder::parse(name)).collect())
    }

    /// The parts that a folder is listed in: all of it where it is small, else those of each first byte.
    pub(super) async fn parts(&self, folder: Folder) -> Result<Vec<String>, VaultError> {
        let whole = format!("{CHUNKS}/{folder}");
        let firsts = self.ask(async |vault: Vault| vault.folders(&whole).await).await?;
        Ok(match firsts.len() {
            0..256 => vec![whole],
            _ => (0..=u8::MAX).map(|first| folder.of(first)).collect(),
        })
    }

    /// The chunks of a part that were not written since a time, in seconds since the epoch.
    pub(super) async fn older(&self, part: &str, than: i64) -> Result<Vec<ChunkHash>, VaultError> {
        let found = self.ask(async |vault: Vault| vault.list_written(part).await).await?;
        let old = found.into_iter().filter(|(_, written)| *written < than);
        Ok(old.filter_map(|(name, _)| read_chunk(&name)).collect())
    }

    /// Removes a chunk that was not written since a time, in seconds since the epoch, if nothing names it: that is asked last. Whether it did.
    pub(super) async fn remove(
        &self,
        folder: Folder,
        hash: ChunkHash,
        than: i64,
        is_named: impl FnOnce() -> bool,
    ) -> Result<bool, VaultError> {
        let _turn = self.turn(&hash).write().await;
        let name = folder.chunk(&hash);
        let written = self.ask(async |vault: Vault| vault.written(&name).await).await?;
        if written.is_none_or(|written| written >= than) || is_named() {
            return Ok(false);
        }
        self.ask(async |vault: Vault| vault.delete(name.clone()).await).await?;
        Ok(true)
    }

    /// What is said of a chunk that is not there.
    pub(super) fn missing(&self, folder: Folder, hash: &ChunkHash) -> VaultError {
        let (place, name) = (self.to_string(), folder.chunk(hash));
        ObjectError::Missing { place, name }.into()
    }

    fn turn(&self, hash: &ChunkHash) -> &RwLock<()> {
        &self.turns[usize::from(hash[0]) % TURNS]
    }

    /// A request. Where the key is refused, it is read anew once: it may have been changed.
    async fn ask<T, F>(&self, request: impl Fn(Vault) -> F) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        match request(self.open().await?).await {
            Err(VaultError::Object(ObjectError::Key { .. })) => {
                self.vault.store(None);
                let again = request(self.open().await?).await;
                if again.is_err() {
                    self.vault.store(None);
                }
                again
            }
            answered => answered,
        }
    }

    async fn open(&self) -> Result<Vault, VaultError> {
        if let Some(vault) = &*self.vault.load() {
            return Ok(Vault::clone(vault));
        }
        let vault = Vault::open(&self.store, &self.bounds).await?;
        self.vault.store(Some(Arc::new(vault.clone())));
        Ok(vault)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.place.fmt(f)
    }
}

/// Whether what was written then is not removed for a long time yet.
fn is_young(written: i64) -> bool {
    written > now_seconds() - RENEW_SECONDS
}

/// Now, in seconds since the epoch.
pub(super) fn now_seconds() -> i64 {
    i64::try_from(now_micros() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
