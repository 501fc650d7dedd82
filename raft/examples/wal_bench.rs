//! Appends a second and fsyncs an append of the node's log alone, for 1, 16, 64 and 256 outstanding appends.
//!
//! `cargo run --release -p cloudnest-raft --example wal_bench -- [directory] [seconds] [groups] [entry bytes]`
#![allow(clippy::print_stdout)]

use std::time::Duration;

use raft::LogOptions;
use raft::wal_bench::{Load, run};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let base = arguments.first().map_or_else(std::env::temp_dir, Into::into);
    let dir = base.join(format!("wal-bench-{}", std::process::id()));
    let (seconds, groups, entry_bytes) = (number(1, 3), number(2, 8), number(3, 300) as usize);
    println!("{groups} groups, entries of {entry_bytes} bytes, {seconds} s each");
    println!(
        "| outstanding | appends/s | fsyncs/append | MB/s | p50 ms | p99 ms | max ms | longest fsync ms | segments + spares |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for appenders in [1, 16, 64, 256] {
        let load = Load {
            appenders,
            groups,
            entry_bytes,
            time: Duration::from_secs(seconds),
        };
        let report = run(&dir, LogOptions::default(), &load)?;
        let per_second = report.appends as f64 / report.time.as_secs_f64();
        let ms = |us: u64| us as f64 / 1000.0;
        println!(
            "| {appenders} | {per_second:.0} | {:.3} | {:.1} | {:.2} | {:.2} | {:.1} | {:.1} | {} + {} |",
            report.stats.fsyncs as f64 / report.appends as f64,
            report.stats.bytes as f64 / 1e6 / report.time.as_secs_f64(),
            ms(report.p50_us),
            ms(report.p99_us),
            ms(report.max_us),
            ms(report.stats.max_fsync_us),
            report.stats.segments,
            report.stats.spares,
        );
    }
    std::fs::remove_dir_all(&dir)
}
