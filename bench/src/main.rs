//! `cloudnest-bench`: measures the built binary. See the README beside it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to its user"
)]

mod all;
mod cli;
mod sitting;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bench::corpus::Corpus;
use bench::report::{Report, Row};
use bench::run::{Size, Workload};
use bench::setup::{self, ClusterArgs};
use bench::{
    backfill, bulk, company, compare, data, files, idle, isolation, kill_import, live, memory, moving, peers, run, scaling,
    search, speed,
};
use clap::Parser;
use cli::{Action, BulkArgs, Cli, Common, Fixed};
use rig::cluster::Cluster;
use sitting::{measure, measure_as, measure_each};

/// Set in the process that runs under SCHED_RR already.
const SCHEDULED: &str = "CLOUDNEST_BENCH_SCHEDULED";

fn main() -> Result<()> {
    let cli = Cli::parse();
    if is_scheduled(&cli.command) && std::env::var_os(SCHEDULED).is_none() {
        return run_scheduled();
    }
    perform(cli)
}

fn perform(cli: Cli) -> Result<()> {
    match cli.command {
        Action::All(args) => all::run(&args, perform),
        Action::Run {
            workload,
            seconds,
            runs,
            clients,
            rules,
            bulk,
            common,
        } => {
            let size = Size {
                seconds,
                runs,
                clients,
                rules,
            };
            run_workloads(&workload, &size, &bulk, &common)
        }
        Action::Stall { fixed, bulk, common } => measure(&common, |cluster| stall(cluster, &fixed, &bulk)),
        Action::Backfill { size, rules, common } => measure(&common, |cluster| backfill::run(cluster, &size, rules)),
        Action::Move { size, common } => moved(&size, &common),
        Action::Company { size, common } => measure(&common, |cluster| company::run(cluster, &size)),
        Action::Isolation { size, common } => isolate(&size, &common),
        Action::Idle { size, common } => measure_each(&common, |cluster| idle::run(cluster, &size)),
        Action::Files { size, common } => measure(&common, |cluster| files::run(cluster, &size)),
        Action::Live { size, common } => measure(&common, |cluster| live::run(cluster, &size)),
        Action::Memory { size, common } => measure(&common, |cluster| memory::run(cluster, &size)),
        Action::Peers { size, common } => measure(&common, |cluster| peers::run(cluster, &size)),
        Action::Scaling { size, common } => measure_each(&common, |cluster| scaling::run(cluster, &size)),
        Action::Data { data_dir, common } => measure(&common, |cluster| {
            setup::runtime()?.block_on(data::measure(cluster, &data_dir))
        }),
        Action::Search { data_dir, common } => measure(&common, |cluster| {
            setup::runtime()?.block_on(search::measure(cluster, &data_dir))
        }),
        Action::SearchSpeed { size, common } => match &size.write {
            Some(directory) => Corpus::default().write(directory, size.documents),
            None => measure(&common, |cluster| speed::run(cluster, &size)),
        },
        Action::KillImport {
            data_dir,
            seed,
            kills,
            pieces,
            cluster,
        } => kill_and_import(&data_dir, seed, kills, pieces, &cluster),
        Action::Compare { a, b } => {
            println!("{}", compare::compare(&Report::load(&a)?, &Report::load(&b)?));
            Ok(())
        }
    }
}

fn isolate(size: &isolation::Size, common: &Common) -> Result<()> {
    let layout = isolation::layout(common.cluster.nodes, size)?;
    measure_as(layout, common, |cluster| isolation::run(cluster, size)).map(drop)
}

fn moved(size: &moving::Size, common: &Common) -> Result<()> {
    let layout = moving::layout(common.cluster.nodes)?;
    measure_as(layout, common, |cluster| moving::run(cluster, size))?.without_failures()
}

