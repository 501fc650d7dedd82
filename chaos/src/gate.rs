//! The mutation gate: a build with known bugs, each put back alone, and how long it takes until a checker says so.
//!
//! A bug has 50 seeds or ten minutes. It gets the faults that it takes, where it takes one: what a bug needs is said in
//! `docs/mutants.md`. The control, which has everything but the bug, must stay green over ten seeds. What was done is in a ledger, a line
//! of JSON a bug, and is not done again.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::regions::{moves, residency};
use crate::run::{self, Options};
use crate::verdict::Verdict;
use crate::{ledger, report, stop};

/// Seeds that a bug has.
const SEEDS: u64 = 50;
/// Time that a bug has.
const WITHIN: Duration = Duration::from_secs(600);
/// Seeds that the control must stay green in.
const CONTROL_SEEDS: u64 = 10;
/// The control's name.
const CONTROL: &str = "none";
/// Characters that are kept of what was said.
const SAID_CHARS: usize = 300;
/// The ledger's name.
const LEDGER: &str = "gate.jsonl";

/// How long the load of a seed runs at least for a bug that shows only in what has piled up.
const PILES_UP_SECONDS: u64 = 30;
/// Such a bug.
const PILES_UP: &str = "unbounded-log";

/// A bug that shows where tenants move.
const MOVES: &str = "hold-not-applied";
/// A bug that shows in what other regions have.
const LEAKS: &str = "name-in-directory";
/// Moves of a seed.
const MOVES_OF_A_SEED: usize = 30;

