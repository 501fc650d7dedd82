//! How long it takes to make a tenant: one after the other in each region, and a thousand with several at a time.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rig::cluster::Cluster;
use rig::http::{Request, send};
use serde::Serialize;
use serde_json::json;

use super::{REGIONS, layout};
use crate::stage::Stage;
use crate::stop;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The longest that one may take where regions are beside each other, and where they are apart, in milliseconds.
const AIM_MS: [f64; 2] = [100.0, 500.0];
/// How long a thousand may take.
const THOUSAND_WITHIN: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub binary: PathBuf,
    /// The ways between regions to try, there and back.
    pub delays: Vec<Duration>,
    /// Tenants of each region that are made one after the other.
    pub each: u64,
    /// Tenants that are made several at a time.
    pub many: u64,
    /// So many at a time.
    pub at_once: usize,
}

/// What came of one way.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    delay_ms: u64,
    /// By region: the time of each, in milliseconds.
    single: Vec<(String, Vec<f64>)>,
    /// Those that were made several at a time.
    many: Vec<f64>,
    many_s: f64,
    findings: Vec<String>,
}

impl Row {
    /// Whether everything held.
    pub fn is_green(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Measures each way.
pub fn measure(options: &Options) -> Result<Vec<Row>> {
    options.delays.iter().map(|delay| one(options, *delay)).collect()
}

fn one(options: &Options, delay: Duration) -> Result<Row> {
    let stage = Stage::over(layout(1)?, options.binary.clone(), None, delay / 2).context("bring the regions up")?;
    let cluster = &stage.cluster;
    let mut single = Vec::new();
    for region in REGIONS {
        let took = (0..options.each).map(|number| create(cluster, region, &format!("one-{region}-{number}")));
        single.push((region.to_owned(), took.collect::<Result<Vec<_>>>()?));
    }
    let (many, time) = all_at_once(cluster, options)?;
    let aim = AIM_MS[usize::from(!delay.is_zero())];
    let mut findings = Vec::new();
    for (region, took) in &single {
        let p99 = quantile(took, 0.99);
        if p99 >= aim {
            findings.push(format!("{region}: p99 is {p99:.0} ms, of {aim} ms"));
        }
    }
    if time > THOUSAND_WITHIN.mul_f64(options.many as f64 / 1_000.0) {
        findings.push(format!("{} tenants took {time:?}", options.many));
    }
    Ok(Row {
        delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        single,
        many,
        many_s: time.as_secs_f64(),
        findings,
    })
}

/// Makes one at a node of its region; how long it took.
fn create(cluster: &Cluster, region: &str, slug: &str) -> Result<f64> {
    ensure!(!stop::is_asked(), "interrupted");
    let body =
        json!({ "slug": slug, "name": format!("The name of {slug}"), "region": region, "template": "workspace" }).to_string();
    let request = Request {
        method: "POST",
        path: "/v1/tenants",
        token: cluster.operator_token(),
        headers: "",
        body: body.as_bytes(),
    };
    let nodes: Vec<SocketAddr> = cluster
        .nodes()
        .iter()
        .filter(|node| node.region == region)
        .map(|node| node.api)
        .collect();
    let node = nodes[slug.bytes().map(usize::from).sum::<usize>() % nodes.len()];
    let start = Instant::now();
    let (status, reply) = send(node, request, TIMEOUT)?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    ensure!(status == 201, "make {slug}: {status} {}", String::from_utf8_lossy(&reply));
    Ok(took)
}

/// Makes many over all regions.
fn all_at_once(cluster: &Cluster, options: &Options) -> Result<(Vec<f64>, Duration)> {
    let next = AtomicU64::new(0);
    let start = Instant::now();
    let work = || -> Result<Vec<f64>> {
        let mut took = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= options.many {
                return Ok(took);
            }
            // The remainder of a length fits.
            let region = REGIONS[(number % REGIONS.len() as u64) as usize];
            took.push(create(cluster, region, &format!("many-{number}"))?);
        }
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.at_once).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(took) => took,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect::<Result<Vec<_>>>()
    });
    Ok((all?.concat(), start.elapsed()))
}

fn quantile(numbers: &[f64], at: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * at) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// All of it as a table.
pub fn table(rows: &[Row]) -> String {
    let mut out = "| ms between regions, there and back | made | tenants | median ms | p99 ms | longest ms | all of them s |\n|---|---|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let mut line = |what: &str, took: &[f64], seconds: f64| {
            out.push_str(&format!(
                "| {} | {what} | {} | {:.1} | {:.1} | {:.1} | {seconds:.1} |\n",
                row.delay_ms,
                took.len(),
                quantile(took, 0.5),
                quantile(took, 0.99),
                quantile(took, 1.0)
            ));
        };
        for (region, took) in &row.single {
            line(
                &format!("one after the other in {region}"),
                took,
                took.iter().sum::<f64>() / 1e3,
            );
        }
        line("several at a time in all regions", &row.many, row.many_s);
    }
    let findings: Vec<_> = rows.iter().flat_map(|row| &row.findings).collect();
    findings
        .iter()
        .for_each(|finding| out.push_str(&format!("- NOT HELD: {finding}\n")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_numbers() {
        let numbers: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|at| quantile(&numbers, at)),
            [0.0, 50.0, 99.0, 99.0]
        );
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
