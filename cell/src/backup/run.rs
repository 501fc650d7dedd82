//! What the leader of a cell does for its backup: it archives what the log has got, makes bases, and removes what nobody needs.
//!
//! It can stop anywhere, and nothing of the cell waits for it: the next round, here or at the next leader, sees from the cell's row and from
//! the store what is left to do. What fails is tried again, less and less often up to a bound.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::service::Timing;
use raft::EntriesError;
use storage::Space;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::base::{self, Plan};
use super::keep::{Whole, finished, oldest_needed, superfluous};
use super::manifest::{Manifest, Through};
use super::names::{self, BaseName, Line, SegmentName};
use super::segment::{READ_BYTES, Segment};
use super::turn::{Archived, BackupTurn, read};
use super::vault::{Vault, VaultError};
use crate::config::Backup;
use crate::directory::GROUP;
use crate::machine::dispatch::answer;
use crate::machine::rows::Actor;
use crate::node::platform::Platform;
use crate::node::replica::{Proposal, Replica};
use crate::records::time::now_micros;

/// Between two looks at who leads what.
const LOOK: Duration = Duration::from_millis(500);
/// The longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long a command may be on its way from its stamp to its place in the log: what is complete is said to be so only until so long ago, in
/// microseconds. More than proposals wait for room.
pub(crate) const SETTLE_MICROS: u64 = 5_000_000;
/// Between two looks for what nobody needs.
const SWEEP: Duration = Duration::from_secs(3_600);
/// How often a base is told of, at most.
const TELLINGS: usize = 10;
/// Positions with nothing of a tenant that wait for a segment, at most.
const IDLE_ENTRIES: u64 = 1_000;
const DAY_MICROS: u64 = 24 * 3_600 * 1_000_000;

/// What goes on for one cell.
#[derive(Default)]
struct Work {
    round: Option<JoinHandle<Result<(), VaultError>>>,
    base: Option<JoinHandle<Result<(), VaultError>>>,
    sweep: Option<JoinHandle<Result<(), VaultError>>>,
    /// When the next round begins; none: now.
    next: Option<Instant>,
    next_base: Option<Instant>,
    next_sweep: Option<Instant>,
    failures: u32,
}

/// Archives the cells that this node leads, for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    let Some(backup) = platform.config.backup(&platform.me.region).cloned() else {
        return;
    };
    let backup = Arc::new(backup);
    let mut works: BTreeMap<u64, Work> = BTreeMap::new();
    loop {
        let led: Vec<Arc<Replica>> = platform
            .replicas()
            .filter(|replica| replica.number != GROUP && replica.group.is_leader())
            .collect();
        let numbers: Vec<u64> = led.iter().map(|replica| replica.number).collect();
        works.retain(|cell, work| numbers.contains(cell) || work.is_busy());
        platform.backups.retain(&numbers);
        for replica in led {
            platform.backups.leads(replica.number, &replica.name);
            let work = works.entry(replica.number).or_default();
            let tender = Tender {
                platform: Arc::clone(&platform),
                backup: Arc::clone(&backup),
                replica,
            };
            work.tend(&tender).await;
        }
        sleep(LOOK).await;
    }
}

impl Work {
    fn is_busy(&self) -> bool {
        let tasks = [&self.round, &self.base, &self.sweep];
        tasks.into_iter().flatten().any(|task| !task.is_finished())
    }

    /// Begins what is due, and hears of what has ended.
    async fn tend(&mut self, tender: &Tender) {
        let every = Duration::from_secs(tender.backup.every_seconds);
        if let Some(ended) = ended(&mut self.round).await {
            self.failures = if tender.heard("archive the log", &ended) {
                0
            } else {
                self.failures + 1
            };
            let pause = every.saturating_mul(1 << self.failures.min(6)).min(PAUSE_MAX.max(every));
            self.next = Some(Instant::now() + if self.failures == 0 { every } else { pause });
        }
        if let Some(ended) = ended(&mut self.base).await {
            let pause = if tender.heard("make a base", &ended) {
                every
            } else {
                PAUSE_MAX
            };
            self.next_base = Some(Instant::now() + pause);
        }
        if let Some(ended) = ended(&mut self.sweep).await {
            tender.heard("remove what nobody needs", &ended);
            self.next_sweep = Some(Instant::now() + SWEEP);
        }
        let is_due = |at: Option<Instant>| at.is_none_or(|at| at <= Instant::now());
        if self.round.is_none() && is_due(self.next) {
            self.round = Some(tokio::spawn(tender.clone().round()));
        }
        if self.base.is_none() && is_due(self.next_base) && tender.base_is_due() {
            self.base = Some(tokio::spawn(tender.clone().base()));
        }
        if self.sweep.is_none() && is_due(self.next_sweep) {
            self.sweep = Some(tokio::spawn(tender.clone().sweep()));
        }
    }
}

