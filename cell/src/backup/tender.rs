//! What the leader of a cell does for its backup: it archives what the log has got, and makes bases.
//!
//! The next round, here or at the next leader, sees from the cell's row what is left to do.

use std::sync::Arc;

use api::service::Timing;
use raft::EntriesError;
use storage::Space;
use uuid::Uuid;

use super::base::{self, Plan};
use super::keep::finished;
use super::manifest::{Manifest, Through};
use super::names::{BaseName, Line, SegmentName};
use super::segment::{READ_BYTES, Segment};
use super::turn::{Archived, BackupTurn, read};
use super::vault::{Vault, VaultError};
use crate::config::Backup;
use crate::machine::dispatch::answer;
use crate::machine::reader::Reader as _;
use crate::machine::rows::Actor;
use crate::node::platform::Platform;
use crate::node::replica::{Proposal, Replica};
use crate::records::time::now_micros;

/// How long a command may be on its way from its stamp to its place in the log: what is complete is said to be so only until so long ago, in
/// microseconds. More than proposals wait for room.
const SETTLE_MICROS: u64 = 5_000_000;
/// How often a base is told of, at most.
const TELLINGS: usize = 10;
/// Positions with nothing of a tenant that wait for a segment, at most.
const IDLE_ENTRIES: u64 = 1_000;

/// Looks after the backup of one cell.
#[derive(Clone)]
pub(super) struct Tender {
    pub(super) platform: Arc<Platform>,
    pub(super) backup: Arc<Backup>,
    pub(super) replica: Arc<Replica>,
}

impl Tender {
    /// Tells of a task that has ended; whether it did what it should.
    pub(super) fn heard(&self, what: &str, ended: &Result<(), VaultError>) -> bool {
        let Err(error) = ended else { return true };
        // Without the lead it is for somebody else.
        if self.replica.group.is_leader() {
            let (number, name) = (self.replica.number, &self.replica.name);
            self.platform.backups.failed(number, name, &format!("{what}: {error}"));
            tracing::warn!(cell = %name, %error, "could not {what} for the backup; it is tried again");
        }
        false
    }

    pub(super) fn archived(&self) -> Result<Option<Archived>, VaultError> {
        read(&self.replica.store.begin_read()).map_err(|fault| VaultError::Source(fault.to_string()))
    }

    fn line(&self, archived: &Archived) -> Line {
        Line {
            cell: self.replica.number,
            id: archived.line,
        }
    }

    /// Archives what the log has got since the last round. `goes_on`: without chunks of files that cannot be had.
    pub(super) async fn round(self, goes_on: bool) -> Result<(), VaultError> {
        let vault = Vault::open(&self.backup.store, &self.platform.backups.bounds).await?;
        let began = now_micros();
        // Who is not the leader any more finds out here, and everything that was answered is applied.
        let barrier = self.replica.group.read_barrier().await;
        barrier.map_err(|error| VaultError::Source(error.to_string()))?;
        let before = match self.archived()? {
            Some(archived) => archived,
            None => self.begin().await?,
        };
        let (line, target) = (self.line(&before), self.replica.group.applied());
        let keeper = self.keeper(&vault, line);
        let (mut now, mut index, mut seen) = (before, before.index, before.index);
        while seen < target {
            let read = match self.replica.group.entries(seen + 1, READ_BYTES).await {
                Ok(read) => read,
                Err(EntriesError::Purged { .. }) => return self.skip(before).await,
                Err(error) => return Err(VaultError::Source(error.to_string())),
            };
            seen = read.last;
            let first = index + 1;
            let made = tokio::task::spawn_blocking(move || Segment::of_log(first, read.last, &read.entries));
            let made = made.await.map_err(|error| VaultError::Source(error.to_string()))?;
            let (segment, named) = made.map_err(VaultError::Source)?;
            if !segment.is_idle() || seen - index > IDLE_ENTRIES {
                let has_chunks = !named.is_empty();
                if has_chunks {
                    let name = SegmentName { first, last: seen };
                    self.archive_chunks(&keeper, name, named, goes_on).await?;
                }
                self.put(&vault, line, segment).await?;
                index = seen;
                if has_chunks {
                    // That was long work: the next round need not do it again.
                    now = self.turn(before.line, index, false, None).await?;
                }
            }
        }
        if index > now.index {
            now = self.turn(before.line, index, false, None).await?;
        }
        let through = Through {
            index: seen,
            stamp: began.saturating_sub(SETTLE_MICROS),
        };
        vault.put(&line.head(), through.encode()).await?;
        self.platform.backups.done(self.replica.number, began, seen, now.base_stamp);
        Ok(())
    }

    /// Begins the line of a cell that has none. What its log had before is in its first base.
    async fn begin(&self) -> Result<Archived, VaultError> {
        let begun = self.turn(Uuid::now_v7(), self.replica.group.applied(), true, None).await?;
        tracing::info!(cell = %self.replica.name, line = %begun.line, place = %self.backup.store.place, "the cell is backed up from now on");
        Ok(begun)
    }

