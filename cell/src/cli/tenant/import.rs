//! `tenant import`: an export read back into a tenant, with ids, versions and times, or an archive made a tenant.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use api::body::import::{ImportLine, ImportSummary};
use api::client::{ClientError, FromArchive};
use api::ids::Slug;
use clap::Args;

use super::super::records::form::Form;
use super::super::records::source::Source;
use super::super::remote::Remote;
use super::super::{Failure, Result, output};
use super::archive;
use super::create::only_region;

/// How long a server that cannot take the archive just now is asked again.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Make a tenant of an archive, or read the lines of an export back into one: with ids, versions and times
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest tenant import acme acme.jsonl.gz --token cnt_…\n  cloudnest tenant import acme acme.jsonl --import-id monday --token cnt_…\n  cloudnest tenant import acme acme.archive --region eu-west-1 --token cno_…"
)]
pub(crate) struct Import {
    /// The tenant. Of an archive it is made, and must not be there; of an export it must be there, its collections must not, or have no
    /// records
    #[arg(value_parser = super::slug)]
    slug: Slug,
    /// What `tenant export` wrote; lines may be compressed with gzip
    file: PathBuf,
    /// Names the import of an export: one that broke off goes on under the same name
    #[arg(long, value_name = "ID")]
    import_id: Option<String>,
    /// Of an archive: where the tenant's data stays; may be left out where there is one region
    #[arg(long)]
    region: Option<String>,
    /// Of an archive: the tenant's plan; the first of the configuration where it is left out
    #[arg(long)]
    plan: Option<String>,
    /// Of an archive: whether its tokens are the tenant's; where they are dropped, a new one is printed, once
    #[arg(long, value_enum, default_value_t = Tokens::Keep)]
    tokens: Tokens,
    #[command(flatten)]
    remote: Remote,
}

/// What becomes of the tokens of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Tokens {
    Keep,
    Drop,
}

impl Import {
    pub(crate) async fn run(self) -> Result {
        if archive::is_archive(&self.file)? {
            return self.make().await;
        }
        if self.region.is_some() || self.plan.is_some() || self.tokens != Tokens::Keep {
            let what = format!(
                "{} is no archive: lines are read into a tenant that is there, without --region, --plan and --tokens",
                self.file.display()
            );
            return Err(Failure::Usage(what));
        }
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

    /// Makes the tenant of an archive.
    async fn make(self) -> Result {
        if self.import_id.is_some() {
            let what = "an archive is imported as a whole: there is no --import-id to go on under".to_owned();
            return Err(Failure::Usage(what));
        }
        let region = match self.region {
            Some(region) => region,
            None => only_region(&self.remote, &self.remote.client()?).await?,
        };
        let new = FromArchive {
            region,
            plan: self.plan,
            drops_tokens: self.tokens == Tokens::Drop,
        };
        archive::import(&self.remote, self.slug.as_str(), &self.file, &new).await
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
