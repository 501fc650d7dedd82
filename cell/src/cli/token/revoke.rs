//! `token revoke`: an API key stops working at once.

use api::ids::{Id, Slug};
use clap::Args;

use super::super::remote::Remote;
use super::super::tenant::slug;
use super::super::{Result, output};

/// Revoke an API key: it stops working at once
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest token revoke acme 0198c0de-0000-7000-8000-000000000001 --token cnt_…")]
pub(crate) struct Revoke {
    /// The tenant
    #[arg(value_parser = slug)]
    tenant: Slug,
    /// The key's id, as `token list` shows it: not its secret
    #[arg(value_parser = id)]
    id: Id,
    #[command(flatten)]
    remote: Remote,
}

impl Revoke {
    pub(crate) async fn run(self) -> Result {
        let revoked = self.remote.client()?.token_delete(self.tenant.as_str(), self.id).await;
        revoked.map_err(|error| self.remote.failure("revoke the token", error))?;
        output::line(&format!("{} is revoked", self.id))
    }
}

fn id(text: &str) -> std::result::Result<Id, String> {
    text.parse().map_err(|error: api::ids::IdError| error.to_string())
}
