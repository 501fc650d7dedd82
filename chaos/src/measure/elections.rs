//! Elections while everything works: imports as fast as they go, and who becomes leader meanwhile.
//!
//! Nobody should. Heartbeats that queue behind data, or threads that wait for a disk, would make followers believe that their
//! leader is gone. A machine that stands still for longer than that may: such stalls are watched for and set against each
//! election.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use rig::cluster::Cluster;
use rig::layout::Layout;
use rig::{import, tenant};
use serde::Serialize;

use crate::stop;
use crate::workload::{Controls, Seen, observe};

/// Imports at a time.
const IMPORTS: usize = 4;
/// Lines of one import.
const LINES: u64 = 50_000;
/// Imports into a tenant before it is deleted and another takes its place, so that the disk does not fill.
const PIECES: u64 = 6;
/// How long an import may take.
const IMPORT_WITHIN: Duration = Duration::from_secs(300);
/// How long the stall watcher sleeps at a time.
const WATCH: Duration = Duration::from_millis(5);
/// What counts as a stall of the machine.
const STALL_MS: u64 = 100;
/// A stall explains an election that was seen up to so long after it: an election timeout, the vote, and the observer's period.
const EXPLAINS_MS: u64 = 2_000;

/// A moment in which the machine stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stall {
    /// When it ended, in milliseconds since the load began.
    pub at_ms: u64,
    /// How long it was.
    pub for_ms: u64,
}

/// Somebody became leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Election {
    /// When it was seen, in milliseconds since the load began.
    pub at_ms: u64,
    /// The group.
    pub group: String,
    /// Its term.
    pub term: u64,
    /// The stall that explains it.
    pub stall: Option<Stall>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Records that were imported.
    pub imported: u64,
    /// Elections after the first of each group.
    pub elections: Vec<Election>,
    /// Stalls of the machine of more than 100 ms.
    pub stalls: Vec<Stall>,
}

impl Row {
    /// Elections that no stall explains.
    pub fn unexplained(&self) -> usize {
        self.elections.iter().filter(|one| one.stall.is_none()).count()
    }
}

/// Measures on a cluster of its own.
pub fn measure(binary: PathBuf, lasts: Duration) -> Result<Row> {
    let cluster = Cluster::up(rig::cluster::Options::new(Layout::one_region(crate::stage::NODES)?, binary))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let controls = Arc::new(Controls::default());
    let imported = AtomicU64::new(0);
    let watch = Watch::start(controls.clone())?;
    let start = Instant::now();
    let done = runtime.block_on(async {
        let (nodes, token) = (cluster.addresses(), cluster.operator_token().to_owned());
        let observer = tokio::spawn(observe(nodes, token, controls.clone()));
        let imports = (0..IMPORTS).map(|number| fill(&cluster, number, start + lasts, &imported));
        let done = try_join_all(imports).await;
        controls.stop();
        let _ = observer.await;
        done
    });
    controls.stop();
    let stalls = watch.end();
    done?;
    ensure!(!stop::is_asked(), "interrupted");
    Ok(Row {
        seconds: start.elapsed().as_secs_f64(),
        imported: imported.into_inner(),
        elections: elections(&controls.leaders(), &stalls),
        stalls,
    })
}

/// Fills tenant after tenant until it is time.
async fn fill(cluster: &Cluster, place: usize, until: Instant, imported: &AtomicU64) -> Result<()> {
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token())?;
    let lines = lines(place);
    for round in 0_u64.. {
        let slug = format!("elections-{place}-{round}");
        let made = tenant::create(cluster, &slug, Some("workspace")).await?;
        for piece in 0..PIECES {
            if Instant::now() >= until || stop::is_asked() {
                return Ok(());
            }
            let done = import::import(&made.client, &slug, "tasks", &format!("piece-{piece}"), &lines, IMPORT_WITHIN).await?;
            ensure!(
                done.summary.imported == LINES,
                "{slug}: {} of {LINES} lines were imported: {:?}",
                done.summary.imported,
                done.failures
            );
            imported.fetch_add(LINES, Ordering::Relaxed);
        }
        operator
            .tenant_delete(&slug)
            .await
            .with_context(|| format!("delete the tenant {slug}"))?;
    }
    Ok(())
}

