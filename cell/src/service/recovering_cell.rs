//! A cell that was lost with all its replicas has come up empty: its tenants are brought back from its backup, each into its own space.
//!
//! The directory still knows who they are. What is there already stays as it is: tenants that were made, or brought back, since.
//!
//! A restore takes long. So the directory and the cell are asked again before each tenant's space is cleared, and the directory once more
//! when the space has come: a tenant that was deleted meanwhile, or is placed elsewhere, is left out, or taken away again.
//!
//! Several restores may be at one cell. Each has an attempt of its own, out of the numbers that the directory hands out for moves as well:
//! the later one takes over what both bring, and the cell refuses what the earlier one still sends.
//!
//! CAVEATS: where the node ends between a tenant's deletion and its second look, what has come of the tenant stays in the cell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::body::backup::CellRestore;
use api::body::control::Operation;
use api::error::{Code, Error, Result};
use api::service::{Idempotency, Operator};
use storage::{Snapshot, Space};
use tokio::time::sleep;

use super::Front;
use super::error::{barrier, internal, refused};
use super::recovering::{check_time, time, unread};
use super::recovery::Teller;
use super::tenant_life::show_operation;
use super::tenants::operators_key;
use crate::backup::find::{self, Source};
use crate::backup::missing::{self, Whereabouts};
use crate::backup::replay::{self, Wanted};
use crate::backup::stored::Stored;
use crate::backup::vault::Vault;
use crate::directory::GROUP;
use crate::directory::restore_tell::RestoreTell;
use crate::directory::rows::{self, Tenant};
use crate::machine::dispatch::{Answer, answer};
use crate::machine::rows::Actor;
use crate::node::arriving::Arrival;
use crate::node::proposing::stamped;
use crate::node::replica::{Proposal, Replica};
use crate::placement::clear::SpaceClear;
use crate::placement::turn::{SpaceTurn, Turn};
use crate::space::erase::SpaceErase;

