//! A cell that was lost with all its replicas has come up empty: its tenants are brought back from its backup, each into its own space.
//!
//! The directory still knows who they are. What is there already stays as it is: tenants that were made, or brought back, since.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::body::backup::CellRestore;
use api::body::control::Operation;
use api::error::{Code, Error, Result};
use api::service::{Idempotency, Operator};
use storage::Space;

use super::Front;
use super::error::{barrier, internal};
use super::recovering::{check_time, time, unread};
use super::recovery::Teller;
use super::tenant_life::show_operation;
use super::tenants::operators_key;
use crate::backup::find::{self, Source};
use crate::backup::replay::{self, Wanted};
use crate::backup::stored::Stored;
use crate::backup::vault::Vault;
use crate::directory::query;
use crate::directory::rows::{Status, Tenant};
use crate::machine::reader::Reader;
use crate::machine::rows::{Place, SpaceStatus};
use crate::node::arriving::Arrival;
use crate::node::replica::Replica;

/// Tenants that are read at a time.
const PAGE: usize = 1_000;

/// A tenant whose space is missing, and the attempt that brings it.
type Missing = (Tenant, u64);

impl Front {
    pub(super) async fn restore_cell(
        &self,
        operator: &Operator,
        cell: &str,
        wanted: CellRestore,
        key: Option<Idempotency>,
    ) -> Result<Operation> {
        let key = key.map(|key| operators_key(operator, key));
        if let Some(begun) = self.restore_begun(key.as_ref()).await? {
            return Ok(begun);
        }
        let until = time(wanted.at.as_deref())?;
        let none = || Error::new(Code::NotFound, format!("this region has no cell {cell:?}"));
        let entries = self.platform.region_cells();
        let number = entries.iter().find(|entry| entry.name == cell).ok_or_else(none)?.number;
        let replica = self.platform.cell(number).ok_or_else(|| {
            let detail = format!("this node has no replica of {cell}: ask one that has");
            Error::new(Code::Unavailable, detail)
        })?;
        let place = self.restore_place()?;
        let missing = self.missing(&replica).await?;
        if missing.is_empty() {
            let detail = format!(
                "{cell} has all its tenants: there is nothing to restore; `tenant restore` makes a new one of an older state"
            );
            return Err(Error::new(Code::AlreadyExists, detail));
        }
        let vault = self.vault().await?;
        let cells = find::cells(&vault, &[number]).await.map_err(|error| unread(&error))?;
        let found = find::find(&vault, &cells, until).await.map_err(|error| unread(&error))?;
        check_time(&found, found.latest(Some(number), &[]), None, until)?;
        let teller = Teller::new(self, true, cell);
        let begun = teller.begin(key).await?;
        if begun.id != teller.operation {
            return Ok(show_operation(&begun));
        }
        let front = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let done = Arc::clone(&teller.done);
            teller.follow(front.refill(missing, found.sources, vault, until, done)).await;
        });
        Ok(show_operation(&begun))
    }

    /// The tenants of a cell whose spaces are not there, or only in part, and the attempt that is higher than all before.
    async fn missing(&self, replica: &Replica) -> Result<Vec<Missing>> {
        self.platform.freshen_directory().await;
        replica.group.read_barrier().await.map_err(barrier)?;
        let (directory, cell) = (self.platform.directory.read()?, replica.store.begin_read());
        let (mut missing, mut after) = (Vec::new(), None::<String>);
        loop {
            let (tenants, more) = query::tenants(&directory, after.as_deref(), PAGE).map_err(|fault| internal(&fault))?;
            let own = tenants
                .iter()
                .filter(|tenant| tenant.cell == replica.number && tenant.status == Status::Active);
            for tenant in own {
                let placed = cell.placed(Space(tenant.uid)).map_err(|fault| internal(&fault))?;
                match placed {
                    None => missing.push((tenant.clone(), 1)),
                    Some((header, Place::Here)) if header.status == SpaceStatus::Live => {}
                    Some((_, Place::Held { .. })) => {}
                    Some((_, place)) => missing.push((tenant.clone(), place.attempt().unwrap_or(0) + 1)),
                }
            }
            match tenants.last() {
                Some(last) if more => after = Some(last.slug.clone()),
                _ => return Ok(missing),
            }
        }
    }

    /// Brings tenants back, one after the other. One that cannot be brought back does not keep the others away.
    async fn refill(
        self,
        missing: Vec<Missing>,
        sources: Vec<Source>,
        vault: Vault,
        until: Option<u64>,
        done: Arc<AtomicU64>,
    ) -> std::result::Result<(), String> {
        let mut failed = BTreeMap::new();
        for (tenant, attempt) in missing {
            match self.bring_home(&tenant, attempt, &sources, &vault, until).await {
                Ok(()) => {
                    done.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(tenant = tenant.slug, "a tenant of a lost cell was brought back");
                }
                Err(why) => {
                    tracing::warn!(tenant = tenant.slug, why, "a tenant of a lost cell could not be brought back");
                    failed.insert(tenant.slug.clone(), why);
                }
            }
        }
        let Some((slug, why)) = failed.first_key_value() else {
            return Ok(());
        };
        Err(format!("{} tenants are not back, such as {slug}: {why}", failed.len()))
    }

    async fn bring_home(
        &self,
        tenant: &Tenant,
        attempt: u64,
        sources: &[Source],
        vault: &Vault,
        until: Option<u64>,
    ) -> std::result::Result<(), String> {
        let (uid, read) = (tenant.uid, Arc::default());
        let traffic = &self.platform.backups.traffic;
        for source in sources {
            let wanted = Wanted { uid, until };
            let restored = replay::replay(vault, source, &wanted, self.scratch(), &read).await;
            let Some(mut restored) = restored.map_err(|error| error.to_string())? else {
                continue;
            };
            let file = restored.file.try_clone().map_err(|error| error.to_string())?;
            let arrival = Arrival::again(&self.platform, tenant, attempt);
            let chunks = std::mem::take(&mut restored.chunks);
            let stored = Stored::new(vault, source, uid, chunks, traffic, &read);
            return arrival.bring(file, true, Some(&stored)).await.map_err(|error| error.detail);
        }
        Err("the backup has nothing of it".to_owned())
    }
}
