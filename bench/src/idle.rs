//! What a thousand empty tenants cost: time to create, memory, disk, and processor time while nobody asks for anything.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rig::cluster::Cluster;
use rig::probe::{cpu_seconds, resident_bytes};
use rig::tenant;

use crate::bulk::settled;
use crate::report::{Measured, Row};

/// How long the idle cluster is watched.
const WATCH: Duration = Duration::from_secs(10);

/// Creates `tenants` tenants without collections, one after the other. One row; its rate is tenants a second.
pub async fn measure(cluster: &Cluster, tenants: usize) -> Result<Row> {
    let (memory_before, disk_before) = (memory(cluster)?, settled(cluster).await?);
    let idle_before = idle_percent(cluster).await?;
    let started = Instant::now();
    for number in 0..tenants {
        tenant::create(cluster, &format!("idle-{number}"), None).await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let (memory_after, disk_after) = (memory(cluster)?, settled(cluster).await?);
    let idle_after = idle_percent(cluster).await?;
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

fn memory(cluster: &Cluster) -> Result<u64> {
    cluster.pids()?.into_iter().map(resident_bytes).sum()
}

/// Percent of a core that a node takes while nobody asks.
async fn idle_percent(cluster: &Cluster) -> Result<f64> {
    let pids = cluster.pids()?;
    let used = || pids.iter().map(|pid| cpu_seconds(*pid)).sum::<Result<f64>>();
    let (before, started) = (used()?, Instant::now());
    tokio::time::sleep(WATCH).await;
    let after = used().context("read the processor time again")?;
    Ok((after - before) / started.elapsed().as_secs_f64() / pids.len() as f64 * 100.0)
}
