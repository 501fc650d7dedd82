//! `cell restore`: the tenants of a cell that was lost, out of its backup.

use anyhow::anyhow;
use api::body::backup::CellRestore;
use clap::Args;

use super::super::remote::Remote;
use super::super::{Failure, Result, output};

/// Bring the tenants of a cell that was lost back from its backup
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  cloudnest cell restore eu-west-1-shared --wait --token cno_…\n\nFor a cell whose replicas were all lost and that has come up empty (docs/backups.md). Tenants that are there stay as they are."
)]
pub(crate) struct Restore {
    /// The cell
    #[arg(value_name = "CELL")]
    cell: String,
    /// The time, RFC 3339 [default: the latest that is archived]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Wait until they are there
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
        let wanted = CellRestore { at: self.at.clone() };
        let client = self.remote.client()?;
        let begun = client.cell_restore(&self.cell, &wanted, None).await;
        let mut operation = begun.map_err(|error| self.remote.failure("restore the cell", error))?.body;
        if self.wait {
            operation = self.remote.follow(&client, operation, "the restore").await?;
        }
        if self.json {
            output::json(&operation)?;
        }
        let cell = &self.cell;
        match operation.status.as_str() {
            "failed" => {
                let why = operation.error.as_deref().unwrap_or("the operation does not say why");
                Err(Failure::Failed(anyhow!("{cell} is not restored as a whole: {why}")))
            }
            _ if self.json => Ok(()),
            "done" => output::line(&format!("{cell}: {} tenants are back", operation.progress)),
            _ => output::line(&format!("{cell} is being restored: operation {}", operation.id)),
        }
    }
}
