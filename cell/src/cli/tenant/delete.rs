//! `tenant delete`: erases a tenant and all that it owns.

use anyhow::anyhow;
use api::body::control::Operation;
use api::ids::Slug;
use clap::Args;

use super::super::remote::Remote;
use super::super::{Failure, Result, output};

/// Erase a tenant and all that it owns, for good
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest tenant delete acme --token cno_…")]
pub(crate) struct Delete {
    /// The tenant
    #[arg(value_parser = super::slug)]
    slug: Slug,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Do not wait until it is erased
    #[arg(long)]
    no_wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Delete {
    pub(crate) async fn run(self) -> Result {
        let slug = self.slug.as_str();
        if !self.yes && !output::confirmed(&format!("{slug} and everything in it will be erased."), slug)? {
            return Err(Failure::Failed(anyhow!("nothing was deleted")));
        }
        let client = self.remote.client()?;
        let deleted = client.tenant_delete(slug).await;
        let mut operation = deleted.map_err(|error| self.remote.failure("delete the tenant", error))?.body;
        if !self.no_wait {
            operation = self.remote.follow(&client, operation, "the deletion").await?;
        }
        self.report(&operation)
    }

    fn report(&self, operation: &Operation) -> Result {
        if self.json {
            output::json(operation)?;
        }
        match operation.status.as_str() {
            "failed" => {
                let why = operation.error.as_deref().unwrap_or("the server does not say why");
                Err(Failure::Failed(anyhow!("delete {}: {why}", self.slug)))
            }
            _ if self.json => Ok(()),
            "done" => output::line(&format!("{} is deleted", self.slug)),
            _ => output::line(&format!("{} is being deleted: operation {}", self.slug, operation.id)),
        }
    }
}
