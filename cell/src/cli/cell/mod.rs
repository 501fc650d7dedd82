//! `cell`: the groups of replicas that tenants are in.

mod restore;

use clap::Subcommand;

use super::Result;

#[derive(Debug, Subcommand)]
pub(super) enum Cell {
    Restore(restore::Restore),
}

impl Cell {
    pub(super) async fn run(self) -> Result {
        match self {
            Self::Restore(command) => command.run().await,
        }
    }
}
