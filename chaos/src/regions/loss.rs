//! What is lost when the directory has no quorum, and when a whole region is gone, while all regions are under load.
//!
//! The load goes to the nodes that do not vote in the directory. So all its voters can be stopped in their tracks without a client having
//! been connected to one of them, and each cell keeps two replicas of three. That the directory is really gone is seen by a tenant that
//! cannot be made. They hand their leaderships over first: what is measured is the loss of the directory, not of leaders. Then one region
//! is killed, all nodes at once, and started again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::body::control::NewTenant;
use api::body::node::NodeChange;
use api::error::Outcome as Effect;
use rig::cluster::Cluster;
use rig::load::Outcome;
use rig::tenant::{client, client_of};
use serde::Serialize;

use super::towns::{self, Clock, Figures, HEAD, Load, Town};
use super::{layout, runtime};
use crate::stage::Stage;
use crate::stop;

/// Calm between two phases, in which caches and leaders settle.
const CALM: Duration = Duration::from_secs(5);
/// How long a region may take to serve again.
const BACK_WITHIN: Duration = Duration::from_secs(120);
/// How long the nodes may take to hand leaderships over.
const HANDED_WITHIN: Duration = Duration::from_secs(30);
/// How much slower the others may be while a region is gone.
const P99_TIMES: f64 = 1.25;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub binary: PathBuf,
    /// One way between regions.
    pub distance: Duration,
    /// The load.
    pub load: Load,
    /// How long all is quiet first.
    pub quiet: Duration,
    /// How long the directory is gone.
    pub directory_gone: Duration,
    /// How long the region is gone.
    pub region_gone: Duration,
}

/// A phase, in seconds of the load.
#[derive(Clone, Debug, Serialize)]
struct Phase {
    name: &'static str,
    from: usize,
    until: usize,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    phases: Vec<(String, Figures)>,
    /// How long the region took to be ready once it was started, in seconds.
    back_s: f64,
    /// Creates that were acknowledged in all regions.
    acknowledged: usize,
    /// What must not be.
    findings: Vec<String>,
}

