//! `tenant create`: a new tenant, with its first admin token.

use api::body::control::NewTenant;
use api::client::Client;
use api::ids::Slug;
use clap::Args;

use super::super::remote::{Remote, idempotency_key};
use super::super::{Failure, Result, output};

/// Create a tenant and print its first admin token, once
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  cloudnest tenant create acme --region eu-west-1 --plan team --template workspace --url http://127.0.0.1:7421 --token cno_…"
)]
pub(crate) struct Create {
    /// Its name in URLs: 2 to 40 of a-z, 0-9 and -
    #[arg(value_parser = super::slug)]
    slug: Slug,
    /// Where its data stays; may be left out where there is one region
    #[arg(long)]
    region: Option<String>,
    /// Its display name
    #[arg(long)]
    name: Option<String>,
    /// Its plan; the first of the configuration where it is left out
    #[arg(long)]
    plan: Option<String>,
    /// Give it a cell of its own
    #[arg(long)]
    dedicated: bool,
    /// Collections to begin with: see `template list`
    #[arg(long)]
    template: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Create {
    pub(crate) async fn run(self) -> Result {
        let client = self.remote.client()?;
        let region = match self.region {
            Some(region) => region,
            None => only_region(&self.remote, &client).await?,
        };
        let new = NewTenant {
            slug: self.slug,
            name: self.name,
            region,
            plan: self.plan,
            dedicated: self.dedicated,
            template: self.template,
        };
        let created = client.tenant_create(&new, Some(&idempotency_key())).await;
        let tenant = created.map_err(|error| self.remote.failure("create the tenant", error))?.body;
        if self.json {
            return output::json(&tenant);
        }
        super::print(&tenant)?;
        match &tenant.admin_token {
            Some(token) => {
                output::line(&format!("{:<10} {token}", "token"))?;
                eprintln!("Keep the token: it is the tenant's first admin token and is shown only now.");
            }
            // A retry was answered: the tenant is there, its token went with the reply that got lost.
            None => eprintln!(
                "The token got lost with a broken connection: make one with `cloudnest token create {}`.",
                tenant.slug
            ),
        }
        Ok(())
    }
}

/// The server's region, where it has one only.
pub(super) async fn only_region(remote: &Remote, client: &Client) -> Result<String> {
    let regions = client
        .regions()
        .await
        .map_err(|error| remote.failure("ask for the regions", error))?;
    match regions.as_slice() {
        [region] => Ok(region.name.clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|region| region.name.as_str()).collect();
            Err(Failure::Usage(format!(
                "say where the tenant's data stays: --region, one of {}",
                names.join(", ")
            )))
        }
    }
}
