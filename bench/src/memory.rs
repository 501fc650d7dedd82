//! What a node keeps in memory when thousands of tenants have millions of records: the sum of what is not on disk alone.
//!
//! Tenants are made and filled sixteen at a time ([`fill`]); then the stores are left until they rest. Looked at is resident memory, as the
//! kernel counts it: the file pages that a store maps or keeps in its own caches are in it, those that the kernel caches are not.

use std::time::Instant;

use anyhow::{Context, Result};
use rig::cluster::Cluster;
use rig::probe::resident_bytes;

use crate::bulk::settled;
use crate::report::{MEMORY_MIB, Measured, Row};
use crate::scaling::fill;
use crate::setup;

/// Most bytes that a node with ten thousand tenants and five million records should take.
const AIM_BYTES: f64 = 1.5e9;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Tenants
    #[arg(long, default_value_t = 10_000)]
    pub tenants: usize,
    /// Records of all of them together
    #[arg(long, default_value_t = 5_000_000)]
    pub records: u64,
}

/// Brings tenants and records in and looks at the nodes. One row; its rate is records a second, the making of the tenants included.
pub fn run(cluster: &Cluster, size: &Size) -> Result<Vec<Row>> {
    let empty = resident(cluster)?;
    let started = Instant::now();
    let runtime = setup::runtime()?;
    let filled = runtime.block_on(fill::fill(cluster, size.tenants, size.records))?;
    let seconds = started.elapsed().as_secs_f64();
    let busy = resident(cluster)?;
    let disk = runtime.block_on(settled(cluster))?;
    let rested = resident(cluster)?;
    let (records, nodes) = (filled.each * filled.places.len() as u64, rested.len() as f64);
    let mean = |bytes: &[u64]| bytes.iter().sum::<u64>() as f64 / bytes.len().max(1) as f64;
    let most = rested.iter().copied().max().context("a cluster has a node")? as f64;
    let mib = |bytes: f64| bytes / 1024.0 / 1024.0;
    let mut measured = Measured {
        rate: records as f64 / seconds,
        seconds,
        ..Measured::default()
    };
    let more = [
        ("MiB of memory a node, empty", mib(mean(&empty))),
        ("MiB of memory a node, right after the last record", mib(mean(&busy))),
        (MEMORY_MIB, mib(mean(&rested))),
        ("GB of memory of the largest node", most / 1e9),
        (
            "bytes of memory a record and node",
            (mean(&rested) - mean(&empty)).max(0.0) / records as f64,
        ),
        ("MiB of store a node", mib(disk.store_bytes as f64) / nodes),
        ("MiB of log a node", mib(disk.log_bytes as f64) / nodes),
    ];
    measured.more.extend(more.map(|(name, value)| (name.to_owned(), value)));
    let title = format!("{records} records of {} tenants", size.tenants);
    let aim = format!("aim for 5,000,000 records of 10,000 tenants: {} GB", AIM_BYTES / 1e9);
    println!(
        "{title}: {:.3} GB of memory of the largest node ({aim})\n{:#?}",
        most / 1e9,
        measured.more
    );
    Ok(vec![Row::new(&title, None, vec![measured])])
}

/// Resident bytes of each node.
fn resident(cluster: &Cluster) -> Result<Vec<u64>> {
    cluster.pids()?.into_iter().map(resident_bytes).collect()
}
