//! Elections while everything works: imports as fast as they go, and who becomes leader meanwhile.
//!
//! Nobody should. Heartbeats that queue behind data, or threads that wait for a disk, would make followers believe that their
//! leader is gone. A machine that stands still for longer than that may: such stalls are watched for and set against each
//! election.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use api::client::Client;
use api::ids::Id;
use futures_util::future::try_join_all;
use rig::cluster::Cluster;
use rig::layout::Layout;
use rig::{import, tenant};
use serde::Serialize;

use crate::elections::{Election, elections};
use crate::stalls::{STALL_MS, Stall, Watch};
use crate::stop;
use crate::workload::{Controls, observe};

/// Imports at a time.
const IMPORTS: usize = 4;
/// Lines of one import.
const LINES: u64 = 50_000;
/// Imports into a tenant before it is deleted and another takes its place, so that the disk does not fill.
const PIECES: u64 = 6;
/// How often it is looked whether a deletion is done.
const LOOK: Duration = Duration::from_millis(100);
/// How long an import may take.
const IMPORT_WITHIN: Duration = Duration::from_secs(300);

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
    let mut erasing = None;
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
        // Erasing goes on beside the next tenant's imports, but no further behind: the disk would fill.
        if let Some(before) = erasing {
            erased(&operator, before, until).await?;
        }
        let deletion = operator.tenant_delete(&slug).await;
        erasing = Some(deletion.with_context(|| format!("delete the tenant {slug}"))?.body.id);
    }
    Ok(())
}

/// Waits until a deletion is done, or until it is time to end.
async fn erased(operator: &Client, deletion: Id, until: Instant) -> Result<()> {
    while Instant::now() < until && !stop::is_asked() {
        let operation = operator.operation(deletion).await.context("look after a deletion")?;
        match operation.body.status.as_str() {
            "done" => return Ok(()),
            "running" => tokio::time::sleep(LOOK).await,
            other => bail!("a deletion is {other}: {:?}", operation.body.error),
        }
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
