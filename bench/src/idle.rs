//! What costs something while nobody asks for anything: a thousand empty tenants (time to create, memory, disk, processor time), and
//! many cells (processor time, memory).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rig::cluster::Cluster;
use rig::layout::Layout;
use rig::probe::{cpu_seconds, resident_bytes};
use rig::tenant;

use crate::bulk::settled;
use crate::report::{MEMORY_MIB, Measured, Row};
use crate::scaling::{fill, memory_mib};
use crate::setup::{self, ClusterArgs};

/// Most that a node with twenty idle cells should take of a core, in percent.
const CELLS_AIM_PERCENT: f64 = 8.0;
/// The cells of the aim.
const CELLS_OF_AIM: usize = 20;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Empty tenants; 0: leave them out
    #[arg(long, default_value_t = 1_000)]
    pub tenants: usize,
    /// Idle cells on the same nodes, in a cluster of their own; 0: leave them out
    #[arg(long, default_value_t = 20)]
    pub cells: usize,
    /// Seconds for which idle nodes are watched
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Runs, each with a cluster of its own
    #[arg(long, default_value_t = 1)]
    pub runs: usize,
}

/// Measures both, each run with a cluster of its own. A row for each that is not left out.
pub fn run(args: &ClusterArgs, size: &Size) -> Result<Vec<Row>> {
    ensure!(size.seconds > 0, "idle nodes have to be watched for a second at least");
    let (mut empty, mut idle) = (Row::default(), Row::default());
    for run in 0..size.runs {
        if size.tenants > 0 {
            let row = with_cluster(args, 1, &format!("tenants-{run}"), async |cluster| {
                measure(cluster, size.tenants, size.seconds).await
            });
            empty = empty.and(row?);
        }
        if size.cells > 0 {
            let row = with_cluster(args, size.cells, &format!("cells-{run}"), async |cluster| {
                cells(cluster, size.cells, size.seconds).await
            });
            idle = idle.and(row?);
        }
    }
    Ok([empty, idle].into_iter().filter(|row| !row.runs.is_empty()).collect())
}

/// Starts a cluster of so many cells, measures, and ends it. `name`: no other of the run has it.
fn with_cluster(args: &ClusterArgs, cells: usize, name: &str, work: impl AsyncFnOnce(&Cluster) -> Result<Row>) -> Result<Row> {
    let mut cluster = setup::start_as(layout(args.nodes, cells)?, &args.beside(name))?;
    let row = setup::runtime()?.block_on(work(&cluster)).with_context(|| cluster.tails())?;
    cluster.stop()?;
    Ok(row)
}

/// Creates `tenants` tenants without collections, one after the other, and watches for `seconds` before and after. One row; its rate
/// is tenants a second.
async fn measure(cluster: &Cluster, tenants: usize, seconds: u64) -> Result<Row> {
    let watch = Duration::from_secs(seconds);
    let (memory_before, disk_before) = (memory(cluster)?, settled(cluster).await?);
    let idle_before = idle_percent(cluster, watch).await?;
    let started = Instant::now();
    for number in 0..tenants {
        tenant::create(cluster, &format!("idle-{number}"), None).await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let (memory_after, disk_after) = (memory(cluster)?, settled(cluster).await?);
    let idle_after = idle_percent(cluster, watch).await?;
    let nodes = cluster.nodes().len() as f64;
    let mut measured = Measured {
        rate: tenants as f64 / seconds,
        seconds,
        ..Measured::default()
    };
    let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    let more = [
        ("seconds for all", seconds),
        ("MiB of memory a node before", mib(memory_before) / nodes),
        ("MiB of memory a node after", mib(memory_after) / nodes),
        (
            "KiB of memory a tenant and node",
            mib(memory_after.saturating_sub(memory_before)) * 1024.0 / tenants as f64 / nodes,
        ),
        (
            "MiB of store a node, growth",
            mib(disk_after.store_bytes.saturating_sub(disk_before.store_bytes)) / nodes,
        ),
        (
            "MiB of log a node, growth",
            mib(disk_after.log_bytes.saturating_sub(disk_before.log_bytes)) / nodes,
        ),
        ("% of a core a node when idle, before", idle_before),
        ("% of a core a node when idle, after", idle_after),
    ];
    measured.more.extend(more.map(|(name, value)| (name.to_owned(), value)));
    let title = format!("{tenants} empty tenants");
    println!("{title}: {:#?}", measured.more);
    Ok(Row::new(&title, None, vec![measured]))
}

/// One region with so many shared cells on the same nodes.
fn layout(nodes: usize, cells: usize) -> Result<Layout> {
    ensure!(cells > 0, "a region has a cell");
    let mut layout = Layout::one_region(nodes)?;
    layout.shared = cells;
    Ok(layout)
}

/// What a node takes while nobody asks any of its cells. Each cell has a tenant with a record: one that nobody has ever written to might
/// be cheaper than those that users have. One row, without a rate. Besides the cells there is the directory.
async fn cells(cluster: &Cluster, cells: usize, seconds: u64) -> Result<Row> {
    let filled = fill::fill(cluster, cells, cells as u64).await?;
    fill::spread_over(cluster, &filled.places, cells).await?;
    settled(cluster).await?;
    let percent = idle_percent(cluster, Duration::from_secs(seconds)).await?;
    let mut measured = Measured {
        seconds: seconds as f64,
        ..Measured::default()
    };
    measured
        .more
        .insert(format!("% of a core a node with {cells} idle cells"), percent);
    measured.more.insert(MEMORY_MIB.to_owned(), memory_mib(cluster)?);
    let aim = match cells {
        CELLS_OF_AIM => format!(" (aim: {CELLS_AIM_PERCENT} %)"),
        _ => String::new(),
    };
    println!("{cells} idle cells: {percent:.2} % of a core a node{aim}");
    Ok(Row::new(&format!("{cells} idle cells"), None, vec![measured]))
}

fn memory(cluster: &Cluster) -> Result<u64> {
    cluster.pids()?.into_iter().map(resident_bytes).sum()
}

/// Percent of a core that a node takes while nobody asks.
async fn idle_percent(cluster: &Cluster, watch: Duration) -> Result<f64> {
    let pids = cluster.pids()?;
    let used = || pids.iter().map(|pid| cpu_seconds(*pid)).sum::<Result<f64>>();
    let (before, started) = (used()?, Instant::now());
    tokio::time::sleep(watch).await;
    let after = used().context("read the processor time again")?;
    Ok((after - before) / started.elapsed().as_secs_f64() / pids.len() as f64 * 100.0)
}
