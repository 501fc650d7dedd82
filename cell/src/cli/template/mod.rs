//! `template`: collections that come ready-made.

mod apply;
mod list;

use clap::Subcommand;

use super::Result;

#[derive(Debug, Subcommand)]
pub(super) enum Template {
    List(list::List),
    Apply(apply::Apply),
}

impl Template {
    pub(super) async fn run(self) -> Result {
        match self {
            Self::List(command) => command.run(),
            Self::Apply(command) => command.run().await,
        }
    }
}
