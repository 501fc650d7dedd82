//! `token list`: a tenant's API keys, without their secrets.

use api::ids::Slug;
use clap::Args;

use super::super::Result;
use super::super::output::{self, plain};
use super::super::remote::Remote;
use super::super::tenant::slug;

/// List a tenant's API keys
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest token list acme --token cnt_…")]
pub(crate) struct List {
    /// The tenant
    #[arg(value_parser = slug)]
    tenant: Slug,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl List {
    pub(crate) async fn run(self) -> Result {
        let answer = self.remote.client()?.tokens(self.tenant.as_str()).await;
        let tokens = answer
            .map_err(|error| self.remote.failure("list the tokens", error))?
            .body
            .items;
        if self.json {
            return output::json(&tokens);
        }
        let rows = tokens.into_iter().map(|token| {
            vec![
                plain(token.id.to_string()),
                plain(token.name),
                plain(format!("{:?}", token.role).to_lowercase()),
                plain(token.scopes.map_or_else(|| "all".to_owned(), |scopes| scopes.join(","))),
                plain(token.expires_at.unwrap_or_else(|| "never".to_owned())),
                plain(token.created_at),
            ]
        });
        output::table(&["ID", "NAME", "ROLE", "COLLECTIONS", "EXPIRES", "CREATED"], rows.collect())
    }
}
