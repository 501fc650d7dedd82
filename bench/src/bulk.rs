//! W5: a million records through the import endpoint, over several connections, and what they take on disk.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rig::cluster::Cluster;
use rig::import;
use rig::probe::{DiskUse, disk_use};
use rig::tenant::Tenant;

use crate::report::{Measured, Row};
use crate::setup;
use crate::tasks::{BODY_BYTES, COLLECTION, write_line};

/// Records of one import request. Each is an import of its own, so that a broken one costs no more than this.
const REQUEST_RECORDS: u64 = 25_000;
/// How long one request may take, repetitions included.
const REQUEST_WITHIN: Duration = Duration::from_secs(600);
/// Between two looks at the disk.
const LOOK: Duration = Duration::from_millis(500);
/// Looks without a change after which the stores count as settled.
const SETTLED_LOOKS: u32 = 6;
/// Longest wait for the stores to settle.
const SETTLE_WITHIN: Duration = Duration::from_secs(90);

/// Imports `records` records over `connections` connections. One row: rate, processor time, fsyncs, bytes on disk.
pub async fn import_many(cluster: &Cluster, tenant: &Tenant, records: u64, connections: u64, run: usize) -> Result<Row> {
    let probe = setup::probe(cluster)?;
    let disk_before = settled(cluster).await?;
    let before = probe.sample()?;
    let started = Instant::now();
    let gaps = tokio::task::LocalSet::new()
        .run_until(all_shares(cluster, tenant, records, connections, run))
        .await?;
    let seconds = started.elapsed().as_secs_f64();
    let after = probe.sample()?;
    let disk_after = settled(cluster).await?;
    let per_record = |bytes: u64, old: u64| bytes.saturating_sub(old) as f64 / records as f64 / cluster.nodes().len() as f64;
    let mut measured = Measured {
        rate: records as f64 / seconds,
        seconds,
        ..Measured::default()
    };
    measured.longest_gap_ms = gaps.iter().max().map(|gap| gap.as_secs_f64() * 1e3);
    measured.cpu_micros = Some((after.cpu_seconds - before.cpu_seconds) * 1e6 / records as f64);
    measured.fsyncs = after
        .fsyncs
        .zip(before.fsyncs)
        .map(|(after, before)| after.saturating_sub(before) as f64 / records as f64);
    measured.more.insert(
        "log bytes a record and node".to_owned(),
        per_record(disk_after.log_bytes, disk_before.log_bytes),
    );
    measured.more.insert(
        "store bytes a record and node".to_owned(),
        per_record(disk_after.store_bytes, disk_before.store_bytes),
    );
    let title = format!("W5 import of {records} records over {connections} connections");
    println!("{title}: {:.0} records/s, {:?}", measured.rate, measured.more);
    Ok(Row::new(&title, Some(usize::try_from(connections)?), vec![measured]))
}

/// Every connection at once, on this thread.
async fn all_shares(cluster: &Cluster, tenant: &Tenant, records: u64, connections: u64, run: usize) -> Result<Vec<Duration>> {
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..connections {
        tasks.spawn_local(share(cluster, tenant, records, connections, connection, run));
    }
    let mut gaps = Vec::new();
    while let Some(done) = tasks.join_next().await {
        gaps.push(done.context("join an import")??);
    }
    Ok(gaps)
}

/// One connection's part of the records, request by request; returns the longest pause between lines of progress.
fn share(
    cluster: &Cluster,
    tenant: &Tenant,
    records: u64,
    connections: u64,
    connection: u64,
    run: usize,
) -> impl Future<Output = Result<Duration>> + use<> {
    // Each connection begins at another node, and has connections of its own.
    let mut addresses = cluster.addresses();
    let turn = usize::try_from(connection).unwrap_or(0) % addresses.len();
    addresses.rotate_left(turn);
    let (slug, token) = (tenant.slug.clone(), tenant.token.clone());
    let (first, end) = (records * connection / connections, records * (connection + 1) / connections);
    async move {
        let client = rig::tenant::client(&addresses, &token)?;
        let mut longest = Duration::ZERO;
        let mut from = first;
        while from < end {
            let to = end.min(from + REQUEST_RECORDS);
            let mut lines = Vec::new();
            (from..to).for_each(|number| write_line(&mut lines, &format!("bulk-{run}-{number}"), number, BODY_BYTES, false));
            let id = format!("bulk-{run}-{from}");
            let done = import::import(&client, &slug, COLLECTION, &id, &lines, REQUEST_WITHIN).await?;
            ensure!(
                done.summary.imported == to - from,
                "{} of {} records went in: {:?}",
                done.summary.imported,
                to - from,
                done.failures
            );
            longest = longest.max(done.longest_gap);
            from = to;
        }
        Ok(longest)
    }
}

/// The disk use of all nodes together once it has stopped changing: what was acknowledged may still be on its way from log to
/// store.
pub async fn settled(cluster: &Cluster) -> Result<DiskUse> {
    let started = Instant::now();
    let mut last = total(cluster)?;
    let mut unchanged = 0;
    while unchanged < SETTLED_LOOKS && started.elapsed() < SETTLE_WITHIN {
        tokio::time::sleep(LOOK).await;
        let now = total(cluster)?;
        unchanged = if now == last { unchanged + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

fn total(cluster: &Cluster) -> Result<DiskUse> {
    let mut sum = DiskUse::default();
    for node in cluster.nodes() {
        let one = disk_use(&cluster.data().join(&node.name))?;
        sum.log_bytes += one.log_bytes;
        sum.store_bytes += one.store_bytes;
    }
    Ok(sum)
}
