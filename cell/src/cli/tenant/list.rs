//! `tenant list`: all tenants of a region.

use api::limits::LIST_MAX;
use clap::Args;

use super::super::Result;
use super::super::output::{self, plain};
use super::super::remote::Remote;

/// List the tenants
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest tenant list --token cno_…")]
pub(crate) struct List {
    /// Print JSON, a tenant a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl List {
    pub(crate) async fn run(self) -> Result {
        let client = self.remote.client()?;
        let mut rows = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = client.tenants(LIST_MAX, cursor.as_deref()).await;
            let page = page.map_err(|error| self.remote.failure("list the tenants", error))?.body;
            for tenant in page.items {
                if self.json {
                    output::json_line(&tenant)?;
                    continue;
                }
                let status = format!("{:?}", tenant.status).to_lowercase();
                rows.push(vec![
                    plain(tenant.slug.to_string()),
                    plain(tenant.region),
                    plain(tenant.cell),
                    plain(tenant.plan),
                    plain(status),
                    plain(tenant.created_at),
                ]);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        if self.json {
            return Ok(());
        }
        if rows.is_empty() {
            eprintln!("There are no tenants yet: cloudnest tenant create SLUG");
            return Ok(());
        }
        output::table(&["TENANT", "REGION", "CELL", "PLAN", "STATUS", "CREATED"], rows)
    }
}
