//! `files get`: the content of a file, checked against what the server says that it is.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use api::client::ContentStream;
use api::ids::{Id, Slug};
use clap::Args;

use super::super::Result;
use super::super::remote::Remote;
use super::super::tenant::slug;

/// Download the content of a file
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest files get acme 0198… --output report.pdf --token cnt_…")]
pub(crate) struct Get {
    /// The tenant
    #[arg(value_parser = slug)]
    tenant: Slug,
    /// The file's id
    id: Id,
    /// The version; the current one where it is left out
    #[arg(long, value_name = "NUMBER")]
    version: Option<u64>,
    /// The file to write; standard output where it is left out
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

impl Get {
    pub(crate) async fn run(self) -> Result {
        let client = self.remote.client()?;
        let opened = client.file_content(self.tenant.as_str(), self.id, self.version).await;
        let content = opened.map_err(|error| self.remote.failure("read the file", error))?;
        let Some(path) = &self.output else {
            return self.copy(content, &mut io::stdout().lock()).await;
        };
        // It appears under its name only when it is whole.
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut file = fs::File::create(&partial).with_context(|| format!("create {}", partial.display()))?;
        let copied = self.copy(content, &mut file).await;
        if copied.is_err() {
            // It may be of no use to anybody; the first error is the one to report.
            let _ = fs::remove_file(&partial);
        }
        copied?;
        file.sync_all().with_context(|| format!("write {}", partial.display()))?;
        fs::rename(&partial, path).with_context(|| format!("write {}", path.display()))?;
        Ok(())
    }

    async fn copy(&self, mut content: ContentStream, out: &mut impl Write) -> Result {
        let (wanted, mut hasher) = (content.hash(), blake3::Hasher::new());
        loop {
            let next = content.next().await;
            let Some(piece) = next.map_err(|error| self.remote.failure("read the file", error))? else {
                break;
            };
            hasher.update(&piece);
            out.write_all(&piece).context("write the content")?;
        }
        out.flush().context("write the content")?;
        let found = hasher.finalize().to_string();
        if wanted.is_some_and(|wanted| wanted != found) {
            return Err(anyhow!("what came is not the content: its BLAKE3 is {found}; try again").into());
        }
        Ok(())
    }
}