/// How often the directory is asked before a tenant is given up.
const TRIES: usize = 20;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// What a restore of a cell goes by.
struct Order {
    /// The number of the cell.
    cell: u64,
    /// The tenants whose spaces were missing when it began.
    missing: Vec<Tenant>,
    sources: Vec<Source>,
    vault: Vault,
    until: Option<u64>,
}

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
        let word = RestoreTell {
            operation: teller.operation,
            is_of_cell: true,
            subject: cell.to_owned(),
            progress: 0,
            ended: None,
        };
        let order = Order {
            cell: number,
            missing,
            sources: found.sources,
            vault,
            until,
        };
        let front = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let done = Arc::clone(&teller.done);
            teller.follow(front.refill(order, word, done)).await;
        });
        Ok(show_operation(&begun))
    }

    /// The tenants of a cell whose spaces are not there, or only in part.
    async fn missing(&self, replica: &Replica) -> Result<Vec<Tenant>> {
        if !self.platform.freshen_directory().await {
            let detail = "the directory cannot be asked now which tenants the cell has; try again";
            return Err(Error::new(Code::Unavailable, detail));
        }
        let directory = self.platform.directory.read()?;
        replica.group.read_barrier().await.map_err(barrier)?;
        let store = replica.store.begin_read();
        missing::missing(&directory, &store, replica.number).map_err(|fault| internal(&fault))
    }

    /// Brings tenants back, one after the other. One that cannot be brought back does not keep the others away.
    async fn refill(self, order: Order, word: RestoreTell, done: Arc<AtomicU64>) -> std::result::Result<(), String> {
        let attempt = self.own_attempt(word).await?;
        let mut failed = BTreeMap::new();
        for Tenant { uid, slug, .. } in &order.missing {
            match self.bring_home(&order, *uid, attempt).await {
                Ok(true) => {
                    done.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(tenant = slug, "a tenant of a lost cell was brought back");
                }
                Ok(false) => tracing::info!(tenant = slug, "a tenant of a lost cell is gone, or back"),
                Err(why) => {
                    tracing::warn!(tenant = slug, why, "a tenant of a lost cell could not be brought back");
                    failed.insert(slug.clone(), why);
                }
            }
        }
        let Some((slug, why)) = failed.first_key_value() else {
            return Ok(());
        };
        Err(format!("{} tenants are not back, such as {slug}: {why}", failed.len()))
    }

    /// The attempt of a restore that goes on, as this word says. Where the word is sent again, it is another one, and its own all the same.
    async fn own_attempt(&self, word: RestoreTell) -> std::result::Result<u64, String> {
        let (schema, access, command) = (None, None, word);
        let proposal = Proposal { command, schema, access };
        let bytes = stamped(Space::SYSTEM, Actor::System, None, proposal);
        let mut tries = 1;
        let reply = loop {
            match self.platform.propose_at_leader(GROUP, bytes.clone()).await {
                Ok(reply) => break reply,
                Err(error) if tries == TRIES => return Err(error.detail),
                Err(error) => tracing::debug!(%error, "an attempt for a restore is asked for again"),
            }
            tries += 1;
            sleep(PAUSE).await;
        };
        let told: Answer<rows::Operation> = answer(&reply).map_err(|fault| internal(&fault).detail)?;
        let attempt = attempt_of(&told);
        told.result.map(|_| attempt).map_err(|refusal| refused(&refusal).detail)
    }

    /// Brings a tenant back. False: it is not missing any more, or is not to be there.
    async fn bring_home(&self, order: &Order, uid: u64, attempt: u64) -> std::result::Result<bool, String> {
        if self.still_missing(order.cell, uid).await?.is_none() {
            return Ok(false);
        }
        let (read, until) = (Arc::default(), order.until);
        let traffic = &self.platform.backups.traffic;
        for source in &order.sources {
            let wanted = Wanted { uid, until };
            let restored = replay::replay(&order.vault, source, &wanted, self.scratch(), &read).await;
            let Some(mut restored) = restored.map_err(|error| error.to_string())? else {
                continue;
            };
            // That took long.
            let Some(tenant) = self.still_missing(order.cell, uid).await? else {
                return Ok(false);
            };
            let file = restored.file.try_clone().map_err(|error| error.to_string())?;
            let arrival = Arrival::again(&self.platform, &tenant, attempt);
            let chunks = std::mem::take(&mut restored.chunks);
            let stored = Stored::new(&order.vault, source, uid, chunks, traffic, &read);
            let brought = arrival.bring(file, true, Some(&stored)).await;
            return match (self.stays(&arrival, &tenant, attempt).await, brought) {
                // Where nobody knows whether it was to be there, it is.
                (Ok(true) | Err(_), Ok(())) => Ok(true),
                (Ok(true), Err(error)) => Err(error.detail),
                (Ok(false), _) => Ok(false),
                (Err(why), Err(_)) => Err(why),
            };
        }
        Err("the backup has nothing of it".to_owned())
    }

    /// The directory as it is now: what was answered before is in it.
    async fn fresh_directory(&self) -> std::result::Result<Snapshot, String> {
        let mut tries = 1;
        while !self.platform.freshen_directory().await {
            if tries == TRIES {
                return Err("the directory cannot be asked whether the tenant is to be there".to_owned());
            }
            tries += 1;
            sleep(PAUSE).await;
        }
        self.platform.directory.read().map_err(|error| error.detail)
    }

    /// A tenant as the directory has it now, if it is placed in the cell and its space is still missing there.
    async fn still_missing(&self, cell: u64, uid: u64) -> std::result::Result<Option<Tenant>, String> {
        let directory = self.fresh_directory().await?;
        let Some(tenant) = missing::placed(&directory, cell, uid).map_err(|fault| internal(&fault).detail)? else {
            return Ok(None);
        };
        let gone = || "this node has no replica of the cell any more".to_owned();
        let replica = self.platform.cell(cell).ok_or_else(gone)?;
        replica.group.read_barrier().await.map_err(|error| barrier(error).detail)?;
        let is_missing = missing::is_missing(&directory, &replica.store.begin_read(), &tenant);
        Ok(is_missing.map_err(|fault| internal(&fault).detail)?.then_some(tenant))
    }

    async fn whereabouts(&self, tenant: &Tenant) -> std::result::Result<Whereabouts, String> {
        let directory = self.fresh_directory().await?;
        missing::whereabouts(&directory, tenant.cell, tenant.uid).map_err(|fault| internal(&fault).detail)
    }

    /// Whether what has come of a tenant's space, all of it or some, is to be there; else it is taken away. A tenant that is deleted later
    /// has its space there, and is erased as any other.
    async fn stays(&self, arrival: &Arrival<'_>, tenant: &Tenant, attempt: u64) -> std::result::Result<bool, String> {
        let is_elsewhere = match self.whereabouts(tenant).await? {
            Whereabouts::Here => return Ok(true),
            Whereabouts::Elsewhere => true,
            Whereabouts::Gone => false,
        };
        let (id, comes) = (tenant.id, false);
        let clear = SpaceClear {
            attempt,
            tenant: id,
            comes,
        };
        loop {
            match arrival.at_cell(Actor::System, clear).await {
                Ok(true) => return Ok(false),
                Ok(false) => {}
                // It is live: what is served is not cleared.
                Err(error) if error.code == Code::Contention => break,
                Err(error) => return Err(error.detail),
            }
        }
        if is_elsewhere && !self.departs(arrival, tenant, attempt).await? {
            return Ok(true);
        }
        let mut after = None;
        loop {
            let erase = SpaceErase { tenant: id, after };
            let erased = arrival.at_cell(Actor::System, erase).await.map_err(|error| error.detail)?;
            if erased.done {
                return Ok(false);
            }
            after = erased.last;
        }
    }

    /// Has a live space depart that is placed elsewhere. It is held first: nothing can bring the tenant back to it while the directory is
    /// asked for the last time. False: it is placed here after all.
    async fn departs(&self, arrival: &Arrival<'_>, tenant: &Tenant, attempt: u64) -> std::result::Result<bool, String> {
        let step = |turn| arrival.at_cell(Actor::System, SpaceTurn { attempt, turn });
        step(Turn::Hold).await.map_err(|error| error.detail)?;
        let is_here = self.whereabouts(tenant).await.map(|found| found == Whereabouts::Here);
        let turn = if is_here == Ok(false) { Turn::Depart } else { Turn::Release };
        step(turn).await.map_err(|error| error.detail)?;
        is_here.map(|is_here| !is_here)
    }
}

