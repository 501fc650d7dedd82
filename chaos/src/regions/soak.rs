//! A load on three regions for a long time: leaders that are killed now and then, and a restart of all nodes one after the other.
//!
//! First comes a quiet phase: what the rest is held against. Killed nodes, and those that a restart ends, are started again at once, as a
//! supervisor does. A request counts as failed when its one attempt failed; a refused connection that another node of the region takes did
//! not.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rig::cluster::Cluster;
use rig::load::Outcome;
use serde::Serialize;

use super::desk::Desk;
use super::towns::{self, Clock, Figures, HEAD, Load, Town};
use super::{layout, runtime};
use crate::stage::Stage;
use crate::stop;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long the restart of all nodes may take.
const RESTART_WITHIN: Duration = Duration::from_secs(900);
/// How long a killed node may take to be ready.
const BACK_WITHIN: Duration = Duration::from_secs(120);
/// What must succeed over all, in percent.
const SUCCESS_PERCENT: f64 = 99.99;
/// The highest 95th percentile, in milliseconds.
const P95_MS: f64 = 200.0;
/// How much higher than in the quiet phase the 99th percentile of a restart may be.
const P99_TIMES: f64 = 2.0;

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
    /// How long it goes on after that, besides the restart.
    pub time: Duration,
    /// How often a leader is killed; none: never.
    pub kill_every: Option<Duration>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The quiet phase, the rest of the soak, the restart, and all after the quiet phase.
    phases: Vec<(String, Figures)>,
    /// Each region's minutes.
    minutes: Vec<(String, Figures)>,
    kills: Vec<String>,
    restart_s: f64,
    offered: f64,
    acknowledged: usize,
    findings: Vec<String>,
}

impl Row {
    /// Whether everything held.
    pub fn is_green(&self) -> bool {
        self.findings.is_empty()
    }
}

/// When what was, in seconds of the load.
#[derive(Debug, Default)]
struct Times {
    quiet: usize,
    restart: (usize, usize),
    end: usize,
    kills: Vec<String>,
}

/// Measures.
pub fn measure(options: &Options) -> Result<Row> {
    let mut stage = Stage::over(layout(1)?, options.binary.clone(), None, options.distance).context("bring the regions up")?;
    let runtime = runtime()?;
    let towns = runtime.block_on(towns::found(&stage.cluster, |_| true))?;
    let cluster = &mut stage.cluster;
    let (outcomes, times) = towns::drive(&towns, options.load, |clock| conduct(cluster, options, clock))?;
    let mut findings = Vec::new();
    let mut acknowledged = 0;
    for town in &towns {
        let (count, wrong) = runtime.block_on(town.audit())?;
        acknowledged += count;
        findings.extend(wrong);
    }
    let all: Vec<&Outcome> = outcomes.iter().collect();
    let phase = |name: &str, (from, until)| (name.to_owned(), Figures::of(&all, from, until));
    let phases = vec![
        phase("quiet", (0, times.quiet)),
        phase("after that, without the restart", (times.quiet, times.restart.0)),
        phase("restart of all nodes", times.restart),
        phase("all after the quiet phase", (times.quiet, times.end)),
    ];
    judge(&phases, options, &outcomes, &mut findings);
    Ok(Row {
        minutes: minutes(&towns, &outcomes, times.end),
        phases,
        kills: times.kills,
        restart_s: (times.restart.1 - times.restart.0) as f64,
        offered: options.load.rate,
        acknowledged,
        findings,
    })
}

/// Quiet, then kills, then the restart.
fn conduct(cluster: &mut Cluster, options: &Options, clock: Clock) -> Result<Times> {
    let mut times = Times::default();
    pass(options.quiet, cluster, |_| Ok(()))?;
    times.quiet = clock.now();
    let begun = Instant::now();
    let mut next = options.kill_every;
    pass(options.time, cluster, |cluster| {
        if let (Some(every), Some(due)) = (options.kill_every, next)
            && begun.elapsed() >= due
        {
            next = Some(due + every);
            let said = kill_a_leader(cluster, times.kills.len())?;
            times.kills.push(format!("{} s: {said}", clock.now()));
        }
        Ok(())
    })?;
    times.restart.0 = clock.now();
    restart(cluster)?;
    times.restart.1 = clock.now();
    times.end = clock.now();
    Ok(times)
}

