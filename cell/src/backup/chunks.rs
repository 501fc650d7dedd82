//! Which chunks of files a round archives, before the segment that names them.
//!
//! A chunk that no replica can give now has the round tried again, and after some rounds the list of the segment says that it is missing and
//! the backup goes on: what is lost on all disks must not stop it.

use std::sync::Arc;

use storage::Space;
use storage::blob::{ChunkHash, hex};

use super::keeper::{Coming, Keeper, Lists, Of};
use super::listed::Listed;
use super::named::{Named, was_named};
use super::names::{Line, SegmentName};
use super::tender::Tender;
use super::vault::{Vault, VaultError};
use crate::files::uses;

/// Rows that are read at a time: nothing is pinned while chunks are archived.
const PAGE: usize = 16_384;

/// Chunks after which it is seen whether any of them is missing: replicas that hang are asked for no more than these.
const SOME: usize = 64;

/// Refuses to go on where chunks are not to be had.
fn check(listed: &Listed, goes_on: bool) -> Result<u64, VaultError> {
    match listed.missing.first() {
        Some(hash) if !goes_on => Err(VaultError::Lacking {
            count: listed.missing.len(),
            uid: listed.uid,
            chunk: hex(hash),
        }),
        _ => Ok(listed.missing.len() as u64),
    }
}

impl Tender {
    /// What brings chunks of the cell into the store.
    pub(super) fn keeper(&self, vault: &Vault, line: Line) -> Keeper {
        let (platform, replica) = (Arc::clone(&self.platform), Arc::clone(&self.replica));
        let (own, name) = (Arc::clone(&self.platform), Arc::clone(&self.replica.name));
        Keeper {
            vault: vault.clone(),
            line,
            traffic: Arc::clone(&self.platform.backups.traffic),
            give: Arc::new(move |uid, hash| -> Coming {
                let (platform, replica) = (Arc::clone(&platform), Arc::clone(&replica));
                Box::pin(async move {
                    let given = platform.chunk(&replica, Space(uid), hash).await;
                    given
                        .inspect_err(|error| tracing::debug!(%error, "a chunk is not archived"))
                        .ok()
                })
            }),
            wrote: Arc::new(move |bytes| own.backups.wrote(&name, bytes)),
        }
    }

    /// Archives the chunks that a segment names, and the list of them. `goes_on`: without those that cannot be had.
    pub(super) async fn archive_chunks(
        &self,
        keeper: &Keeper,
        segment: SegmentName,
        named: Named,
        goes_on: bool,
    ) -> Result<(), VaultError> {
        let (mut lists, mut lacking) = (Lists::new(keeper, Of::Segment(segment)), 0);
        for (uid, chunks) in named.chunks {
            let chunks: Vec<ChunkHash> = chunks.into_iter().collect();
            for some in chunks.chunks(SOME) {
                let listed = keeper.keep_all(uid, some.to_vec()).await?;
                lacking += check(&listed, goes_on)?;
                lists.add(listed).await?;
            }
        }
        for (uid, arrived) in named.arrived {
            let mut after = None;
            loop {
                let page = uses::page(&self.replica.store.begin_read(), Space(uid), after, PAGE);
                let page = page.map_err(|fault| VaultError::Source(fault.to_string()))?;
                let Some((last, _)) = page.last() else { break };
                after = Some(*last);
                let hashes = |needed: bool| -> Vec<ChunkHash> {
                    let rows = page.iter().filter(|(_, used)| (used.count > 0) == needed);
                    rows.filter(|(_, used)| was_named(used, arrived))
                        .map(|(hash, _)| *hash)
                        .collect()
                };
                let listed = keeper.keep_page(uid, &hashes(true), true).await?;
                lacking += check(&listed, goes_on)?;
                lists.add(listed).await?;
                // Whether these were named then is not known for sure.
                lists.add(keeper.keep_page(uid, &hashes(false), true).await?).await?;
            }
        }
        lists.finish().await?;
        self.lacked(lacking);
        Ok(())
    }

    /// Tells that the backup went on without some chunks.
    pub(super) fn lacked(&self, chunks: u64) {
        if chunks > 0 {
            self.platform.backups.lacked(&self.replica.name, chunks);
            tracing::error!(cell = %self.replica.name, chunks, "chunks of files are on no replica: the backup goes on without them");
        }
    }
}