fn lines(place: usize) -> Vec<u8> {
    let words = "the quick brown fox jumps over the lazy dog while seven wizards watch from a nearby hill and take notes ";
    (0..LINES)
        .flat_map(|number| {
            format!("{{\"title\":\"task {number} of {place}\",\"description\":\"{words}{words}\"}}\n").into_bytes()
        })
        .collect()
}

/// Looks whether this thread is run when it is due.
struct Watch {
    stalls: Arc<Mutex<Vec<Stall>>>,
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    fn start(controls: Arc<Controls>) -> Result<Self> {
        let (stalls, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, over) = (stalls.clone(), ended.clone());
        let thread = std::thread::Builder::new()
            .name("stalls".to_owned())
            .spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let before = Instant::now();
                    std::thread::sleep(WATCH);
                    let late = before.elapsed().saturating_sub(WATCH);
                    let for_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
                    if for_ms > STALL_MS {
                        let at_ms = controls.now_us() / 1_000;
                        seen.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(Stall { at_ms, for_ms });
                    }
                }
            })
            .context("start the watcher of stalls")?;
        Ok(Self { stalls, ended, thread })
    }

    fn end(self) -> Vec<Stall> {
        self.ended.store(true, Ordering::Relaxed);
        // A watcher that panicked has kept what it saw.
        let _ = self.thread.join();
        self.stalls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Every rise of a group's term after the first that was seen, with the stall before it.
fn elections(seen: &[Seen], stalls: &[Stall]) -> Vec<Election> {
    let mut terms = std::collections::BTreeMap::new();
    let mut all = Vec::new();
    for one in seen {
        let before = terms.insert(&one.group, one.term);
        if before.is_some_and(|term| one.term > term) {
            let at_ms = one.at_us / 1_000;
            let explains = |stall: &&Stall| stall.at_ms <= at_ms && at_ms - stall.at_ms <= EXPLAINS_MS;
            all.push(Election {
                at_ms,
                group: one.group.clone(),
                term: one.term,
                stall: stalls.iter().find(explains).copied(),
            });
        }
    }
    all
}

/// The row as a table.
pub fn table(row: &Row) -> String {
    let longest = row.stalls.iter().map(|stall| stall.for_ms).max().unwrap_or(0);
    format!(
        "| minutes | records imported | a second | elections | without a stall of the machine before | stalls over {STALL_MS} ms | the \
         longest, ms |\n|---|---|---|---|---|---|---|\n| {:.1} | {} | {:.0} | {} | {} | {} | {longest} |\n",
        row.seconds / 60.0,
        row.imported,
        row.imported as f64 / row.seconds,
        row.elections.len(),
        row.unexplained(),
        row.stalls.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at_ms: u64, group: &str, term: u64) -> Seen {
        Seen {
            at_us: at_ms * 1_000,
            group: group.to_owned(),
            leader: Some("a".to_owned()),
            term,
        }
    }

    #[test]
    fn an_election_is_a_higher_term_and_a_stall_before_it_explains_it() {
        let all = [
            seen(0, "cell", 4),
            seen(0, "directory", 1),
            seen(9_000, "cell", 5),
            seen(20_000, "cell", 6),
            seen(20_100, "cell", 6),
        ];
        let stall = Stall {
            at_ms: 8_500,
            for_ms: 700,
        };
        let found = elections(&all, &[stall]);
        assert_eq!(found.iter().map(|one| one.term).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(found.iter().map(|one| one.stall).collect::<Vec<_>>(), [Some(stall), None]);
    }
}
