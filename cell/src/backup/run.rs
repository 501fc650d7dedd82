//! When a leader works at the backups of its cells: rounds, bases and sweeps, each in a task of its own, none of which holds up another.
//!
//! What is done is in `tender` and `sweep`. It can stop anywhere, and nothing of the cell waits for it. What fails is tried again, less and less
//! often up to a bound.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::tender::Tender;
use super::vault::VaultError;
use crate::directory::GROUP;
use crate::node::platform::Platform;
use crate::node::replica::Replica;

/// Between two looks at who leads what.
const LOOK: Duration = Duration::from_millis(500);
/// The longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Between two looks for what nobody needs.
const SWEEP: Duration = Duration::from_secs(3_600);

/// So many rounds in turn wait for chunks of files that no replica can give; the next one goes on without them.
const LACKING_ROUNDS: u32 = 3;

/// What goes on for one cell.
#[derive(Default)]
struct Work {
    round: Option<JoinHandle<Result<(), VaultError>>>,
    base: Option<JoinHandle<Result<Vec<u64>, VaultError>>>,
    sweep: Option<JoinHandle<Result<(), VaultError>>>,
    /// When the next round begins; none: now.
    next: Option<Instant>,
    next_base: Option<Instant>,
    next_sweep: Option<Instant>,
    failures: u32,
    /// Rounds that have waited for chunks.
    lacking: u32,
    /// Who was on the way into the cell when the last base was made; none: this leader does not know yet.
    coming: Option<Vec<u64>>,
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
        let tasks = [&self.round, &self.sweep].into_iter().flatten();
        let is_basing = self.base.as_ref().is_some_and(|task| !task.is_finished());
        is_basing || tasks.into_iter().any(|task| !task.is_finished())
    }

    /// Begins what is due, and hears of what has ended.
    async fn tend(&mut self, tender: &Tender) {
        let every = Duration::from_secs(tender.backup.every_seconds);
        if let Some(ended) = ended(&mut self.round).await {
            self.lacking = match &ended {
                Ok(()) => 0,
                Err(VaultError::Lacking { .. }) => self.lacking + 1,
                Err(_) => self.lacking,
            };
            self.failures = if tender.heard("archive the log", &ended) {
                0
            } else {
                self.failures + 1
            };
            let pause = every.saturating_mul(1 << self.failures.min(6)).min(PAUSE_MAX.max(every));
            self.next = Some(Instant::now() + if self.failures == 0 { every } else { pause });
        }
        if let Some(ended) = ended(&mut self.base).await {
            let pause = match ended {
                Ok(coming) => {
                    self.coming = Some(coming);
                    every
                }
                Err(error) => {
                    tender.heard("make a base", &Err(error));
                    PAUSE_MAX
                }
            };
            self.next_base = Some(Instant::now() + pause);
        }
        if let Some(ended) = ended(&mut self.sweep).await {
            tender.heard("remove what nobody needs", &ended);
            self.next_sweep = Some(Instant::now() + SWEEP);
        }
        let is_due = |at: Option<Instant>| at.is_none_or(|at| at <= Instant::now());
        if self.round.is_none() && is_due(self.next) {
            self.round = Some(tokio::spawn(tender.clone().round(self.lacking >= LACKING_ROUNDS)));
        }
        // A base looks for chunks that a sweep may be removing.
        if self.base.is_none() && self.sweep.is_none() && is_due(self.next_base) {
            self.base = match &self.coming {
                _ if tender.base_is_due() => Some(tokio::spawn(tender.clone().base())),
                None => Some(tokio::spawn(tender.clone().look_back())),
                Some(coming) if tender.have_come(coming) => Some(tokio::spawn(tender.clone().base())),
                Some(_) => None,
            };
        }
        if self.sweep.is_none() && self.base.is_none() && is_due(self.next_sweep) {
            self.sweep = Some(tokio::spawn(tender.clone().sweep()));
        }
    }
}

/// What has become of a task, once it has ended.
async fn ended<T>(task: &mut Option<JoinHandle<Result<T, VaultError>>>) -> Option<Result<T, VaultError>> {
    let ended = task.take_if(|task| task.is_finished())?;
    Some(match ended.await {
        Ok(ended) => ended,
        Err(error) => Err(VaultError::Source(error.to_string())),
    })
}
