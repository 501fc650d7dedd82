//! `tenant import`: an export read back into a tenant, with ids, versions and times.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use api::body::import::{ImportLine, ImportSummary};
use api::client::ClientError;
use api::ids::Slug;
use clap::Args;

use super::super::records::form::Form;
use super::super::records::source::Source;
use super::super::remote::Remote;
use super::super::{Failure, Result, output};

/// How long a server that cannot take the archive just now is asked again.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Read an export back: collections and records, with their ids, versions and times; secrets of tokens are in no export
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest tenant import acme acme.jsonl.gz --token cnt_…\n  cloudnest tenant import acme acme.jsonl --import-id monday --token cnt_…"
)]
pub(crate) struct Import {
    /// The tenant: its collections must not be there, or have no records
    #[arg(value_parser = super::slug)]
    slug: Slug,
    /// What `tenant export` wrote, plain or compressed with gzip
    file: PathBuf,
    /// Names the import: one that broke off goes on under the same name
    #[arg(long, value_name = "ID")]
    import_id: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Import {
    pub(crate) async fn run(self) -> Result {
        let id = self.import_id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let started = Instant::now();
        let summary = loop {
            match self.attempt(&id).await? {
                Ok(summary) => break summary,
                Err(error) if error.is_transient() && started.elapsed() < PATIENCE => {
                    tracing::info!(%error, "the import broke off; it goes on");
                    tokio::time::sleep(error.retry_after().unwrap_or(PAUSE)).await;
                }
                Err(error) => {
                    if error.is_transient() {
                        eprintln!("It goes on where it was with: --import-id {id}");
                    }
                    return Err(self.remote.failure("import the tenant", error));
                }
            }
        };
        let ImportSummary {
            imported,
            failed,
            position,
        } = summary;
        output::line(&format!("{imported} records are in {}, at position {position}", self.slug))?;
        if failed > 0 {
            return Err(Failure::Failed(anyhow::anyhow!("{failed} lines were refused")));
        }
        Ok(())
    }

    /// Sends the whole file; what is settled already is passed over.
    async fn attempt(&self, id: &str) -> Result<std::result::Result<ImportSummary, ClientError>> {
        let client = self.remote.client()?;
        let mut chunks = Source::open(&self.file, Form::Jsonl, Vec::new())?.chunks;
        let pieces = futures_util::stream::poll_fn(move |context| {
            chunks.poll_recv(context).map(|chunk| Some(chunk?.map(|chunk| chunk.bytes)))
        });
        let told = |line: &ImportLine| {
            if let ImportLine::Failure(failure) = line {
                eprintln!("line {}: {}: {}", failure.line, failure.code, failure.message);
            }
        };
        Ok(client
            .tenant_import(self.slug.as_str(), Some(id.to_owned()), pieces, told)
            .await)
    }
}
