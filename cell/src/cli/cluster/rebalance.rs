//! `cluster rebalance`: shows which cells are hot, proposes moves, and does them.

use api::body::balance::Balance;
use api::body::control::TenantMove;
use api::client::Client;
use clap::Args;

use super::super::output::{self, plain};
use super::super::remote::Remote;
use super::super::{Failure, Result};

/// Even out the load of a region's cells: show what would help, and do it
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest cluster rebalance --url http://127.0.0.1:7421 --token cno_…        what is hot, and what would help\n  cloudnest cluster rebalance --yes --url http://127.0.0.1:7421 --token cno_…  does it, one tenant after the other, while they are in use\n\nA cell is hot that takes more than 1.3 times the mean of its region's shared cells, and 50 writes a second or more. A tenant that makes most of a cell's load by itself is named; nothing but a cell of its own helps: cloudnest tenant move SLUG --dedicated."
)]
pub(crate) struct Rebalance {
    /// Do what is proposed
    #[arg(long)]
    yes: bool,
    /// Print JSON: what is proposed
    #[arg(long, conflicts_with = "yes")]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Rebalance {
    pub(crate) async fn run(self) -> Result {
        let client = self.remote.client()?;
        let balance = client.balance().await;
        let balance = balance.map_err(|error| self.remote.failure("ask for the load", error))?;
        if self.json {
            return output::json(&balance);
        }
        print(&balance)?;
        if self.yes {
            self.bring_about(&client, &balance).await?;
        }
        Ok(())
    }

    async fn bring_about(&self, client: &Client, balance: &Balance) -> Result {
        for one in &balance.moves {
            let Some(to) = &one.to else { continue };
            let wanted = TenantMove {
                cell: Some(to.clone()),
                ..TenantMove::default()
            };
            let key = uuid::Uuid::now_v7().to_string();
            let begun = client.tenant_move(&one.tenant, &wanted, Some(&key)).await;
            let begun = begun.map_err(|error| self.remote.failure("move a tenant", error))?.body;
            let operation = self.remote.follow(client, begun, "a move").await?;
            if operation.status != "done" {
                let ended = format!("the move of {} has ended as {}", one.tenant, operation.status);
                return Err(Failure::Failed(anyhow::anyhow!(ended)));
            }
            output::line(&format!("{} is in {to}", one.tenant))?;
        }
        Ok(())
    }
}

fn print(balance: &Balance) -> Result {
    let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30));
    let row = |cell: &api::body::balance::CellLoad| {
        vec![
            plain(&*cell.cell),
            plain(cell.tenants.to_string()),
            plain(format!("{:.1}", cell.writes_per_second)),
            plain(gib(cell.stored_bytes)),
            plain(cell.disk_free_bytes.map_or_else(|| "?".to_owned(), gib)),
        ]
    };
    output::table(
        &["CELL", "TENANTS", "WRITES/S", "STORED", "DISK FREE"],
        balance.cells.iter().map(row).collect(),
    )?;
    output::line("")?;
    if balance.moves.is_empty() {
        return output::line("no cell is hot, or no move would help");
    }
    for one in &balance.moves {
        let (tenant, from, rate) = (&one.tenant, &one.from, one.writes_per_second);
        output::line(&match &one.to {
            Some(to) => format!("move {tenant} ({rate:.1} writes/s) from {from} to {to}"),
            None => format!(
                "{tenant} makes most of the load of {from} ({rate:.1} writes/s): give it a cell of its own, tenant move {tenant} --dedicated"
            ),
        })?;
    }
    Ok(())
}
