//! Chunks of files on their way back: from the store of the backups to who restores a tenant.
//!
//! A chunk that was archived must be there, and be what its name says; where it is not, the restore ends and names it, as for any other object.
//! One that the backup never had is told of and left out: versions before that archived no chunks, and chunks that were on no replica.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use storage::blob::{ChunkHash, hex};
use storage::objects::ObjectError;
use tokio::sync::OnceCell;

use super::find::Source;
use super::keeper::Traffic;
use super::listed;
use super::names::{is_held, read_segment};
use super::vault::{Vault, VaultError};

/// The chunks of a tenant at a time.
pub(crate) struct Stored {
    vault: Vault,
    source: Source,
    uid: u64,
    traffic: Arc<Traffic>,
    /// What the rows name, ascending.
    pub(crate) chunks: Vec<ChunkHash>,
    /// What was archived, once somebody has to know.
    promised: OnceCell<BTreeSet<ChunkHash>>,
    /// Bytes of the backup that were read.
    done: Arc<AtomicU64>,
}

impl Stored {
    /// Those of a tenant that a source has. `uid`: the number of its space then.
    pub(crate) fn new(
        vault: &Vault,
        source: &Source,
        uid: u64,
        chunks: Vec<ChunkHash>,
        traffic: &Arc<Traffic>,
        done: &Arc<AtomicU64>,
    ) -> Self {
        Self {
            vault: vault.clone(),
            source: source.clone(),
            uid,
            traffic: Arc::clone(traffic),
            chunks,
            promised: OnceCell::new(),
            done: Arc::clone(done),
        }
    }

    /// A chunk; none: the backup never had it.
    pub(crate) async fn fetch(&self, hash: &ChunkHash) -> Result<Option<Bytes>, VaultError> {
        let place = self.traffic.places.acquire().await;
        let name = self.source.line.chunk(self.uid, hash);
        let read = self.vault.get(&name).await;
        drop(place);
        match read {
            Ok(bytes) if blake3::hash(&bytes).as_bytes() == hash => {
                self.done.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(Some(bytes))
            }
            Ok(_) => Err(VaultError::content(&name)("it is not the chunk of its name".to_owned())),
            Err(VaultError::Object(error @ ObjectError::Missing { .. })) => {
                let promised = self.promised.get_or_try_init(|| self.promised()).await?;
                if promised.contains(hash) {
                    return Err(error.into());
                }
                tracing::warn!(uid = self.uid, chunk = hex(hash), "the backup has no such chunk of a file");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The chunks of the tenant that lists say to be in the store.
    async fn promised(&self) -> Result<BTreeSet<ChunkHash>, VaultError> {
        let Source {
            line, base, segments, ..
        } = &self.source;
        let held = self.vault.list(&line.base(*base)).await?;
        let held = held.into_iter().filter(|name| is_held(name));
        let named = self.vault.list(&line.named()).await?;
        let named = named
            .into_iter()
            .filter(|name| read_segment(name).is_some_and(|segment| segments.contains(&segment)));
        let mut promised = BTreeSet::new();
        for name in held.chain(named) {
            let lists = listed::decode(&self.vault.get(&name).await?).map_err(VaultError::content(&name))?;
            let own = lists.into_iter().filter(|listed| listed.uid == self.uid);
            promised.extend(own.flat_map(|listed| listed.kept));
        }
        Ok(promised)
    }
}
