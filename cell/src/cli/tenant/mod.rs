//! `tenant`: the organisations that a cluster serves.

mod archive;
mod create;
mod delete;
mod export;
mod import;
mod list;
mod moving;
mod restore;
mod show;

use api::body::control::Tenant as Body;
use api::ids::Slug;
use clap::Subcommand;

use super::{Result, output};

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    Create(create::Create),
    List(list::List),
    Show(show::Show),
    Move(moving::Move),
    Restore(restore::Restore),
    Delete(delete::Delete),
    Export(export::Export),
    Import(import::Import),
}

impl Tenant {
    pub(super) async fn run(self) -> Result {
        match self {
            Self::Create(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Move(command) => command.run().await,
            Self::Restore(command) => command.run().await,
            Self::Delete(command) => command.run().await,
            Self::Export(command) => command.run().await,
            Self::Import(command) => command.run().await,
        }
    }
}

/// Reads a tenant's name from the command line.
pub(super) fn slug(text: &str) -> std::result::Result<Slug, String> {
    text.parse().map_err(|error: api::ids::IdError| error.to_string())
}

/// Prints a tenant, a line an attribute.
fn print(tenant: &Body) -> Result {
    let status = format!("{:?}", tenant.status).to_lowercase();
    let rows = [
        ("slug", tenant.slug.to_string()),
        ("id", tenant.id.to_string()),
        ("region", tenant.region.clone()),
        ("cell", tenant.cell.clone()),
        ("endpoint", tenant.endpoint.clone()),
        ("plan", tenant.plan.clone()),
        ("status", status),
        ("created", tenant.created_at.clone()),
    ];
    for (name, value) in rows {
        output::line(&format!("{name:<10} {value}"))?;
    }
    Ok(())
}
