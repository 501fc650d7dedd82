//! What the harness is asked for over several regions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use chaos::regions::towns::Load;
use chaos::regions::{creating, loss, moves, residency, soak};
use chaos::report;
use clap::{Args, Subcommand};

use crate::cli::{On, find};
use crate::life::Life;
use crate::{explain, show};

#[derive(Subcommand)]
pub(crate) enum Regions {
    /// Tenants that move between cells while leaders of both, and of the directory, are killed, under every checker
    Moves {
        /// How many moves
        #[arg(long, default_value_t = 200)]
        count: usize,
        /// What load and kills are drawn from
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Put a bug back, in a build with the feature `mutants`
        #[arg(long, value_name = "NAME")]
        mutant: Option<String>,
        #[command(flatten)]
        far: Far,
        #[command(flatten)]
        on: On,
    },
    /// The cluster upgraded, changed, and restored from while leaders are killed, under every checker
    Lifecycle(Life),
    /// The directory without a quorum, then a whole region gone and back, under load in all regions
    #[command(name = "regions")]
    Lose {
        /// Seconds of load before anything is done, and after all is
        #[arg(long, default_value_t = 60)]
        quiet: u64,
        /// Seconds without the directory
        #[arg(long, default_value_t = 600)]
        directory: u64,
        /// Seconds without the region
        #[arg(long, default_value_t = 120)]
        region: u64,
        #[command(flatten)]
        much: Much,
        #[command(flatten)]
        far: Far,
        #[command(flatten)]
        on: On,
    },
    /// How long it takes to make a tenant, with regions beside each other and apart
    Create {
        /// The ways there and back between regions to try, in milliseconds
        #[arg(long, value_delimiter = ',', default_value = "0,80")]
        delays_ms: Vec<u64>,
        /// Tenants of each region, one after the other
        #[arg(long, default_value_t = 100)]
        each: u64,
        /// Tenants with several at a time
        #[arg(long, default_value_t = 1_000)]
        many: u64,
        /// So many at a time
        #[arg(long, default_value_t = 12)]
        at_once: usize,
        #[command(flatten)]
        on: On,
    },
    /// Load for a long time, a leader killed every few minutes, and a restart of all nodes at the end
    Soak {
        /// How long, after a quiet minute
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// Seconds of load before anything is done
        #[arg(long, default_value_t = 60)]
        quiet: u64,
        /// Seconds from one kill to the next
        #[arg(long, default_value_t = 300)]
        kill_every: u64,
        #[command(flatten)]
        much: Much,
        #[command(flatten)]
        far: Far,
        #[command(flatten)]
        on: On,
    },
    /// Canaries of all that a tenant can write, looked for on the disks, in the logs and on the links of other regions
    Residency {
        /// What canaries are drawn from
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Put a bug back, in a build with the feature `mutants`
        #[arg(long, value_name = "NAME")]
        mutant: Option<String>,
        #[command(flatten)]
        on: On,
    },
    /// All nodes restarted one after the other under load, held against a quiet phase before
    Restart {
        /// Seconds of load before anything is done
        #[arg(long, default_value_t = 60)]
        quiet: u64,
        #[command(flatten)]
        much: Much,
        #[command(flatten)]
        far: Far,
        #[command(flatten)]
        on: On,
    },
}

#[derive(Args, Clone, Copy)]
pub(crate) struct Far {
    /// The way there and back between two regions, in milliseconds
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=2_000))]
    delay_ms: u64,
}

impl Far {
    /// One way.
    pub(crate) fn distance(self) -> Duration {
        Duration::from_millis(self.delay_ms) / 2
    }
}

#[derive(Args, Clone, Copy)]
pub(crate) struct Much {
    /// Requests a second over all regions, open loop
    #[arg(long, default_value_t = 2_000.0)]
    rate: f64,
    /// Connections of each region: bounds what is outstanding
    #[arg(long, default_value_t = 128)]
    outstanding: usize,
}

impl Much {
    fn load(self) -> Load {
        Load {
            rate: self.rate,
            outstanding: self.outstanding,
        }
    }
}

