//! Removing what no time that is kept needs, in all lives of a cell.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::collect::{May, UNNAMED_SECONDS, collect, needed};
use super::keep::{Whole, finished, oldest_needed, superfluous};
use super::keeper::Traffic;
use super::manifest::{Manifest, Through};
use super::missing;
use super::names::{self, Line};
use super::tender::Tender;
use super::vault::{Vault, VaultError};
use crate::records::time::now_micros;

const DAY_MICROS: u64 = 24 * 3_600 * 1_000_000;

/// Removes what is not needed from one line.
pub(super) struct Sweep<'s> {
    pub(super) vault: &'s Vault,
    pub(super) line: Line,
    /// The earliest time that is kept, in microseconds since the epoch.
    pub(super) keep_from: u64,
    /// Whether the line goes on.
    pub(super) is_own: bool,
    /// Whether tenants are to come back from what earlier lives of the cell have left: then no line goes as a whole.
    pub(super) is_awaited: bool,
    pub(super) traffic: &'s Traffic,
    /// Whether to go on, asked before chunks are removed.
    pub(super) may: &'s May,
}

/// What was removed: objects, and chunks of files.
pub(super) type Swept = (usize, u64);

impl Tender {
    /// Removes what is not needed for any time that is kept, in all lines of the cell.
    pub(super) async fn sweep(self) -> Result<(), VaultError> {
        let vault = Vault::open(&self.backup.store, &self.platform.backups.bounds).await?;
        let keep_from = now_micros().saturating_sub(self.backup.keep_days.saturating_mul(DAY_MICROS));
        let cell = self.replica.number;
        let own = self.archived()?.map(|archived| archived.line);
        let replica = Arc::clone(&self.replica);
        let may: Box<May> = Box::new(move || {
            let replica = Arc::clone(&replica);
            Box::pin(async move {
                let barrier = replica.group.read_barrier().await;
                barrier.map_err(|error| VaultError::Source(error.to_string()))?;
                // A barrier is any replica's to ask for: it passes where somebody else leads.
                match replica.group.is_leader() {
                    true => Ok(()),
                    false => Err(VaultError::Source("another node leads the cell now".to_owned())),
                }
            })
        });
        let folders = vault.folders(&names::cell(cell)).await?;
        let lines: Vec<Uuid> = folders.iter().filter_map(|folder| folder.parse().ok()).collect();
        let is_awaited = lines.iter().any(|id| own != Some(*id)) && self.lacks_tenants().await?;
        for id in lines {
            let sweep = Sweep {
                vault: &vault,
                line: Line { cell, id },
                keep_from,
                is_own: own == Some(id),
                is_awaited,
                traffic: &self.platform.backups.traffic,
                may: &*may,
            };
            let (objects, chunks) = sweep.run().await?;
            if objects > 0 {
                tracing::info!(cell = %self.replica.name, line = %id, objects, chunks, "removed what no time that is kept needs");
            }
        }
        Ok(())
    }

    /// Whether the directory places tenants in the cell that it does not have. Where that cannot be told, there may be some.
    async fn lacks_tenants(&self) -> Result<bool, VaultError> {
        if !self.platform.freshen_directory().await {
            return Ok(true);
        }
        let directory = self.platform.directory.read();
        let directory = directory.map_err(|error| VaultError::Source(error.detail))?;
        let barrier = self.replica.group.read_barrier().await;
        barrier.map_err(|error| VaultError::Source(error.to_string()))?;
        let store = self.replica.store.begin_read();
        let missing = missing::missing(&directory, &store, self.replica.number);
        let missing = missing.map_err(|fault| VaultError::Source(fault.to_string()))?;
        Ok(!missing.is_empty())
    }
}

impl Sweep<'_> {
    /// Sweeps.
    pub(super) async fn run(&self) -> Result<Swept, VaultError> {
        let (vault, line) = (self.vault, self.line);
        let bases = vault.list(&line.bases()).await?;
        let mut wholes = Vec::new();
        for name in finished(line, &bases) {
            let object = line.manifest(name);
            let manifest = Manifest::decode(&vault.get(&object).await?).map_err(VaultError::content(&object))?;
            let stamp = manifest.stamp;
            wholes.push(Whole { name, stamp });
        }
        // The lists of the chunks that segments name go with them.
        let log = [vault.list(&line.log()).await?, vault.list(&line.named()).await?].concat();
        // A life that has ended before all that is kept goes as a whole.
        let ended = match vault.get(&line.head()).await {
            Ok(bytes) => Through::decode(&bytes).map_err(VaultError::content(&line.head()))?.stamp,
            Err(_) => u64::MAX,
        };
        if !self.is_own && !self.is_awaited && ended < self.keep_from {
            return self.remove_all(bases, log).await;
        }
        let gone = match oldest_needed(&wholes, self.keep_from) {
            Some(oldest) => superfluous(line, oldest, &bases, &log),
            None => Vec::new(),
        };
        let objects = self.remove(gone).await?;
        // Only with a base, and with the log before it, something ceases to be needed.
        let chunks = if objects > 0 { self.collect().await? } else { 0 };
        Ok((objects, chunks))
    }

    async fn remove_all(&self, bases: Vec<String>, log: Vec<String>) -> Result<Swept, VaultError> {
        let none = BTreeSet::new();
        let (manifests, pieces): (Vec<_>, Vec<_>) = bases.into_iter().partition(|name| names::is_manifest(name));
        let objects = self.remove(manifests.into_iter().chain(pieces).chain(log)).await?;
        let chunks = collect(self.vault, self.line, self.traffic, &none, i64::MAX, self.may).await?;
        // Last: what is left of a line without its head is not known to have ended.
        let heads = self.remove([self.line.head()]).await?;
        Ok((objects + heads, chunks))
    }

    async fn remove(&self, gone: impl IntoIterator<Item = String>) -> Result<usize, VaultError> {
        let mut count = 0;
        for name in gone {
            self.vault.delete(name).await?;
            count += 1;
        }
        Ok(count)
    }

    async fn collect(&self) -> Result<u64, VaultError> {
        let kept = finished(self.line, &self.vault.list(&self.line.bases()).await?);
        // Bases of a version that listed no chunks: what they need cannot be told, until they go.
        let Some(needed) = needed(self.vault, self.line, &kept).await? else {
            return Ok(0);
        };
        let now = i64::try_from(now_micros() / 1_000_000).unwrap_or(i64::MAX);
        let before = now.saturating_sub(UNNAMED_SECONDS);
        collect(self.vault, self.line, self.traffic, &needed, before, self.may).await
    }
}