/// The attempt of a restore: the position that the directory had when it was told of it. No other word of a restore has it, and no move:
/// each is higher than all before.
fn attempt_of(told: &Answer<rows::Operation>) -> u64 {
    told.position
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::directory::move_begin::MoveBegin;
    use crate::directory::moves;
    use crate::directory::tenant_reserve::TenantReserve;
    use crate::machine::refusal::Refusal;
    use crate::machine::stage::Stage;
    use crate::placement::arrive::SpaceArrive;

    const TENANT: Uuid = Uuid::from_u128(1);

    fn attempt(directory: &mut Stage, operation: u128) -> u64 {
        let word = RestoreTell {
            operation: Uuid::from_u128(operation),
            is_of_cell: true,
            subject: "one".to_owned(),
            progress: 0,
            ended: None,
        };
        attempt_of(&directory.apply(word))
    }

    #[test]
    fn attempts_of_restores_and_of_moves_rise() {
        let mut directory = Stage::of(Space::SYSTEM);
        let reserve = TenantReserve {
            id: TENANT,
            slug: "acme".to_owned(),
            region: "one".to_owned(),
            cell: 2,
            dedicated: false,
            plan: "free".to_owned(),
            template: None,
        };
        let tenant = directory.apply(reserve).result.expect("entered");
        let before = attempt(&mut directory, 7);
        let begin = MoveBegin {
            slug: tenant.slug,
            to: 3,
            dedicated: false,
            operation: Uuid::from_u128(8),
        };
        directory.apply(begin).result.expect("begun");
        let moving = moves::read(&directory.snapshot(), tenant.uid)
            .expect("no fault")
            .expect("a move");
        let behind = attempt(&mut directory, 9);
        assert!(before < moving.attempt && moving.attempt < behind);
        assert!(behind < attempt(&mut directory, 9), "told again, it is another one");
    }

    #[test]
    fn what_another_restore_sends_is_refused_and_not_mixed_in() {
        // Both began when nothing was there.
        let mut directory = Stage::of(Space::SYSTEM);
        let [first, second] = [7, 8].map(|operation| attempt(&mut directory, operation));
        let mut cell = Stage::empty();
        let clear = |cell: &mut Stage, attempt| {
            let (tenant, comes) = (TENANT, true);
            cell.apply(SpaceClear { attempt, tenant, comes }).result
        };
        let chunk = |cell: &mut Stage, attempt, chunk| {
            let (rows, end) = (Vec::new(), None);
            let arrive = SpaceArrive {
                attempt,
                chunk,
                rows,
                end,
            };
            cell.apply(arrive).result
        };
        assert_eq!(clear(&mut cell, first), Ok(true));
        assert_eq!(chunk(&mut cell, first, 0), Ok(()));
        assert_eq!(clear(&mut cell, second), Ok(true));
        assert_eq!(chunk(&mut cell, second, 0), Ok(()));
        assert_eq!(chunk(&mut cell, first, 1), Err(Refusal::Stale));
        assert_eq!(clear(&mut cell, first), Err(Refusal::Stale));
        assert_eq!(chunk(&mut cell, second, 1), Ok(()));
    }
}