impl Regions {
    pub(crate) fn on(&self) -> &On {
        match self {
            Self::Moves { on, .. }
            | Self::Lose { on, .. }
            | Self::Create { on, .. }
            | Self::Soak { on, .. }
            | Self::Residency { on, .. }
            | Self::Restart { on, .. } => on,
            Self::Lifecycle(life) => &life.on,
        }
    }

    /// Does it; whether all held.
    pub(crate) fn carry_out(&self) -> Result<bool> {
        let (binary, out) = (find(self.on().binary.as_deref())?, &self.on().out);
        let seconds = Duration::from_secs;
        match self {
            Self::Moves {
                count,
                seed,
                mutant,
                far,
                ..
            } => {
                let options = moves::Options {
                    binary,
                    mutant: mutant.clone(),
                    seed: *seed,
                    count: *count,
                    distance: far.distance(),
                };
                move_tenants(&options, out)
            }
            Self::Lifecycle(life) => life.carry_out(binary),
            Self::Lose {
                quiet,
                directory,
                region,
                much,
                far,
                ..
            } => {
                let times = [quiet, directory, region].map(|time| seconds(*time));
                lose(binary, out, times, (*much, *far))
            }
            Self::Create {
                delays_ms,
                each,
                many,
                at_once,
                ..
            } => {
                let delays = delays_ms.iter().copied().map(Duration::from_millis).collect();
                let (each, many, at_once) = (*each, *many, *at_once);
                let rows = creating::measure(&creating::Options {
                    binary,
                    delays,
                    each,
                    many,
                    at_once,
                })?;
                Ok(show(out, "create", &creating::table(&rows), &rows)? && rows.iter().all(creating::Row::is_green))
            }
            Self::Residency { seed, mutant, .. } => look_for_canaries(binary, mutant.clone(), *seed, out),
            Self::Soak {
                minutes,
                quiet,
                kill_every,
                much,
                far,
                ..
            } => {
                let (quiet, time) = (seconds(*quiet), seconds(minutes * 60));
                soak_for(binary, out, "soak", (quiet, time, Some(seconds(*kill_every))), (*much, *far))
            }
            Self::Restart { quiet, much, far, .. } => {
                soak_for(binary, out, "restart", (seconds(*quiet), Duration::ZERO, None), (*much, *far))
            }
        }
    }
}

/// The directory and a region, after a quiet time, for so long.
fn lose(
    binary: PathBuf,
    out: &Path,
    [quiet, directory_gone, region_gone]: [Duration; 3],
    (much, far): (Much, Far),
) -> Result<bool> {
    let row = loss::measure(&loss::Options {
        binary,
        distance: far.distance(),
        load: much.load(),
        quiet,
        directory_gone,
        region_gone,
    })?;
    Ok(show(out, "regions", &loss::table(&row), &row)? && row.is_green())
}

fn look_for_canaries(binary: PathBuf, mutant: Option<String>, seed: u64, out: &Path) -> Result<bool> {
    let row = residency::measure(&residency::Options { binary, mutant, seed })?;
    Ok(show(out, "residency", &residency::table(&row), &row)? && row.is_green())
}

fn move_tenants(options: &moves::Options, out: &Path) -> Result<bool> {
    let done = moves::run(options)?;
    report::write(out, &done)?;
    let row = moves::row(&done);
    show(out, "moves", &moves::table(&row, &done), &row)?;
    explain(&row.verdict, &done.account.reproduce);
    Ok(row.verdict.is_green())
}

/// A quiet time, a longer one with kills so often, and a restart of all nodes.
fn soak_for(
    binary: PathBuf,
    out: &Path,
    name: &str,
    (quiet, time, kill_every): (Duration, Duration, Option<Duration>),
    (much, far): (Much, Far),
) -> Result<bool> {
    let row = soak::measure(&soak::Options {
        binary,
        distance: far.distance(),
        load: much.load(),
        quiet,
        time,
        kill_every,
    })?;
    Ok(show(out, name, &soak::table(&row), &row)? && row.is_green())
}
