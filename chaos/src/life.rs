//! What the harness is asked for over the life of a cluster.

use std::path::PathBuf;

use anyhow::Result;
use chaos::regions::lifecycle;
use chaos::report;
use clap::Args;

use crate::cli::On;
use crate::wide::Far;
use crate::{explain, show};

#[derive(Args)]
pub(crate) struct Life {
    /// Times that all nodes are upgraded from the level before, all but the last taken back
    #[arg(long, default_value_t = 3)]
    upgrades: usize,
    /// Topologies to bring about and take back
    #[arg(long, default_value_t = 60)]
    applies: usize,
    /// Among them such in which voters of the directory go: found to leave them behind (docs/plan.md)
    #[arg(long)]
    voters: bool,
    /// Tenants to restore from the backup
    #[arg(long, default_value_t = 20)]
    restores: usize,
    /// What load, deeds and kills are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    far: Far,
    #[command(flatten)]
    pub(crate) on: On,
}

impl Life {
    /// Does it; whether all held.
    pub(crate) fn carry_out(&self, binary: PathBuf) -> Result<bool> {
        let done = lifecycle::run(&lifecycle::Options {
            binary,
            seed: self.seed,
            applies: self.applies,
            voters: self.voters,
            upgrades: self.upgrades,
            restores: self.restores,
            distance: self.far.distance(),
        })?;
        report::write(&self.on.out, &done)?;
        let row = lifecycle::row(&done);
        show(&self.on.out, "lifecycle", &lifecycle::table(&row, &done), &row)?;
        explain(&row.verdict, &done.account.reproduce);
        Ok(row.verdict.is_green())
    }
}
