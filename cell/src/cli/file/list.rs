//! `files list`: a tenant's files, or those of a record.

use api::ids::Slug;
use api::service::FileList;
use clap::Args;

use super::super::remote::Remote;
use super::super::tenant::slug;
use super::super::{Result, output};
use super::Attached;

/// List files
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest files list acme --token cnt_…\n  cloudnest files list acme --collection tasks --record 0198… --json --token cnt_…"
)]
pub(crate) struct List {
    /// The tenant
    #[arg(value_parser = slug)]
    tenant: Slug,
    #[command(flatten)]
    attached: Attached,
    /// Print JSON, a line a file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl List {
    pub(crate) async fn run(self) -> Result {
        let client = self.remote.client()?;
        let mut list = FileList {
            attached_to: self.attached.to(),
            ..FileList::default()
        };
        let mut rows = Vec::new();
        loop {
            let page = client.files(self.tenant.as_str(), &list).await;
            let page = page.map_err(|error| self.remote.failure("list the files", error))?.body;
            for file in page.items {
                if self.json {
                    output::json_line(&file)?;
                    continue;
                }
                let cells = [
                    file.id.to_string(),
                    file.name,
                    file.content_type,
                    file.size.to_string(),
                    file.version.to_string(),
                    file.updated_at,
                ];
                rows.push(cells.into_iter().map(output::plain).collect());
            }
            list.cursor = page.next_cursor;
            if list.cursor.is_none() {
                break;
            }
        }
        match self.json {
            true => Ok(()),
            false => output::table(&["id", "name", "type", "bytes", "version", "changed"], rows),
        }
    }
}
