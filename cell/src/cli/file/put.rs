//! `files put`: a file of this machine, uploaded so that it goes on after the way there broke off.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use api::client::{Client, ClientError};
use api::ids::{Id, Slug};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::super::remote::Remote;
use super::super::tenant::slug;
use super::super::{Failure, Result, output};
use super::Attached;

/// How long an upload that does not get further is tried again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// What is read of the file at a time, in bytes.
const PIECE: usize = 256 * 1024;

/// Upload a file, or a new version of one
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest files put acme report.pdf --type application/pdf --token cnt_…\n  cloudnest files put acme report.pdf --file 0198… --token cnt_…"
)]
pub(crate) struct Put {
    /// The tenant
    #[arg(value_parser = slug)]
    tenant: Slug,
    /// The file of this machine
    path: PathBuf,
    /// What it is called; its own name where it is left out
    #[arg(long)]
    name: Option<String>,
    /// Its media type
    #[arg(long = "type", value_name = "TYPE", default_value = "application/octet-stream")]
    media_type: String,
    /// The file that this is a new version of
    #[arg(long, value_name = "ID", conflicts_with_all = ["collection", "record", "name"])]
    file: Option<Id>,
    #[command(flatten)]
    attached: Attached,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Put {
    pub(crate) async fn run(self) -> Result {
        let (client, tenant) = (self.remote.client()?, self.tenant.as_str());
        let about = std::fs::metadata(&self.path).with_context(|| format!("read {}", self.path.display()))?;
        let metadata = self.metadata()?;
        let failed = |error| self.remote.failure("upload the file", error);
        let begun = client.upload_begin(tenant, about.len(), &metadata).await.map_err(failed)?;
        let id = self.send(&client, begun.body).await?;
        let file = client.file(tenant, id).await.map_err(failed)?.body;
        match self.json {
            true => output::json(&file),
            false => output::line(&format!(
                "{} {} version {} ({} bytes)",
                file.id, file.name, file.version, file.size
            )),
        }
    }

    fn metadata(&self) -> Result<String> {
        let own = self.path.file_name().and_then(|name| name.to_str());
        let name = self.name.as_deref().or(own);
        let name = name.ok_or_else(|| Failure::Usage("the file has no name of text: say one with --name".to_owned()))?;
        let mut pairs = vec![("filename", name.to_owned()), ("filetype", self.media_type.clone())];
        if let Some(file) = self.file {
            pairs.push(("file", file.to_string()));
        }
        if let Some(attached) = self.attached.to() {
            pairs.push(("collection", attached.collection));
            pairs.push(("record", attached.record.to_string()));
        }
        let pair = |(key, value): &(&str, String)| format!("{key} {}", STANDARD.encode(value));
        Ok(pairs.iter().map(pair).collect::<Vec<_>>().join(","))
    }

    /// Sends what has not come yet, until it has; what it became.
    async fn send(&self, client: &Client, id: Id) -> Result<Id> {
        let (tenant, mut last, mut since) = (self.tenant.as_str(), 0, Instant::now());
        loop {
            let attempt = match client.upload_state(tenant, id).await {
                Ok(state) => {
                    if let Some(file) = state.body.file {
                        return Ok(file);
                    }
                    if state.body.offset > last {
                        (last, since) = (state.body.offset, Instant::now());
                    }
                    let source = pieces(&self.path, state.body.offset).await?;
                    client.upload_send(tenant, id, state.body.offset, source).await.map(drop)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = attempt {
                if !passes(&error) || since.elapsed() > PATIENCE {
                    return Err(self.remote.failure("upload the file", error));
                }
                tokio::time::sleep(error.retry_after().unwrap_or(PAUSE).min(PATIENCE)).await;
            }
        }
    }
}

/// Whether an upload may go on after an error: nobody answered, somebody else is further, or it passes.
fn passes(error: &ClientError) -> bool {
    error.problem().is_none_or(|problem| problem.code == "offset_mismatch") || error.is_transient()
}

/// A file from a place on, in pieces.
async fn pieces(path: &Path, offset: u64) -> Result<impl futures_util::Stream<Item = io::Result<Bytes>>> {
    let mut file = tokio::fs::File::open(path)
        .await
        .with_context(|| format!("read {}", path.display()))?;
    file.seek(io::SeekFrom::Start(offset))
        .await
        .with_context(|| format!("read {}", path.display()))?;
    Ok(stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let mut piece = vec![0; PIECE];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(count) => {
                piece.truncate(count);
                Some((Ok(Bytes::from(piece)), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    }))
}