/// What has become of a task, once it has ended.
async fn ended(task: &mut Option<JoinHandle<Result<(), VaultError>>>) -> Option<Result<(), VaultError>> {
    let ended = task.take_if(|task| task.is_finished())?;
    Some(match ended.await {
        Ok(ended) => ended,
        Err(error) => Err(VaultError::Source(error.to_string())),
    })
}

/// Looks after the backup of one cell.
#[derive(Clone)]
struct Tender {
    platform: Arc<Platform>,
    backup: Arc<Backup>,
    replica: Arc<Replica>,
}

impl Tender {
    /// Tells of a task that has ended; whether it did what it should.
    fn heard(&self, what: &str, ended: &Result<(), VaultError>) -> bool {
        let Err(error) = ended else { return true };
        // Without the lead it is for somebody else.
        if self.replica.group.is_leader() {
            let (number, name) = (self.replica.number, &self.replica.name);
            self.platform.backups.failed(number, name, &format!("{what}: {error}"));
            tracing::warn!(cell = %name, %error, "could not {what} for the backup; it is tried again");
        }
        false
    }

    fn archived(&self) -> Result<Option<Archived>, VaultError> {
        read(&self.replica.store.begin_read()).map_err(|fault| VaultError::Source(fault.to_string()))
    }

    fn line(&self, archived: &Archived) -> Line {
        Line {
            cell: self.replica.number,
            id: archived.line,
        }
    }

    /// Archives what the log has got since the last round.
    async fn round(self) -> Result<(), VaultError> {
        let vault = Vault::open(&self.backup, &self.platform.backups.requests).await?;
        let began = now_micros();
        // Who is not the leader any more finds out here, and everything that was answered is applied.
        let barrier = self.replica.group.read_barrier().await;
        barrier.map_err(|error| VaultError::Source(error.to_string()))?;
        let before = match self.archived()? {
            Some(archived) => archived,
            None => self.begin().await?,
        };
        let (line, target) = (self.line(&before), self.replica.group.applied());
        let (mut index, mut seen) = (before.index, before.index);
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
            let segment = made.map_err(VaultError::Source)?;
            if !segment.is_idle() || seen - index > IDLE_ENTRIES {
                self.put(&vault, line, segment).await?;
                index = seen;
            }
        }
        let mut now = before;
        if index > before.index {
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
        tracing::info!(cell = %self.replica.name, line = %begun.line, place = %self.backup.store, "the cell is backed up from now on");
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
    fn base_is_due(&self) -> bool {
        let Ok(Some(archived)) = self.archived() else { return false };
        let every = self.backup.base_every_seconds.saturating_mul(1_000_000);
        now_micros() >= archived.base_stamp.saturating_add(every)
    }

    /// Makes a base.
    async fn base(self) -> Result<(), VaultError> {
        let vault = Vault::open(&self.backup, &self.platform.backups.requests).await?;
        let stamp = now_micros();
        let barrier = self.replica.group.read_barrier().await;
        barrier.map_err(|error| VaultError::Source(error.to_string()))?;
        let snapshot = self.replica.store.begin_read();
        if snapshot.replaying_until().is_some() {
            let why = "the replica has not caught up with its log yet";
            return Err(VaultError::Source(why.to_owned()));
        }
        let Some(archived) = self.archived()? else { return Ok(()) };
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
        let name = Arc::clone(&self.replica.name);
        let backups = Arc::clone(&self.platform);
        base::write(&vault, plan, snapshot, move |bytes| backups.backups.wrote(&name, bytes)).await?;
        self.tell_base(archived, (index, stamp)).await?;
        tracing::info!(cell = %self.replica.name, index, "made a base of the backup");
        Ok(())
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

    /// Removes what is not needed for any time that is kept, in all lines of the cell.
    async fn sweep(self) -> Result<(), VaultError> {
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
