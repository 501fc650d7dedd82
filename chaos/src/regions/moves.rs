//! Tenants that move back and forth between two cells of their region, under the load and the checkers of every run, while leaders are
//! killed: of the cell that a tenant leaves, of the one that it goes to, of the directory.
//!
//! Each tenant moves all the time. A kill waits until a move is at a phase that is drawn, and hits whoever leads one of the three groups
//! then; the node is started again after a while, and the next kill waits until it is ready. At the end all tenants go to one cell, so
//! that the other one must hold nothing (`invariants/owners.rs`).

mod conductor;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use self::conductor::Conductor;
use super::{DIRECTORY, KILL, layout};
use crate::plan::Plan;
use crate::run::{self, Done};
use crate::stage::Stage;
use crate::verdict::Verdict;

/// The name under which moves stand in a timeline.
const MOVE: &str = "move";
/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub binary: PathBuf,
    /// The bug to put back.
    pub mutant: Option<String>,
    /// What load and kills are drawn from.
    pub seed: u64,
    /// Moves.
    pub count: usize,
    /// One way between regions.
    pub distance: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Moves that were done.
    pub moves: usize,
    /// Kills.
    pub kills: usize,
    /// Of those, of the leader of the directory.
    pub of_the_directory: usize,
    /// The middle of how long moves took, in milliseconds.
    pub median_ms: u64,
    /// The longest.
    pub longest_ms: u64,
    /// Operations of clients that were acknowledged.
    pub acknowledged: u64,
    /// What the checkers said.
    pub verdict: Verdict,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// Runs.
pub fn run(options: &Options) -> Result<Done> {
    let start = Instant::now();
    let stage = Stage::over(
        layout(2)?,
        options.binary.clone(),
        options.mutant.as_deref(),
        options.distance,
    )
    .context("bring the regions up")?;
    let plan = Plan {
        seed: options.seed,
        run_ms: 0,
        steps: Vec::new(),
    };
    let reproduce = format!("cloudnest-chaos moves --seed {} --count {}", options.seed, options.count);
    let what = run::Options {
        seed: options.seed,
        seconds: 0,
        faults: None,
        binary: options.binary.clone(),
        mutant: options.mutant.clone(),
        noisy: false,
    };
    let count = options.count;
    let mut done = run::perform(&what, stage, plan, start, &|field, plan, idle| {
        Conductor::new(field, plan.seed)?.conduct(count, idle)
    })?;
    done.account.reproduce = reproduce;
    Ok(done)
}

/// The figures of a run.
pub fn row(done: &Done) -> Row {
    let of = |name: &'static str| done.account.fired.iter().filter(move |one| one.fault == name);
    let mut took: Vec<u64> = of(MOVE).map(|one| one.healed_us.saturating_sub(one.at_us) / 1_000).collect();
    took.sort_unstable();
    Row {
        moves: took.len(),
        kills: of(KILL).count(),
        of_the_directory: of(KILL).filter(|one| one.said.contains(DIRECTORY)).count(),
        median_ms: crate::measure::median(&took),
        longest_ms: took.last().copied().unwrap_or(0),
        acknowledged: done.account.acknowledged,
        verdict: done.account.verdict.clone(),
        seconds: done.account.took_seconds,
    }
}

/// A run as a table.
pub fn table(row: &Row, done: &Done) -> String {
    let mut out = format!(
        "| moves | kills | of the directory's leader | median ms of a move | longest | acknowledged | verdict | s |\n\
         |---|---|---|---|---|---|---|---|\n| {} | {} | {} | {} | {} | {} | {} | {:.0} |\n\n| check | verdict |\n|---|---|\n",
        row.moves,
        row.kills,
        row.of_the_directory,
        row.median_ms,
        row.longest_ms,
        row.acknowledged,
        crate::report::verdict_word(&row.verdict),
        row.seconds
    );
    for one in &done.account.judged {
        out.push_str(&format!("| {} | {} |\n", one.name, crate::report::verdict_word(&one.verdict)));
    }
    out
}
