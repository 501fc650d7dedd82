//! The command line of the chaos harness.
//!
//! Exit codes: 0 green, 1 violated or INVALID, 2 wrong usage.

mod cli;
mod life;
mod wide;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use chaos::faults::{self, Coverage};
use chaos::measure::{elections, failover, flips, overload};
use chaos::report::verdict_word;
use chaos::run::{self, Options};
use chaos::verdict::Verdict;
use chaos::{campaign, disks, gate, invariants, report, stop};
use clap::Parser;

use cli::{Cli, Command, find};

#[expect(clippy::print_stderr, reason = "a command line")]
fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::List) {
        return list();
    }
    // What is wrong with the question is told before anything starts.
    let options = match &cli.command {
        Command::Run { what, seed } | Command::Reproduce { what, seed } => what.options(*seed).map(Some),
        Command::Campaign { what, seeds, .. } => what.options(seeds.0).map(Some),
        Command::Failover { faults, on, .. } => faults::named(faults).and_then(|_| find(on.binary.as_deref())).map(|_| None),
        Command::Gate { on, .. } | Command::Overload { on, .. } | Command::Flips { on, .. } | Command::Elections { on, .. } => {
            find(on.binary.as_deref()).map(|_| None)
        }
        Command::Regions(regions) => find(regions.on().binary.as_deref()).map(|_| None),
        Command::List => Ok(None),
    };
    let options = match options {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(2);
        }
    };
    match stop::listen().and_then(|()| carry_out(&cli.command, options.as_ref())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: &Command, options: Option<&Options>) -> Result<bool> {
    match (command, options) {
        (Command::Campaign { seeds, again, what }, Some(options)) => many(options, *seeds, *again, &what.out),
        (Command::Run { what, .. } | Command::Reproduce { what, .. }, Some(options)) => one(options, &what.out),
        (
            Command::Failover {
                faults,
                repetitions,
                rate,
                on,
            },
            _,
        ) => {
            let options = failover::Options {
                binary: find(on.binary.as_deref())?,
                faults: faults.clone(),
                repetitions: *repetitions,
                per_second: *rate,
            };
            let rows = failover::measure(&options)?;
            show(&on.out, "failover", &failover::table(&rows, *rate), &rows)
        }
        (Command::Gate { bugs, seconds, on }, _) => hold(&find(on.binary.as_deref())?, *seconds, bugs, &on.out),
        (Command::Overload { seconds, on }, _) => {
            let row = overload::measure(find(on.binary.as_deref())?, *seconds)?;
            show(&on.out, "overload", &overload::table(&row), &row)
        }
        (Command::Flips { flips, seed, on }, _) => {
            let row = flips::measure(find(on.binary.as_deref())?, *flips, *seed)?;
            show(&on.out, "flips", &flips::table(&row), &row)
        }
        (Command::Elections { minutes, on }, _) => {
            let row = elections::measure(find(on.binary.as_deref())?, Duration::from_secs(minutes * 60))?;
            show(&on.out, "elections", &elections::table(&row), &row)
        }
        (Command::Regions(regions), _) => regions.carry_out(),
        _ => Ok(true),
    }
}

/// Prints a table, and keeps it and its figures.
#[expect(clippy::print_stdout, reason = "a command line")]
pub(crate) fn show(out: &Path, name: &str, table: &str, figures: &impl serde::Serialize) -> Result<bool> {
    println!("{table}");
    std::fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
    let write = |name: String, text: &str| std::fs::write(out.join(&name), text).with_context(|| format!("write {name}"));
    write(format!("{name}.md"), table)?;
    let figures = serde_json::to_string_pretty(figures).context("write the figures")?;
    write(format!("{name}.json"), &figures)?;
    Ok(true)
}

#[expect(clippy::print_stdout, reason = "a command line")]
fn list() -> ExitCode {
    disks::sweep();
    println!("faults:");
    for fault in faults::all() {
        let coverage = match fault.probe() {
            Coverage::Covered => "covered".to_owned(),
            Coverage::NotCovered(reason) => format!("NOT COVERED: {reason}"),
        };
        println!("  {:<16} {coverage:<12} {}", fault.name(), fault.about());
    }
    println!("invariants:");
    for name in ["faults-fired", "enough-load", "nothing-unasked", "liveness"] {
        println!("  {name}");
    }
    for invariant in invariants::all() {
        println!("  {}", invariant.name());
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "a command line")]
fn one(options: &Options, out: &Path) -> Result<bool> {
    let done = run::run(options)?;
    report::write(out, &done)?;
    let account = &done.account;
    for one in &account.fired {
        let said = one
            .trouble
            .as_deref()
            .map_or_else(|| one.said.clone(), |why| format!("DID NOT FIRE: {why}"));
        println!(
            "{:>6.1} s  {:<16} {}: {said}",
            one.at_us as f64 / 1e6,
            one.fault,
            one.nodes.join(", ")
        );
    }
    for one in &account.judged {
        println!("{:<10} {}", verdict_word(&one.verdict), one.name);
    }
    println!(
        "seed {}: {} ({} acknowledged, {:.0} s); {}",
        account.plan.seed,
        verdict_word(&account.verdict),
        account.acknowledged,
        account.took_seconds,
        out.join("report.html").display()
    );
    explain(&account.verdict, &account.reproduce);
    Ok(account.verdict.is_green())
}

#[expect(clippy::print_stdout, reason = "a command line")]
pub(crate) fn explain(verdict: &Verdict, reproduce: &str) {
    match verdict {
        Verdict::Green => return,
        Verdict::Violated { findings } => findings.iter().for_each(|finding| println!("  {finding}")),
        Verdict::Invalid { reason } => println!("  {reason}"),
    }
    println!("REPRODUCE: {reproduce}");
}

#[expect(clippy::print_stdout, reason = "a command line")]
fn many(options: &Options, (first, last): (u64, u64), again: u32, out: &Path) -> Result<bool> {
    let entries = campaign::run(options, first..=last, again, out, |entry| {
        println!(
            "seed {}: {} ({} acknowledged, {:.0} s, {})",
            entry.seed,
            verdict_word(&entry.verdict),
            entry.acknowledged,
            entry.took_seconds,
            entry.faults.join(" ")
        );
        explain(&entry.verdict, &entry.reproduce);
    })?;
    println!("{}", report::campaign(&entries));
    Ok(entries.iter().all(|entry| entry.verdict.is_green()))
}

#[expect(clippy::print_stdout, reason = "a command line")]
fn hold(binary: &Path, seconds: u64, bugs: &[String], out: &Path) -> Result<bool> {
    let all = gate::run(binary, seconds, bugs, out, |one| {
        println!(
            "{}: {} ({} seeds, {} INVALID, {:.0} s)",
            one.bug,
            if one.by.is_empty() {
                "not found".to_owned()
            } else {
                one.by.join(", ")
            },
            one.seeds,
            one.invalid,
            one.seconds
        );
    })?;
    println!("{}", gate::table(&all));
    Ok(all.iter().all(gate::Outcome::is_right))
}
