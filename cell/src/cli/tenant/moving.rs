//! `tenant move`: takes a tenant to another cell while it is in use.

use anyhow::anyhow;
use api::body::control::{Operation, TenantMove};
use api::ids::Slug;
use clap::Args;

use super::super::remote::Remote;
use super::super::{Failure, Result, output};

/// Move a tenant to another cell, while it is in use
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest tenant move acme --dedicated --wait --token cno_…")]
pub(crate) struct Move {
    /// The tenant
    #[arg(value_parser = super::slug)]
    slug: Slug,
    /// The cell that it goes to
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "dedicated",
        conflicts_with = "dedicated"
    )]
    cell: Option<String>,
    /// To a dedicated cell that is free
    #[arg(long)]
    dedicated: bool,
    /// Out of its region, into this one: its content leaves the region only where this names another
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Wait until it is there
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Move {
    pub(crate) async fn run(self) -> Result {
        let slug = self.slug.as_str();
        let to = TenantMove {
            cell: self.cell.clone(),
            dedicated: self.dedicated,
            region: self.region.clone(),
        };
        let client = self.remote.client()?;
        let key = uuid::Uuid::now_v7().to_string();
        let begun = client.tenant_move(slug, &to, Some(&key)).await;
        let mut operation = begun.map_err(|error| self.remote.failure("move the tenant", error))?.body;
        if self.wait {
            operation = self.remote.follow(&client, operation, "the move").await?;
        }
        self.report(&operation)
    }

    fn report(&self, operation: &Operation) -> Result {
        if self.json {
            output::json(operation)?;
        }
        let slug = &self.slug;
        match operation.status.as_str() {
            "cancelled" => Err(Failure::Failed(anyhow!("the move of {slug} was called off"))),
            _ if self.json => Ok(()),
            "done" => output::line(&format!("{slug} is moved")),
            _ => output::line(&format!("{slug} is being moved: operation {}", operation.id)),
        }
    }
}
