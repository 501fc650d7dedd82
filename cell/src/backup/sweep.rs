//! Removing what no time that is kept needs, in all lives of a cell.

use super::keep::{Whole, finished, oldest_needed, superfluous};
use super::manifest::{Manifest, Through};
use super::names::{self, Line};
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
        let log = vault.list(&line.log()).await?;
        let mut gone = match oldest_needed(&wholes, keep_from) {
            Some(oldest) => superfluous(line, oldest, &bases, &log),
            None => Vec::new(),
        };
        // A life that has ended before all that is kept goes as a whole.
        let ended = match vault.get(&line.head()).await {
            Ok(bytes) => Through::decode(&bytes).map_err(VaultError::content(&line.head()))?.stamp,
            Err(_) => u64::MAX,
        };
        if !is_own && ended < keep_from {
            let (manifests, pieces): (Vec<_>, Vec<_>) = bases.into_iter().partition(|name| names::is_manifest(name));
            gone = manifests.into_iter().chain(pieces).chain(log).collect();
            gone.push(line.head());
        }
        let count = gone.len();
        for name in gone {
            vault.delete(name).await?;
        }
        if count > 0 {
            tracing::info!(cell = %self.replica.name, line = %line.id, objects = count, "removed what no time that is kept needs");
        }
        Ok(())
    }
}
