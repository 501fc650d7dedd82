//! `cluster`: many nodes.

mod apply;
mod backups;
mod bootstrap;
mod check;
mod child;
mod drain;
mod plan;
mod rebalance;
mod restart;
mod scrub;
mod status;
mod supervisor;
mod target;
mod up;

use clap::Subcommand;

use super::{Result, runtime};

#[derive(Debug, Subcommand)]
pub(super) enum Cluster {
    Up(up::Up),
    Status(status::Status),
    Scrub(scrub::Scrub),
    Check(check::Check),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Drain(drain::Drain),
    Rebalance(rebalance::Rebalance),
    Restart(restart::Restart),
}

impl Cluster {
    pub(super) fn run(self) -> Result {
        match self {
            Self::Up(command) => runtime::client(command.run()),
            Self::Status(command) => runtime::client(command.run()),
            Self::Plan(command) => runtime::client(command.run()),
            Self::Apply(command) => runtime::client(command.run()),
            Self::Drain(command) => runtime::client(command.run()),
            Self::Rebalance(command) => runtime::client(command.run()),
            Self::Restart(command) => runtime::client(command.run()),
            Self::Scrub(command) => runtime::client(command.run()),
            Self::Check(command) => command.run(),
        }
    }
}
