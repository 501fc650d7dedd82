//! `tenant export`: everything that a tenant owns, as lines of JSON or as an archive.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use api::client::{Client, ClientError, ExportStream};
use api::ids::Slug;
use clap::Args;

use super::super::Result;
use super::super::remote::Remote;
use super::archive;

/// How long a server that cannot serve just now is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts where the server does not say when.
const PAUSE: Duration = Duration::from_millis(200);

/// Write everything that a tenant owns as lines of JSON, or all that it is as an archive
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest tenant export acme --output acme.jsonl --token cnt_…\n  cloudnest tenant export acme --token cnt_… | gzip > acme.jsonl.gz\n  cloudnest tenant export acme --archive --output acme.archive --token cno_…"
)]
pub(crate) struct Export {
    /// The tenant
    #[arg(value_parser = super::slug)]
    slug: Slug,
    /// The file to write; standard output where it is left out
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write an archive: with history, events, sequences and tokens, and what `tenant import` makes the same tenant of
    #[arg(long, requires = "output")]
    archive: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Export {
    pub(crate) async fn run(self) -> Result {
        if let (true, Some(path)) = (self.archive, &self.output) {
            let stream = self.open(async |client| client.archive(self.slug.as_str()).await).await?;
            return archive::to_file(&self.remote, stream, path).await;
        }
        let stream = self.open(async |client| client.export(self.slug.as_str()).await).await?;
        match &self.output {
            None => {
                self.copy(stream, &mut BufWriter::new(io::stdout().lock())).await?;
            }
            Some(path) => {
                let lines = self.to_file(stream, path).await?;
                eprintln!("{lines} lines in {}", path.display());
            }
        }
        Ok(())
    }

    /// Opens the stream; tries again for a while where the cell has no leader just now. Once something came, it is too late for that.
    async fn open<S>(&self, ask: impl AsyncFn(&Client) -> std::result::Result<S, ClientError>) -> Result<S> {
        let client = self.remote.client()?;
        let (started, mut silent) = (Instant::now(), 0);
        loop {
            match ask(&client).await {
                Ok(stream) => return Ok(stream),
                Err(error) if error.problem().is_some() && error.is_transient() && started.elapsed() < PATIENCE => {
                    tokio::time::sleep(error.retry_after().unwrap_or(PAUSE).min(PATIENCE)).await;
                }
                // The client turns to the next URL by itself, but does not repeat what streams.
                Err(error) if error.problem().is_none() && silent + 1 < self.remote.urls().len() => silent += 1,
                Err(error) => return Err(self.remote.failure("export the tenant", error)),
            }
        }
    }

    /// A file appears under its name only when it is whole.
    async fn to_file(&self, stream: ExportStream, path: &Path) -> Result<u64> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial);
        let mut file = BufWriter::new(opened.with_context(|| format!("create {}", partial.display()))?);
        let copied = match self.copy(stream, &mut file).await {
            Ok(lines) => file
                .get_ref()
                .sync_all()
                .and_then(|()| fs::rename(&partial, path))
                .map(|()| lines)
                .map_err(Into::into),
            Err(failure) => Err(failure),
        };
        if copied.is_err() {
            // What is wrong with the export is the error to report.
            let _ = fs::remove_file(&partial);
        }
        copied
    }

    async fn copy(&self, mut stream: ExportStream, out: &mut impl Write) -> Result<u64> {
        let mut lines = 0;
        while let Some(line) = stream
            .next_raw()
            .await
            .map_err(|error| self.remote.failure("export the tenant", error))?
        {
            out.write_all(&line)?;
            out.write_all(b"\n")?;
            lines += 1;
        }
        out.flush()?;
        Ok(lines)
    }
}