/// So long time passes, in which something may be done.
fn pass(time: Duration, cluster: &mut Cluster, mut tick: impl FnMut(&mut Cluster) -> Result<()>) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        ensure!(!stop::is_asked(), "interrupted");
        tick(cluster)?;
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Kills whoever leads the cell of a region, another region each time, and waits until it is back.
fn kill_a_leader(cluster: &mut Cluster, number: usize) -> Result<String> {
    let regions = cluster.layout().regions();
    let region = regions[number % regions.len()].to_owned();
    let cell = format!("{region}-shared");
    let leader = Desk::of(cluster, &region)
        .leader(&cell)
        .with_context(|| format!("nobody leads {cell}"))?;
    cluster.kill(&leader)?;
    cluster.wait_ended(&leader, BACK_WITHIN)?;
    cluster.start_node(&leader)?;
    let start = Instant::now();
    cluster.wait_ready(&leader, BACK_WITHIN)?;
    Ok(format!(
        "{leader}, which led {cell}; ready again after {:.1} s",
        start.elapsed().as_secs_f64()
    ))
}

/// Restarts every node, one after the other, as an operator does; who ends is started again.
fn restart(cluster: &mut Cluster) -> Result<()> {
    let mut child = cluster.operate(&["cluster", "restart", "--rolling"])?;
    let until = Instant::now() + RESTART_WITHIN;
    let status = loop {
        cluster.revive()?;
        if let Some(status) = child.try_wait().context("look at the restart")? {
            break status;
        }
        if stop::is_asked() || Instant::now() > until {
            let _ = child.kill();
            bail!("the restart did not end within {RESTART_WITHIN:?}");
        }
        std::thread::sleep(LOOK);
    };
    let output = child.wait_with_output().context("read what the restart said")?;
    ensure!(
        status.success(),
        "the restart failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// What of the figures must not be.
fn judge(phases: &[(String, Figures)], options: &Options, outcomes: &[Outcome], findings: &mut Vec<String>) {
    let [(_, quiet), (_, _), (_, restart), (_, all)] = phases else {
        return;
    };
    let soaks = options.kill_every.is_some();
    if soaks && all.success_percent() < SUCCESS_PERCENT {
        findings.push(format!("{:.4} % succeeded, of {SUCCESS_PERCENT} %", all.success_percent()));
    }
    if restart.failed > 0 {
        findings.push(format!(
            "{} requests failed in the restart: {:?}",
            restart.failed, restart.errors
        ));
    }
    for (name, figures) in phases.iter().filter(|(_, figures)| figures.p95_ms >= P95_MS) {
        findings.push(format!("{name}: p95 is {:.0} ms", figures.p95_ms));
    }
    if restart.p99_ms > quiet.p99_ms * P99_TIMES {
        let times = restart.p99_ms / quiet.p99_ms;
        findings.push(format!("the restart's p99 is {times:.2} times that of the quiet phase"));
    }
    let unsent: u64 = outcomes.iter().filter_map(|outcome| outcome.errors.get("not_sent")).sum();
    // What falls due in the last moment is not waited for; a queue of more than a second is more than that.
    if unsent as f64 > options.load.rate {
        findings.push(format!("{unsent} requests were never sent"));
    }
}

fn minutes(towns: &[Town], outcomes: &[Outcome], end: usize) -> Vec<(String, Figures)> {
    let mut rows = Vec::new();
    for from in (0..end).step_by(60) {
        for (town, outcome) in towns.iter().zip(outcomes) {
            let figures = Figures::of(&[outcome], from, (from + 60).min(end));
            rows.push((format!("minute {}, {}", from / 60 + 1, town.region), figures));
        }
    }
    rows
}

/// All of it as a table.
pub fn table(row: &Row) -> String {
    let took_place = |(_, figures): &&(String, Figures)| figures.done + figures.failed > 0;
    let rows = |all: &[(String, Figures)]| {
        let rows = all.iter().filter(took_place).map(|(name, figures)| figures.row(name));
        rows.collect::<String>()
    };
    let mut out = format!(
        "{:.0} requests a second over three regions. The restart of all nodes took {:.0} s. {} creates were acknowledged.\n\n",
        row.offered, row.restart_s, row.acknowledged
    );
    out.push_str(&format!("{HEAD}{}\n", rows(&row.phases)));
    row.kills
        .iter()
        .for_each(|kill| out.push_str(&format!("- killed at {kill}\n")));
    match row.findings.as_slice() {
        [] => out.push_str("\nEverything that was promised held: what was acknowledged is there once.\n"),
        findings => findings
            .iter()
            .for_each(|finding| out.push_str(&format!("- NOT HELD: {finding}\n"))),
    }
    out.push_str(&format!("\n{HEAD}{}", rows(&row.minutes)));
    out
}
