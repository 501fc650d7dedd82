//! Removing what no time that is kept needs, in all lives of a cell.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use storage::blob::ChunkHash;

use super::collect::{UNNAMED_SECONDS, collect, needed};
use super::keep::{Whole, finished, oldest_needed, superfluous};
use super::manifest::{Manifest, Through};
use super::names::{self, BaseName, Line};
use super::tender::Tender;
use super::vault::{Vault, VaultError};
use crate::records::time::now_micros;

const DAY_MICROS: u64 = 24 * 3_600 * 1_000_000;

impl Tender {
    /// Removes what is not needed for any time that is kept, in all lines of the cell.
    pub(super) async fn sweep(self) -> Result<(), VaultError> {
        let vault = Vault::open(&self.backup, &self.platform.backups.requests).await?;
        let keep_from = now_micros().saturating_sub(self.backup.keep_days.saturating_mul(DAY_MICROS));
        let cell = self.replica.number;
        let own = self.archived()?.map(|archived| archived.line);
        for folder in vault.folders(&names::cell(cell)).await? {
            let Ok(id) = folder.parse() else { continue };
            let line = Line { cell, id };
            self.sweep_line(&vault, line, keep_from, own == Some(id)).await?;
        }
        Ok(())
    }

    async fn sweep_line(&self, vault: &Vault, line: Line, keep_from: u64, is_own: bool) -> Result<(), VaultError> {
        let bases = vault.list(&line.bases()).await?;
        let mut wholes = Vec::new();
        for name in finished(line, &bases) {
            let object = line.manifest(name);
            let manifest = Manifest::decode(&vault.get(&object).await?).map_err(VaultError::content(&object))?;
            let stamp = manifest.stamp;
            wholes.push(Whole { name, stamp });
        }
        // Lists of the chunks that segments name go with them.
        let log = [vault.list(&line.log()).await?, vault.list(&line.named()).await?].concat();
        let mut gone = match oldest_needed(&wholes, keep_from) {
            Some(oldest) => superfluous(line, oldest, &bases, &log),
            None => Vec::new(),
        };
        // A life that has ended before all that is kept goes as a whole.
        let ended = match vault.get(&line.head()).await {
            Ok(bytes) => Through::decode(&bytes).map_err(VaultError::content(&line.head()))?.stamp,
            Err(_) => u64::MAX,
        };
        let is_over = !is_own && ended < keep_from;
        if is_over {
            let (manifests, pieces): (Vec<_>, Vec<_>) = bases.into_iter().partition(|name| names::is_manifest(name));
            gone = manifests.into_iter().chain(pieces).chain(log).collect();
            // Without the last of it nothing of the line is found again.
            let chunks = self.collect(vault, line, Some(BTreeSet::new()), i64::MAX).await?;
            tracing::debug!(chunks, line = %line.id, "removed the chunks of a life that has ended");
            gone.push(line.head());
        }
        let count = gone.len();
        for name in gone {
            vault.delete(name).await?;
        }
        if count > 0 {
            tracing::info!(cell = %self.replica.name, line = %line.id, objects = count, "removed what no time that is kept needs");
        }
        // Only with a base something ceases to be needed.
        if count > 0 && !is_over {
            let kept: Vec<BaseName> = finished(line, &vault.list(&line.bases()).await?);
            let needed = needed(vault, line, &kept).await?;
            let before = i64::try_from(now_micros() / 1_000_000).unwrap_or(i64::MAX) - UNNAMED_SECONDS;
            let chunks = self.collect(vault, line, needed, before).await?;
            tracing::info!(cell = %self.replica.name, line = %line.id, chunks, "removed chunks of files that no time that is kept needs");
        }
        Ok(())
    }

    async fn collect(
        &self,
        vault: &Vault,
        line: Line,
        needed: Option<BTreeSet<(u64, ChunkHash)>>,
        before: i64,
    ) -> Result<u64, VaultError> {
        // Bases of a version that listed no chunks: what they need cannot be told, until they go.
        let Some(needed) = needed else { return Ok(0) };
        let replica = Arc::clone(&self.replica);
        let leads = move || -> BoxFuture<'static, Result<(), VaultError>> {
            let replica = Arc::clone(&replica);
            Box::pin(async move {
                let barrier = replica.group.read_barrier().await;
                barrier.map(drop).map_err(|error| VaultError::Source(error.to_string()))
            })
        };
        collect(vault, line, &self.platform.backups.traffic, &needed, before, &leads).await
    }
}
