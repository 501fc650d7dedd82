//! What the harness is asked for on the command line.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chaos::run::Options;
use clap::{Args, Parser, Subcommand};

use crate::wide::Regions;

/// Prove that nothing is lost: real nodes, real faults, every answer checked
#[derive(Parser)]
#[command(
    name = "cloudnest-chaos",
    after_help = "Examples:\n  cloudnest-chaos run --seed 1\n  cloudnest-chaos run --seed 7 --faults kill,pause --seconds 30\n  cloudnest-chaos campaign --seeds 1..200 --out campaign\n\nThe program under test is `cloudnest` beside this one, or what --binary or CLOUDNEST_BIN names."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
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
        /// A seed whose run was INVALID, and so proved nothing, is run so many times more; the report tells of each
        #[arg(long, default_value_t = 0, value_name = "TIMES")]
        again: u32,
    },
    /// Known bugs, each put back alone, until a checker finds it: needs a build with the feature `mutants`
    Gate {
        /// Only these bugs
        #[arg(long, value_delimiter = ',')]
        bugs: Vec<String>,
        /// How long the load of a seed runs
        #[arg(long, default_value_t = 12)]
        seconds: u64,
        #[command(flatten)]
        on: On,
    },
    /// The longest time without an acknowledgement when the leader fails, again and again
    Failover {
        /// Faults, each on a cluster of its own
        #[arg(long, value_delimiter = ',', default_value = "kill,pause,leader-cut-off,hand-over")]
        faults: Vec<String>,
        /// How often each
        #[arg(long, default_value_t = 20)]
        repetitions: u32,
        /// Creates a second
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
        rate: u32,
        #[command(flatten)]
        on: On,
    },
    /// What still gets done when three times too much is asked for, and how soon all is well again
    Overload {
        /// How long it lasts
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        #[command(flatten)]
        on: On,
    },
    /// Bits of one replica's store flipped one after the other: is each found, and the replica rebuilt?
    Flips {
        /// How many
        #[arg(long, default_value_t = 200)]
        flips: u64,
        /// Where they lie
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        on: On,
    },
    /// Imports as fast as they go, and who becomes leader meanwhile: nobody should
    Elections {
        /// How long
        #[arg(long, default_value_t = 30)]
        minutes: u64,
        #[command(flatten)]
        on: On,
    },
    #[command(flatten)]
    Regions(Regions),
}

#[derive(Args)]
pub(crate) struct On {
    /// The program under test
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
    /// Where the table and the figures go
    #[arg(long, value_name = "DIR", default_value = "chaos-out")]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct What {
    /// How long the load runs
    #[arg(long, default_value_t = 20)]
    pub(crate) seconds: u64,
    /// The same in minutes
    #[arg(long, conflicts_with = "seconds")]
    pub(crate) minutes: Option<u64>,
    /// Only these faults
    #[arg(long, value_delimiter = ',')]
    pub(crate) faults: Option<Vec<String>>,
    /// The program under test
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "chaos-out")]
    pub(crate) out: PathBuf,
    /// Put a bug back (CLOUDNEST_MUTANT), in a build with the feature `mutants`
    #[arg(long, value_name = "NAME")]
    pub(crate) mutant: Option<String>,
    /// A tenant beside the load floods and imports as fast as it is answered
    #[arg(long)]
    pub(crate) noisy: bool,
}

impl What {
    pub(crate) fn options(&self, seed: u64) -> Result<Options> {
        let binary = find(self.binary.as_deref())?;
        let options = Options {
            seed,
            seconds: self.minutes.map_or(self.seconds, |minutes| minutes * 60).max(5),
            faults: self.faults.clone(),
            binary,
            mutant: self.mutant.clone(),
            noisy: self.noisy,
        };
        options.choose()?;
        Ok(options)
    }
}

pub(crate) fn find(binary: Option<&Path>) -> Result<PathBuf> {
    match binary {
        Some(binary) => binary.canonicalize().with_context(|| format!("find {}", binary.display())),
        None => rig::binary::find(),
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
