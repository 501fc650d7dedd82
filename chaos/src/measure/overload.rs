//! Three times more than the cluster can do, for half a minute: how much still gets done, and how soon all is well afterwards.
//!
//! First the most that clients in a closed loop get done, then creates at three times that rate in an open loop, then a fifth of
//! it second by second until latencies are what they were before. The load generator shares the processors with the nodes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rig::cluster::Cluster;
use rig::http::Request;
use rig::layout::Layout;
use rig::load::{self, Outcome, Pacing, Plan, Refused, Script};
use rig::tenant;
use serde::Serialize;

/// Connections in a closed loop that find the maximum.
const CONNECTIONS: usize = 64;
/// Connections of the overload: what may be outstanding.
const OVERLOAD_CONNECTIONS: usize = 768;
/// How many times the maximum is offered.
const TIMES: f64 = 3.0;
/// How long a client waits for a reply.
const TIMEOUT: Duration = Duration::from_millis(300);
/// What a calm cluster is asked for, as a part of the maximum.
const CALM: f64 = 0.2;
/// Seconds of calm load that are looked at, at most.
const CALM_SECONDS: u32 = 20;
/// A second is normal when its p99 is below so many times that of before, or below it and so much.
const NORMAL_TIMES: f64 = 2.0;
/// See [`NORMAL_TIMES`].
const NORMAL_MS: f64 = 5.0;

/// What came of it. Rates are a second.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The most that was done in a closed loop.
    pub most: f64,
    /// What was offered.
    pub offered: f64,
    /// What was done of it, each within 300 ms of being sent.
    pub done: f64,
    /// Of those, the 99th percentile from when they were sent or due, in milliseconds.
    pub p99_ms: f64,
    /// What became of the rest, by kind.
    pub errors: std::collections::BTreeMap<String, u64>,
    /// p99 at a fifth of the maximum before, in milliseconds.
    pub calm_p99_ms: f64,
    /// After how many seconds it was so again; none: not within 20.
    pub normal_after_s: Option<u32>,
}

/// Measures on a cluster of its own; `seconds` of overload.
pub fn measure(binary: PathBuf, seconds: u64) -> Result<Row> {
    let mut options = rig::cluster::Options::new(Layout::one_region(crate::stage::NODES)?, binary);
    options.data = None;
    let cluster = Cluster::up(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let made = runtime.block_on(tenant::create(&cluster, "overload", Some("workspace")))?;
    let at = |connections, pacing, seconds, run: &str| drive(&cluster, &made.token, connections, pacing, seconds, run);

    let most = at(CONNECTIONS, Pacing::Closed, 10, "most")?.rate();
    ensure!(most > 0.0, "nothing was done without overload");
    let calm = Pacing::Open { rate: most * CALM };
    let before = p99_ms(&at(CONNECTIONS, calm, 5, "before")?);
    let offered = most * TIMES;
    let over = at(OVERLOAD_CONNECTIONS, Pacing::Open { rate: offered }, seconds, "over")?;
    let mut normal_after_s = None;
    for second in 1..=CALM_SECONDS {
        let now = at(CONNECTIONS, calm, 1, &format!("after-{second}"))?;
        if now.failures() == 0 && p99_ms(&now) <= (before * NORMAL_TIMES).max(before + NORMAL_MS) {
            normal_after_s = Some(second);
            break;
        }
    }
    Ok(Row {
        most,
        offered,
        done: over.rate(),
        p99_ms: p99_ms(&over),
        errors: over.errors,
        calm_p99_ms: before,
        normal_after_s,
    })
}

fn p99_ms(outcome: &Outcome) -> f64 {
    outcome.latency.value_at_quantile(0.99) as f64 / 1_000.0
}

fn drive(cluster: &Cluster, token: &str, connections: usize, pacing: Pacing, seconds: u64, run: &str) -> Result<Outcome> {
    let plan = Plan {
        targets: cluster.addresses(),
        refused: Refused::Fails,
        connections,
        pacing,
        warmup: Duration::ZERO,
        window: Duration::from_secs(seconds),
        timeout: TIMEOUT,
        classes: vec!["create"],
        probe: None,
        slot: None,
    };
    load::drive(&plan, |number| {
        Box::new(Create {
            token: token.to_owned(),
            prefix: format!("{run}-{number}"),
            number: 0,
        })
    })
}

/// Creates tasks.
struct Create {
    token: String,
    prefix: String,
    number: u64,
}

impl Script for Create {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        self.number += 1;
        let body = format!("{{\"fields\":{{\"title\":\"{}-{}\"}}}}", self.prefix, self.number);
        Request {
            method: "POST",
            path: "/v1/tenants/overload/records/tasks",
            token: &self.token,
            headers: "",
            body: body.as_bytes(),
        }
        .write(out);
        0
    }

    fn check(&mut self, status: u16, _: &[u8]) -> Result<(), String> {
        if status == 201 { Ok(()) } else { Err(status.to_string()) }
    }
}

/// The row as a table.
pub fn table(row: &Row) -> String {
    let errors: Vec<_> = row.errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!(
        "| most a second | offered | done | of the most | p99 ms | the rest | p99 ms when calm, before | normal again after s |\n\
         |---|---|---|---|---|---|---|---|\n| {:.0} | {:.0} | {:.0} | {:.0} % | {:.0} | {} | {:.1} | {} |\n",
        row.most,
        row.offered,
        row.done,
        row.done * 100.0 / row.most,
        row.p99_ms,
        errors.join(", "),
        row.calm_p99_ms,
        row.normal_after_s
            .map_or_else(|| format!("not within {CALM_SECONDS}"), |seconds| seconds.to_string()),
    )
}