impl Row {
    /// Whether everything held.
    pub fn is_green(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Measures.
pub fn measure(options: &Options) -> Result<Row> {
    let mut stage = Stage::over(layout(1)?, options.binary.clone(), None, options.distance).context("bring the regions up")?;
    let runtime = runtime()?;
    let voters: Vec<String> = stage
        .cluster
        .layout()
        .voters()
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let towns = runtime.block_on(towns::found(&stage.cluster, |node| !voters.iter().any(|voter| voter == node)))?;
    let cluster = &mut stage.cluster;
    let (outcomes, (phases, back)) = towns::drive(&towns, options.load, |clock| {
        let quiet = wait("quiet", clock, options.quiet)?;
        drain(cluster, &voters, NodeChange::Drain, &runtime)?;
        voters.iter().try_for_each(|name| cluster.pause(name).map(drop))?;
        std::thread::sleep(CALM);
        let refused = runtime.block_on(cannot_create(cluster, &voters))?;
        ensure!(refused, "a tenant was made although the directory has no quorum");
        let directory = wait("directory gone", clock, options.directory_gone)?;
        voters.iter().try_for_each(|name| cluster.resume(name).map(drop))?;
        drain(cluster, &voters, NodeChange::Undrain, &runtime)?;
        std::thread::sleep(CALM);
        let (region, back) = lose_a_region(cluster, clock, options.region_gone)?;
        let after = wait("afterwards", clock, options.quiet)?;
        Ok((vec![quiet, directory, region, after], back))
    })?;
    let mut findings = Vec::new();
    let mut acknowledged = 0;
    for town in &towns {
        let (count, wrong) = runtime.block_on(town.audit())?;
        acknowledged += count;
        findings.extend(wrong);
    }
    let phases = judge(&towns, &outcomes, (&phases, options.load.rate), &mut findings);
    Ok(Row {
        phases,
        back_s: back.as_secs_f64(),
        acknowledged,
        findings,
    })
}

/// So long nothing is done.
fn wait(name: &'static str, clock: Clock, time: Duration) -> Result<Phase> {
    let from = clock.now();
    let until = Instant::now() + time;
    while Instant::now() < until {
        ensure!(!stop::is_asked(), "interrupted");
        std::thread::sleep(Duration::from_millis(100));
    }
    let until = clock.now();
    Ok(Phase { name, from, until })
}

/// Has nodes hand over what they lead, or serve again.
fn drain(cluster: &Cluster, nodes: &[String], change: NodeChange, runtime: &tokio::runtime::Runtime) -> Result<()> {
    for name in nodes {
        let client = client_of(cluster.layout().node(name)?.api, cluster.operator_token())?;
        let asked = runtime.block_on(client.node_change(name, change));
        asked.with_context(|| format!("drain {name}"))?;
    }
    if change != NodeChange::Drain {
        return Ok(());
    }
    let mut led = None;
    let handed = rig::cluster::poll(HANDED_WITHIN, || {
        let cells = cluster
            .addresses()
            .into_iter()
            .filter_map(|node| rig::verify::cells_of(node, cluster.operator_token(), Duration::from_secs(2)).ok());
        let tenants = cells.flatten().filter(|cell| cell.kind != "directory");
        led = tenants.filter_map(|cell| cell.leader).find(|leader| nodes.contains(leader));
        led.is_none()
    });
    ensure!(handed, "{led:?} still leads a cell");
    Ok(())
}

/// Whether making a tenant is refused for want of the directory, as something that had no effect.
async fn cannot_create(cluster: &Cluster, voters: &[String]) -> Result<bool> {
    let node = cluster.nodes().iter().find(|node| !voters.contains(&node.name));
    let node = node.context("all nodes vote")?;
    let client = client(&[node.api], cluster.operator_token())?.with_retries(0);
    let new = NewTenant {
        slug: "nobody".parse()?,
        name: None,
        region: node.region.clone(),
        plan: None,
        dedicated: false,
        template: None,
    };
    let refused = |error: &api::client::ClientError| {
        error
            .problem()
            .is_some_and(|problem| problem.code == "unavailable" && problem.outcome == Effect::NotApplied)
    };
    Ok(client.tenant_create(&new, None).await.as_ref().is_err_and(refused))
}

/// Kills the last region and starts it again after a while. When it was gone, and how long it took to be ready.
fn lose_a_region(cluster: &mut Cluster, clock: Clock, time: Duration) -> Result<(Phase, Duration)> {
    let lost = (*cluster.layout().regions().last().context("there is a region")?).to_owned();
    let nodes = cluster.nodes().iter().filter(|node| node.region == lost);
    let names: Vec<_> = nodes.map(|node| node.name.clone()).collect();
    names.iter().try_for_each(|name| cluster.kill(name).map(drop))?;
    for name in &names {
        cluster.wait_ended(name, BACK_WITHIN)?;
    }
    let gone = wait("region gone", clock, time)?;
    let start = Instant::now();
    names.iter().try_for_each(|name| cluster.start_node(name))?;
    for name in &names {
        cluster.wait_ready(name, BACK_WITHIN)?;
    }
    let back = start.elapsed();
    std::thread::sleep(CALM);
    Ok((gone, back))
}

/// The figures of each region in each phase; and what of them must not be.
fn judge(
    towns: &[Town],
    outcomes: &[Outcome],
    (phases, rate): (&[Phase], f64),
    findings: &mut Vec<String>,
) -> Vec<(String, Figures)> {
    let mut rows = Vec::new();
    for (place, (town, outcome)) in towns.iter().zip(outcomes).enumerate() {
        let mut quiet = None;
        for phase in phases {
            let is_lost = phase.name == "region gone" && place + 1 == towns.len();
            let figures = Figures::of(&[outcome], phase.from, phase.until);
            let times = figures.p99_ms / *quiet.get_or_insert(figures.p99_ms);
            let name = format!("{}, {}", town.region, phase.name);
            if !is_lost && figures.failed > 0 {
                findings.push(format!("{name}: {} requests failed: {:?}", figures.failed, figures.errors));
            }
            if phase.name == "region gone" && !is_lost && times > P99_TIMES {
                findings.push(format!("{name}: p99 is {times:.2} times that of the quiet phase"));
            }
            rows.push((format!("{name} ({times:.2} times the quiet p99)"), figures));
        }
        // What falls due in the last moment is not waited for.
        if let Some(unsent) = outcome.errors.get("not_sent").filter(|unsent| **unsent as f64 > rate) {
            findings.push(format!("{}: {unsent} requests were never sent", town.region));
        }
    }
    rows
}

/// All of it as a table.
pub fn table(row: &Row) -> String {
    let mut out = HEAD.to_owned();
    row.phases.iter().for_each(|(name, figures)| out.push_str(&figures.row(name)));
    out.push_str(&format!(
        "\nThe region was ready {:.1} s after it was started. {} creates were acknowledged.\n\n",
        row.back_s, row.acknowledged
    ));
    match row.findings.as_slice() {
        [] => out.push_str("Everything that was promised held: each of them is there once.\n"),
        findings => findings.iter().for_each(|finding| out.push_str(&format!("- {finding}\n"))),
    }
    out
}
