//! `tenant restore`: what a tenant was at a time, as a new tenant beside it.

use anyhow::anyhow;
use api::body::backup::TenantRestore;
use api::body::control::Operation;
use api::ids::Slug;
use clap::Args;

use super::super::remote::Remote;
use super::super::{Failure, Result, output};

/// Make a new tenant of what another one was at a time
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  cloudnest tenant restore acme-before --from acme --at 2026-11-26T10:00:00Z --wait --token cno_…\n\nThe other tenant stays as it is; it may be deleted. The new one has one new admin token, which is printed, unless --keep-tokens is given."
)]
pub(crate) struct Restore {
    /// The new tenant
    #[arg(value_parser = super::slug)]
    slug: Slug,
    /// The tenant that it was
    #[arg(long, value_name = "SLUG", value_parser = super::slug)]
    from: Slug,
    /// The time, RFC 3339 [default: the latest that is archived]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The plan of the new tenant
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    /// The API keys that there were are valid in the new tenant
    #[arg(long)]
    keep_tokens: bool,
    /// Wait until it is there
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Restore {
    pub(crate) async fn run(self) -> Result {
        let wanted = TenantRestore {
            from: self.from.to_string(),
            at: self.at.clone(),
            plan: self.plan.clone(),
            keep_tokens: self.keep_tokens,
        };
        let client = self.remote.client()?;
        let begun = client.tenant_restore(self.slug.as_str(), &wanted, None).await;
        let begun = begun.map_err(|error| self.remote.failure("restore the tenant", error))?.body;
        let mut operation = begun.clone();
        if self.wait {
            operation = self.remote.follow(&client, operation, "the restore").await?;
        }
        operation.admin_token = begun.admin_token;
        self.report(&operation)
    }

    fn report(&self, operation: &Operation) -> Result {
        let slug = &self.slug;
        if self.json {
            output::json(operation)?;
        }
        if operation.status == "failed" {
            let why = operation.error.as_deref().unwrap_or("the operation does not say why");
            return Err(Failure::Failed(anyhow!("{slug} is not restored: {why}")));
        }
        if self.json {
            return Ok(());
        }
        match operation.status.as_str() {
            "done" => output::line(&format!("{slug} is restored"))?,
            _ => output::line(&format!("{slug} is being restored: operation {}", operation.id))?,
        }
        operation
            .admin_token
            .iter()
            .try_for_each(|token| output::line(&format!("token {token}")))
    }
}
