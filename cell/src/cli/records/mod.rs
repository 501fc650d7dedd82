//! `records`: a tenant's records.

mod cells;
mod failed;
mod form;
mod import;
mod map;
mod progress;
mod source;
mod window;

use clap::Subcommand;

use super::Result;

#[derive(Debug, Subcommand)]
pub(super) enum Records {
    Import(import::Import),
}

impl Records {
    pub(super) async fn run(self) -> Result {
        match self {
            Self::Import(command) => command.run().await,
        }
    }
}