/// A bug, and the faults that it takes; none: whatever is drawn.
type Bug = (&'static str, &'static [&'static str]);

const SNAPSHOTS: &[&str] = &["kill", "restart-loop", "pause", "partition"];
const KILLS: &[&str] = &["kill", "restart-loop"];

/// All bugs of a build with the feature `mutants`, the control first.
const BUGS: [Bug; 44] = [
    (CONTROL, &[]),
    ("ack-before-fsync", &["power-loss"]),
    ("vote-not-persisted", &["restart-loop", "kill"]),
    ("commit-without-quorum", &["leader-cut-off", "partition", "kill"]),
    ("read-without-barrier", &[]),
    ("unknown-called-not-applied", &["eio"]),
    ("wiped-node-welcome", &["wiped-node"]),
    ("torn-tail-accepted", &["torn-write"]),
    ("purge-past-durable", KILLS),
    (PILES_UP, &["overload"]),
    ("heartbeat-behind-data", &["bandwidth"]),
    ("flush-not-synced", &["power-loss"]),
    ("flush-loses-overwritten", &[]),
    ("snapshot-omits-idempotency", SNAPSHOTS),
    ("snapshot-omits-indexes", SNAPSHOTS),
    ("snapshot-loses-tail", SNAPSHOTS),
    ("snapshot-not-atomic", &["restart-loop"]),
    ("progress-ahead", KILLS),
    ("replay-not-skipped", KILLS),
    ("value-checksum-ignored", &["flip-bits"]),
    ("position-not-awaited", &[]),
    ("idempotency-ignored", &["reset", "kill", "half-open"]),
    ("clock-in-apply", &[]),
    ("event-outside-commit", KILLS),
    ("batch-not-atomic", &[]),
    ("unique-not-checked", &[]),
    ("reference-not-checked", &[]),
    ("version-not-compared", &[]),
    ("transition-not-checked", &[]),
    ("sequence-reused", &[]),
    ("event-number-gap", &[]),
    ("revoked-token-accepted", &[]),
    ("token-cache-without-tenant", &[]),
    ("export-leaks-neighbour", &[]),
    ("backfill-skips-a-record", &[]),
    ("duplicates-not-listed", &[]),
    ("history-forgets-a-version", &[]),
    ("tail-skips-an-event", &[]),
    ("search-forgets-a-change", &[]),
    ("chunk-on-one-disk", &[]),
    ("document-update-lost", &[]),
    ("presence-never-ends", &[]),
    (MOVES, &[]),
    (LEAKS, &[]),
];

/// What came of a bug.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name.
    pub bug: String,
    /// The checks that found it; empty: none did.
    pub by: Vec<String>,
    /// What the first of them said.
    pub said: String,
    /// Seeds that were tried.
    pub seeds: u64,
    /// The faults of the last of them.
    pub faults: Vec<String>,
    /// Seeds that showed nothing.
    pub invalid: u64,
    /// How long it took.
    pub seconds: f64,
}

impl Outcome {
    /// Found, or, of the control, not found.
    pub fn is_right(&self) -> bool {
        self.by.is_empty() == (self.bug == CONTROL)
    }
}

/// Tries the bugs of these names, or all, that the ledger does not have. `told` hears of each.
pub fn run(binary: &Path, seconds: u64, only: &[String], out: &Path, mut told: impl FnMut(&Outcome)) -> Result<Vec<Outcome>> {
    std::fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
    if let Some(name) = only.iter().find(|name| BUGS.iter().all(|(bug, _)| bug != name)) {
        bail!("there is no bug {name:?}; see docs/mutants.md");
    }
    let kept = out.join(LEDGER);
    let wanted = |bug: &str| only.is_empty() || only.iter().any(|name| name == bug);
    for (bug, faults) in BUGS.iter().filter(|(bug, _)| wanted(bug)) {
        if ledger::read::<Outcome>(&kept)?.iter().any(|one| one.bug == *bug) {
            continue;
        }
        let outcome = hunt(binary, seconds, bug, faults, out)?;
        ledger::append(&kept, &outcome)?;
        told(&outcome);
        std::fs::write(out.join("gate.md"), table(&ledger::read::<Outcome>(&kept)?)).context("write the table")?;
    }
    let mut all: Vec<Outcome> = ledger::read(&kept)?;
    all.retain(|one| wanted(&one.bug));
    Ok(all)
}

fn hunt(binary: &Path, seconds: u64, bug: &str, faults: &[&str], out: &Path) -> Result<Outcome> {
    let start = Instant::now();
    let mut outcome = Outcome {
        bug: bug.to_owned(),
        by: Vec::new(),
        said: String::new(),
        seeds: 0,
        faults: Vec::new(),
        invalid: 0,
        seconds: 0.0,
    };
    let seconds = if bug == PILES_UP {
        seconds.max(PILES_UP_SECONDS)
    } else {
        seconds
    };
    let seeds = if bug == CONTROL { CONTROL_SEEDS } else { SEEDS };
    while outcome.by.is_empty() && outcome.seeds < seeds && start.elapsed() < WITHIN {
        if stop::is_asked() {
            bail!("interrupted; the same command goes on with {bug}");
        }
        outcome.seeds += 1;
        let options = Options {
            seed: outcome.seeds,
            seconds,
            faults: (!faults.is_empty()).then(|| faults.iter().map(|name| (*name).to_owned()).collect()),
            binary: binary.to_path_buf(),
            mutant: Some(bug.to_owned()),
            noisy: false,
        };
        match try_out(&options, &out.join(bug)) {
            Ok(tried) => {
                outcome.faults = tried.faults;
                outcome.said = tried
                    .said
                    .map_or(outcome.said, |said| said.chars().take(SAID_CHARS).collect());
                outcome.by = tried.by;
                outcome.invalid += u64::from(tried.is_invalid);
            }
            Err(error) if stop::is_asked() => return Err(error),
            Err(error) => {
                outcome.invalid += 1;
                outcome.said = format!("{error:#}").chars().take(SAID_CHARS).collect();
            }
        }
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    Ok(outcome)
}

/// What came of a seed.
#[derive(Debug, Default)]
struct Tried {
    faults: Vec<String>,
    /// The checks that found something.
    by: Vec<String>,
    /// What the first of them said.
    said: Option<String>,
    is_invalid: bool,
}

/// One seed, by what can find the bug. The report of one that found something goes to `out`.
fn try_out(options: &Options, out: &Path) -> Result<Tried> {
    let done = match options.mutant.as_deref() {
        Some(LEAKS) => return look_for_leaks(options),
        Some(MOVES) => moves::run(&moves::Options {
            binary: options.binary.clone(),
            mutant: options.mutant.clone(),
            seed: options.seed,
            count: MOVES_OF_A_SEED,
            distance: Duration::ZERO,
        })?,
        _ => run::run(options)?,
    };
    let mut faults: Vec<_> = done.account.fired.iter().map(|one| one.fault.clone()).collect();
    if options.mutant.as_deref() == Some(MOVES) {
        // There are many, and their order says nothing.
        faults.sort();
        faults.dedup();
    }
    let mut tried = Tried {
        faults,
        is_invalid: matches!(done.account.verdict, Verdict::Invalid { .. }),
        ..Tried::default()
    };
    if let Verdict::Violated { findings } = &done.account.verdict {
        let violated = |one: &&crate::judge::Judged| matches!(one.verdict, Verdict::Violated { .. });
        let judged = done.account.judged.iter().filter(violated);
        tried.by = judged.map(|one| one.name.clone()).collect();
        tried.said = findings.first().cloned();
        report::write(out, &done)?;
    }
    Ok(tried)
}

fn look_for_leaks(options: &Options) -> Result<Tried> {
    let row = residency::measure(&residency::Options {
        binary: options.binary.clone(),
        mutant: options.mutant.clone(),
        seed: options.seed,
    })?;
    let found = (!row.leaks.is_empty()).then(|| "residency".to_owned());
    Ok(Tried {
        by: found.into_iter().collect(),
        said: row.leaks.first().cloned(),
        is_invalid: !row.doubts.is_empty(),
        ..Tried::default()
    })
}

/// All outcomes as a table.
pub fn table(all: &[Outcome]) -> String {
    let mut out =
        "| bug | found by | seed | s | faults of that seed | what was said first |\n|---|---|---|---|---|---|\n".to_owned();
    for one in all {
        let by = match (one.by.is_empty(), one.bug == CONTROL) {
            (true, true) => "nothing, as it should be".to_owned(),
            (true, false) => "NOT FOUND".to_owned(),
            (false, _) => one.by.join(", "),
        };
        let said = one.said.replace('\n', " ").replace('|', "\\|");
        out.push_str(&format!(
            "| `{}` | {by} | {} | {:.0} | {} | {said} |\n",
            one.bug,
            one.seeds,
            one.seconds,
            one.faults.join(", "),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_bug_is_tried_with_faults_that_exist() {
        let documented = include_str!("../../docs/mutants.md");
        let rows = documented
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let mut documented: Vec<_> = rows.collect();
        let mut tried: Vec<_> = BUGS.iter().map(|(bug, _)| *bug).filter(|bug| *bug != CONTROL).collect();
        documented.sort_unstable();
        tried.sort_unstable();
        assert_eq!(documented, tried);
        for name in BUGS.iter().flat_map(|(_, faults)| *faults) {
            assert!(crate::faults::find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_control_is_right_when_nothing_is_found() {
        let outcome = |bug: &str, by: &[&str]| Outcome {
            bug: bug.to_owned(),
            by: by.iter().map(|name| (*name).to_owned()).collect(),
            said: String::new(),
            seeds: 1,
            faults: Vec::new(),
            invalid: 0,
            seconds: 1.0,
        };
        assert!(outcome(CONTROL, &[]).is_right() && outcome("event-number-gap", &["events"]).is_right());
        assert!(!outcome(CONTROL, &["events"]).is_right() && !outcome("event-number-gap", &[]).is_right());
        assert!(table(&[outcome("event-number-gap", &[])]).contains("NOT FOUND"));
    }
}
