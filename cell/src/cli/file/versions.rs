//! `files versions`: what a file was.

use api::ids::{Id, Slug};
use clap::Args;

use super::super::remote::Remote;
use super::super::tenant::slug;
use super::super::{Result, output};

/// List the versions of a file, the newest first; or make one of them the newest again
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest files versions acme 0198… --token cnt_…\n  cloudnest files versions acme 0198… --restore 3 --token cnt_…"
)]
pub(crate) struct Versions {
    /// The tenant
    #[arg(value_parser = slug)]
    tenant: Slug,
    /// The file's id
    id: Id,
    /// Make this version the newest again
    #[arg(long, value_name = "NUMBER")]
    restore: Option<u64>,
    /// Print JSON, a line a version
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Versions {
    pub(crate) async fn run(self) -> Result {
        let (client, tenant) = (self.remote.client()?, self.tenant.as_str());
        if let Some(version) = self.restore {
            let restored = client.file_restore(tenant, self.id, version).await;
            let file = restored
                .map_err(|error| self.remote.failure("restore the version", error))?
                .body;
            eprintln!("version {} is like version {version}", file.version);
        }
        let (mut rows, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = client.file_versions(tenant, self.id, cursor.as_deref()).await;
            let page = page.map_err(|error| self.remote.failure("list the versions", error))?.body;
            for version in page.items {
                if self.json {
                    output::json_line(&version)?;
                    continue;
                }
                let number = if version.current {
                    format!("{} (current)", version.version)
                } else {
                    version.version.to_string()
                };
                let cells = [
                    number,
                    version.size.to_string(),
                    version.content_type,
                    version.created_at,
                    version.created_by,
                ];
                rows.push(cells.into_iter().map(output::plain).collect());
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        match self.json {
            true => Ok(()),
            false => output::table(&["version", "bytes", "type", "made", "by"], rows),
        }
    }
}