    /// Log that was to be archived is gone: a new base takes its place.
    async fn skip(&self, before: Archived) -> Result<(), VaultError> {
        let index = self.replica.group.applied();
        tracing::warn!(
            cell = %self.replica.name,
            from = before.index,
            to = index,
            "log was purged before it was archived: times in between cannot be restored; a new base is made"
        );
        self.turn(before.line, index, true, None).await?;
        Ok(())
    }

    async fn put(&self, vault: &Vault, line: Line, segment: Segment) -> Result<(), VaultError> {
        let (first, last) = (segment.head.first, segment.head.last);
        let name = line.segment(SegmentName { first, last });
        let encoded = tokio::task::spawn_blocking(move || segment.encode()).await;
        let encoded = encoded.map_err(|error| VaultError::Source(error.to_string()))?;
        let bytes = encoded.map_err(|error| VaultError::Source(error.to_string()))?;
        let length = bytes.len();
        vault.put_new(&name, bytes).await?;
        self.platform.backups.wrote(&self.replica.name, length);
        Ok(())
    }

    /// Says in the cell how far it is; how far it is then.
    async fn turn(&self, line: Uuid, index: u64, is_gap: bool, base: Option<(u64, u64)>) -> Result<Archived, VaultError> {
        let command = BackupTurn {
            line,
            index,
            is_gap,
            base,
        };
        let proposal = Proposal {
            command,
            schema: None,
            access: None,
        };
        let told = self
            .replica
            .propose(Space::SYSTEM, Actor::System, None, proposal, &Timing::default())
            .await;
        let bytes = told.map_err(|error| VaultError::Source(error.detail))?;
        let answer = answer::<Archived>(&bytes).map_err(|fault| VaultError::Source(fault.to_string()))?;
        let gone = |refusal| VaultError::Source(format!("another leader has archived on: {refusal:?}"));
        answer.result.map_err(gone)
    }

    /// Whether a base is to be made: the newest is old, or the log does not go on from it.
    pub(super) fn base_is_due(&self) -> bool {
        let Ok(Some(archived)) = self.archived() else { return false };
        let every = self.backup.base_every_seconds.saturating_mul(1_000_000);
        now_micros() >= archived.base_stamp.saturating_add(every)
    }

    /// Whether tenants that were on their way into the cell when the last base was made have come, or will not: what the log has of them behind
    /// that base is not all of them, so that they are in no backup before the next one.
    pub(super) fn have_come(&self, coming: &[u64]) -> bool {
        let snapshot = self.replica.store.begin_read();
        let is_settled = |uid: &u64| match snapshot.placed(Space(*uid)) {
            Ok(placed) => placed.is_none_or(|(_, place)| !base::is_coming(place)),
            // Whoever reads it for the base says what is wrong.
            Err(_) => true,
        };
        !coming.is_empty() && coming.iter().all(is_settled)
    }

    /// Who was on the way into the cell when the last base was made, as its manifest says.
    pub(super) async fn look_back(self) -> Result<Vec<u64>, VaultError> {
        let Some(archived) = self.archived()? else {
            return Ok(Vec::new());
        };
        let vault = Vault::open(&self.backup.store, &self.platform.backups.bounds).await?;
        let line = self.line(&archived);
        let bases = finished(line, &vault.list(&line.bases()).await?);
        let Some(newest) = bases.last() else { return Ok(Vec::new()) };
        let name = line.manifest(*newest);
        let manifest = Manifest::decode(&vault.get(&name).await?).map_err(VaultError::content(&name))?;
        Ok(manifest.coming)
    }

    /// Makes a base; who was on the way into the cell.
    pub(super) async fn base(self) -> Result<Vec<u64>, VaultError> {
        let vault = Vault::open(&self.backup.store, &self.platform.backups.bounds).await?;
        let barrier = self.replica.group.read_barrier().await;
        barrier.map_err(|error| VaultError::Source(error.to_string()))?;
        let snapshot = self.replica.store.begin_read();
        if snapshot.replaying_until().is_some() {
            let why = "the replica has not caught up with its log yet";
            return Err(VaultError::Source(why.to_owned()));
        }
        let stamp = now_micros();
        let Some(archived) = self.archived()? else {
            return Ok(Vec::new());
        };
        let (line, index) = (self.line(&archived), snapshot.mark().index);
        let plan = Plan {
            line,
            name: BaseName {
                index,
                attempt: Uuid::now_v7(),
            },
            cell: self.replica.name.to_string(),
            region: self.platform.me.region.clone(),
            stamp,
        };
        let (written, holdings) = base::write(&self.keeper(&vault, line), plan, snapshot).await?;
        self.lacked(holdings.missing);
        self.tell_base(archived, (index, written.stamp)).await?;
        tracing::info!(cell = %self.replica.name, index, "made a base of the backup");
        Ok(written.coming)
    }

    /// Says in the cell that there is a base. Segments are told of meanwhile.
    async fn tell_base(&self, mut now: Archived, base: (u64, u64)) -> Result<(), VaultError> {
        let mut told = Ok(());
        for _ in 0..TELLINGS {
            now = self.archived()?.unwrap_or(now);
            match self.turn(now.line, now.index, false, Some(base)).await {
                Ok(_) => return Ok(()),
                Err(error) => told = Err(error),
            }
            if !self.replica.group.is_leader() {
                break;
            }
        }
        told
    }
}
