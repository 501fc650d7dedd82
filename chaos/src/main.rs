//! The command line of the chaos harness.
//!
//! Exit codes: 0 green, 1 violated or INVALID, 2 wrong usage.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use chaos::faults::{self, Coverage};
use chaos::report::verdict_word;
use chaos::run::{self, Options};
use chaos::verdict::Verdict;
use chaos::{campaign, disks, invariants, report, stop};
use clap::{Args, Parser, Subcommand};

/// Prove that nothing is lost: real nodes, real faults, every answer checked
#[derive(Parser)]
#[command(
    name = "cloudnest-chaos",
    after_help = "Examples:\n  cloudnest-chaos run --seed 1\n  cloudnest-chaos run --seed 7 --faults kill,pause --seconds 30\n  cloudnest-chaos campaign --seeds 1..200 --out campaign\n\nThe program under test is `cloudnest` beside this one, or what --binary or CLOUDNEST_BIN names."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One run of one seed, with its report
    Run {
        #[command(flatten)]
        what: What,
        /// The seed
        #[arg(long)]
        seed: u64,
    },
    /// The same as run: what a REPRODUCE line says
    Reproduce {
        #[command(flatten)]
        what: What,
        /// The seed
        #[arg(long)]
        seed: u64,
    },
    /// All faults, whether this machine can do them, and all invariants
    List,
    /// Many seeds; goes on where it was interrupted
    Campaign {
        #[command(flatten)]
        what: What,
        /// The first and the last seed
        #[arg(long, value_name = "A..B", value_parser = seeds)]
        seeds: (u64, u64),
    },
}

#[derive(Args)]
struct What {
    /// How long the load runs
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The same in minutes
    #[arg(long, conflicts_with = "seconds")]
    minutes: Option<u64>,
    /// Only these faults
    #[arg(long, value_delimiter = ',')]
    faults: Option<Vec<String>>,
    /// The program under test
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "chaos-out")]
    out: PathBuf,
    /// Put a bug back (CLOUDNEST_MUTANT), in a build with the feature `mutants`
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
}

impl What {
    fn options(&self, seed: u64) -> Result<Options> {
        let binary = match &self.binary {
            Some(binary) => binary.canonicalize().with_context(|| format!("find {}", binary.display()))?,
            None => rig::binary::find()?,
        };
        let options = Options {
            seed,
            seconds: self.minutes.map_or(self.seconds, |minutes| minutes * 60).max(5),
            faults: self.faults.clone(),
            binary,
            mutant: self.mutant.clone(),
        };
        options.choose()?;
        Ok(options)
    }
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let parse = || {
        let (first, last) = text.split_once("..")?;
        let range = (first.parse().ok()?, last.trim_start_matches('=').parse().ok()?);
        (range.0 <= range.1).then_some(range)
    };
    parse().ok_or_else(|| format!("{text:?} is not a range of seeds: write 1..200"))
}

#[expect(clippy::print_stderr, reason = "a command line")]
fn main() -> ExitCode {
    let cli = Cli::parse();
    let (what, seed) = match &cli.command {
        Command::List => return list(),
        Command::Run { what, seed } | Command::Reproduce { what, seed } => (what, *seed),
        Command::Campaign { what, seeds } => (what, seeds.0),
    };
    let options = match what.options(seed) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(2);
        }
    };
    let done = stop::listen().and_then(|()| match &cli.command {
        Command::Campaign { seeds, .. } => many(&options, *seeds, &what.out),
        _ => one(&options, &what.out),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
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
fn one(options: &Options, out: &std::path::Path) -> Result<bool> {
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
fn explain(verdict: &Verdict, reproduce: &str) {
    match verdict {
        Verdict::Green => return,
        Verdict::Violated { findings } => findings.iter().for_each(|finding| println!("  {finding}")),
        Verdict::Invalid { reason } => println!("  {reason}"),
    }
    println!("REPRODUCE: {reproduce}");
}

#[expect(clippy::print_stdout, reason = "a command line")]
fn many(options: &Options, (first, last): (u64, u64), out: &std::path::Path) -> Result<bool> {
    let entries = campaign::run(options, first..=last, out, |entry| {
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
