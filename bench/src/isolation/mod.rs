//! Isolation: what tenants notice of one that takes all it can get (experiment NN-1).
//!
//! Twenty victims ask at a fixed rate, together half of what the machine serves: 70 % point reads, 20 % creates, 10 % lists of 50. Phases with an
//! aggressor stand between phases without one, so that what else the machine does is in both. A latency counts from when its request was
//! due. The inflation of a phase is the victims' p99 in it over the mean of the p99 of the two quiet phases beside it.
//!
//! CAVEATS: clients and replicas share the processor. The aggressor's clients run at the lowest priority (they would be other people's machines);
//! the victims' do not.

mod aggressor;
mod noise;
mod spin;
mod victims;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rig::cluster::Cluster;
use rig::layout::Layout;

use self::aggressor::Aggressor;
pub use self::aggressor::Kind;
use self::victims::{Seen, Victims};
use crate::report::{Measured, Row};

/// Tenants that are watched.
const VICTIMS: usize = 20;
/// The part of what the machine serves that they ask for.
const LOAD: f64 = 0.5;
/// How long the machine rests between two phases: what was begun ends.
const REST: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// What the aggressor does, one after the other
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "import,flood,queries,connections,uploads,searches,streams,machine"
    )]
    pub aggressors: Vec<Kind>,
    /// Seconds of a phase
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Runs of each aggressor
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Requests a second of all victims together; half of what the machine is found to serve where it is left out
    #[arg(long)]
    pub rate: Option<f64>,
    /// The aggressor has a cell of its own on the same nodes
    #[arg(long)]
    pub neighbour: bool,
    /// The scheduler is switched off: the control, which must show what it is good for
    #[arg(long)]
    pub control: bool,
}

/// One region, with the scheduler or without.
pub fn layout(nodes: usize, size: &Size) -> Result<Layout> {
    let mut layout = Layout::one_region(nodes)?;
    layout.scheduler = !size.control;
    layout.dedicated = usize::from(size.neighbour);
    Ok(layout)
}

/// Runs the experiment. One row an aggressor.
pub fn run(cluster: &Cluster, size: &Size) -> Result<Vec<Row>> {
    let victims = Victims::settle(cluster, VICTIMS)?;
    let aggressor = Aggressor::settle(cluster, size.neighbour)?;
    let rate = match size.rate {
        Some(rate) => rate,
        None => {
            let found = victims.capacity(size.seconds.min(10))?;
            println!(
                "the machine serves {found:.0} requests/s to {VICTIMS} tenants; they ask for {:.0}",
                LOAD * found
            );
            LOAD * found
        }
    };
    let kinds = size.aggressors.iter();
    kinds.map(|kind| compare(&victims, &aggressor, *kind, rate, size)).collect()
}

/// Quiet, with the aggressor, quiet, with the aggressor, …, quiet.
fn compare(victims: &Victims, aggressor: &Aggressor, kind: Kind, rate: f64, size: &Size) -> Result<Row> {
    let window = Duration::from_secs(size.seconds);
    let rest = || std::thread::sleep(REST);
    let mut quiet = vec![victims.watch(rate, window)?];
    let mut runs = Vec::new();
    for run in 0..size.runs {
        let share = rate / VICTIMS as f64;
        let (seen, done) = aggressor.beside(kind, share, run, || victims.watch(rate, window))?;
        rest();
        quiet.push(victims.watch(rate, window)?);
        rest();
        let before = &quiet[quiet.len() - 2..];
        runs.push(measured(&seen, before, done, window)?);
    }
    let whereabouts = if size.neighbour { " in another cell" } else { "" };
    let off = if size.control { ", scheduler off" } else { "" };
    let row = Row::new(&format!("victims beside {kind}{whereabouts}{off}"), Some(VICTIMS), runs);
    for run in &row.runs {
        println!("{}: {:?} errors {:?}", row.workload, run.more, run.errors);
    }
    Ok(row)
}

fn measured(seen: &Seen, quiet: &[Seen], aggressor: f64, window: Duration) -> Result<Measured> {
    let at = |seen: &Seen, quantile: f64| seen.outcome.latency.value_at_quantile(quantile) as f64 / 1e3;
    let mut measured = Measured::of(&seen.outcome, false);
    for (name, quantile) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)] {
        let alone = quiet.iter().map(|quiet| at(quiet, quantile)).sum::<f64>() / quiet.len() as f64;
        ensure!(alone > 0.0, "nothing was measured without the aggressor");
        measured.more.insert(format!("{name} alone, ms"), alone);
        measured.more.insert(format!("{name} inflation"), at(seen, quantile) / alone);
    }
    let least = seen.successes.iter().min().context("there are no victims")?;
    let most = seen.successes.iter().max().context("there are no victims")?;
    measured
        .more
        .insert("victims: least over most".to_owned(), *least as f64 / (*most).max(1) as f64);
    measured
        .more
        .insert("aggressor, a second".to_owned(), aggressor / window.as_secs_f64());
    Ok(measured)
}
