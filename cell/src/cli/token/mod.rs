//! `token`: a tenant's API keys.

mod create;
mod list;
mod revoke;

use clap::Subcommand;

use super::Result;

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    Create(create::Create),
    List(list::List),
    Revoke(revoke::Revoke),
}

impl Token {
    pub(super) async fn run(self) -> Result {
        match self {
            Self::Create(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Revoke(command) => command.run().await,
        }
    }
}
