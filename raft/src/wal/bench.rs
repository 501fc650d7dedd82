//! Driving the log alone, for `examples/wal_bench.rs`: so many appends outstanding, each acknowledged one followed by another.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::blocking::block_on;
use super::options::LogEntry;
use super::{LogOptions, LogStats, RealDisk, Wal, WalError};

/// Entries that a group keeps; older ones are purged, so that segments are recycled.
const KEPT_ENTRIES: u64 = 2_000;
const PURGE_EVERY: u64 = 500;

/// What to drive.
#[derive(Debug, Clone)]
pub struct Load {
    /// Appends that are outstanding at any time.
    pub appenders: u64,
    /// Groups over which they are spread.
    pub groups: u64,
    /// Size of an entry in bytes.
    pub entry_bytes: usize,
    /// How long.
    pub time: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Appends that were acknowledged.
    pub appends: u64,
    /// Time that they took.
    pub time: Duration,
    /// From append to callback, in microseconds: half of them took no longer.
    pub p50_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
    /// The log's own counters afterwards.
    pub stats: LogStats,
}

/// Opens a log in this directory and drives it.
pub fn run(dir: &Path, options: LogOptions, load: &Load) -> io::Result<Report> {
    let (wal, _) = Wal::open(dir, options, Arc::new(RealDisk))?;
    let groups: Vec<_> = (0..load.groups.max(1)).map(|id| wal.group(id)).collect();
    let payload = Bytes::from(vec![0xab; load.entry_bytes]);
    let (sender, receiver) = sync_channel(load.appenders as usize);
    let start = Instant::now();
    let append = |appender: u64| -> Result<(), WalError> {
        let group = &groups[(appender % load.groups.max(1)) as usize];
        let state = group.state();
        let index = state.last.map_or(state.first, |last| last + 1);
        if index % PURGE_EVERY == 0 && index > KEPT_ENTRIES {
            block_on(group.purge(index - KEPT_ENTRIES, Bytes::from_static(b"bench"), Box::new(|_| {})))?;
        }
        let (sender, sent) = (sender.clone(), Instant::now());
        let entry = LogEntry {
            index,
            bytes: payload.clone(),
        };
        block_on(group.append(
            vec![entry],
            Box::new(move |result| {
                // The receiver may be gone once the time is over.
                let _ = sender.send((appender, result.map(|synced| synced.at - sent)));
            }),
        ))
    };
    (0..load.appenders).try_for_each(append)?;
    let mut latencies_us = Vec::new();
    while start.elapsed() < load.time {
        let (appender, latency) = receiver.recv().map_err(io::Error::other)?;
        latencies_us.push(latency?.as_micros() as u64);
        append(appender)?;
    }
    let time = start.elapsed();
    let stats = wal.stats();
    drop(groups);
    wal.close()?;
    latencies_us.sort_unstable();
    let quantile = |share: f64| {
        latencies_us
            .get((latencies_us.len() as f64 * share) as usize)
            .copied()
            .unwrap_or(0)
    };
    let max_us = latencies_us.last().copied().unwrap_or(0);
    Ok(Report {
        appends: latencies_us.len() as u64,
        time,
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
        max_us,
        stats,
    })
}