/// Whether nodes and loader are to run under SCHED_RR.
fn is_scheduled(action: &Action) -> bool {
    match action {
        Action::Run { common, .. }
        | Action::Stall { common, .. }
        | Action::Backfill { common, .. }
        | Action::Move { common, .. }
        | Action::Company { common, .. }
        | Action::Isolation { common, .. }
        | Action::Idle { common, .. }
        | Action::Files { common, .. }
        | Action::Live { common, .. }
        | Action::Memory { common, .. }
        | Action::Peers { common, .. }
        | Action::Scaling { common, .. }
        | Action::Data { common, .. }
        | Action::Search { common, .. }
        | Action::SearchSpeed { common, .. } => common.cluster.sched_rr,
        Action::KillImport { cluster, .. } => cluster.sched_rr,
        Action::All(_) | Action::Compare { .. } => false,
    }
}

/// Runs this program again under SCHED_RR 1; nodes and loader inherit it.
fn run_scheduled() -> Result<()> {
    let own = std::env::current_exe().context("find this program")?;
    let status = Command::new("chrt")
        .args(["-r", "1"])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .env(SCHEDULED, "1")
        .status();
    let status = status.context("run chrt (package util-linux)")?;
    ensure!(
        status.success(),
        "the run under SCHED_RR ended with {status} (it needs the right to set priorities)"
    );
    Ok(())
}

fn run_workloads(names: &[String], size: &Size, bulk_args: &BulkArgs, common: &Common) -> Result<()> {
    let mut workloads: Vec<Workload> = Vec::new();
    for name in names.iter().filter(|name| *name != "w5") {
        workloads.extend(Workload::named(name).with_context(|| format!("there is no workload {name}: use w1, w2, w3, w4, w5"))?);
    }
    measure(common, |cluster| {
        let runtime = setup::runtime()?;
        let mut rows = Vec::new();
        if !workloads.is_empty() {
            let place = runtime.block_on(async {
                let tenant = setup::tenant(cluster, "bench", size.rules).await?;
                setup::preload(&tenant, size.rules).await?;
                setup::place(&tenant, size.rules).await
            })?;
            rows.extend(run::measure(cluster, &place, &workloads, size)?);
        }
        if names.iter().any(|name| name == "w5") {
            rows.push(runtime.block_on(bulk_runs(cluster, bulk_args, size.runs))?);
        }
        Ok(rows)
    })
}

/// W5, several times, each into a tenant of its own.
async fn bulk_runs(cluster: &Cluster, args: &BulkArgs, runs: usize) -> Result<Row> {
    let mut all = Row::default();
    for run in 0..runs {
        let tenant = setup::tenant(cluster, &format!("bulk-{run}"), false).await?;
        all = all.and(bulk::import_many(cluster, &tenant, args.records, args.import_connections, run).await?);
    }
    Ok(all)
}

/// Creates at a fixed rate over a full store, several times.
fn stall(cluster: &Cluster, fixed: &Fixed, args: &BulkArgs) -> Result<Vec<Row>> {
    let (place, bulk) = setup::runtime()?.block_on(async {
        let tenant = setup::tenant(cluster, "bulk", false).await?;
        let row = bulk::import_many(cluster, &tenant, args.records, args.import_connections, 0).await?;
        anyhow::Ok((setup::place(&tenant, false).await?, row))
    })?;
    let Fixed { rate, seconds, .. } = fixed;
    let title = format!("stall: {rate} creates/s for {seconds} s over {} records", args.records);
    let mut all = Row::default();
    for _ in 0..fixed.runs {
        all = all.and(run::fixed_rate(cluster, &place, *rate, fixed.outstanding, *seconds, &title)?);
    }
    Ok(vec![bulk, all])
}

fn kill_and_import(directory: &Path, seed: u64, kills: usize, pieces: usize, args: &ClusterArgs) -> Result<()> {
    let cluster = setup::start(args)?;
    let plan = kill_import::Plan {
        sources: data::sources(directory)?,
        seed,
        kills,
        pieces,
    };
    let survived = kill_import::run(&cluster, &plan).with_context(|| cluster.tails())?;
    println!("{survived:#?}");
    Ok(())
}
