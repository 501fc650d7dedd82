//! `certs show`: what certificates say.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use super::super::node::{self, DATA};
use super::super::output::{self, Tone, plain};
use super::super::{Failure, Result};
use super::Entry;
use crate::node::certificates::expiry::{Notice, notice};

/// Show whose certificates are, who issued them, and how long they are valid
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest certs show tls/*.pem\n  cloudnest certs show --config cluster.toml --json\n\nThe exit code is 1 where a file cannot be read."
)]
pub(crate) struct Show {
    /// Files with certificates (PEM)
    #[arg(value_name = "FILE", required_unless_present = "config")]
    files: Vec<PathBuf>,
    /// Show those that this configuration names and that are on this machine
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    config: Option<PathBuf>,
    /// With --config: where `cluster up` left the directory tls
    #[arg(long, default_value = DATA, value_name = "DIR")]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(crate) fn run(self) -> Result {
        let files = match &self.config {
            None => self.files.clone(),
            Some(path) => {
                let found = super::files_of(&node::load(path)?, &self.data);
                if found.is_empty() {
                    let message = format!("nothing of what {} names is on this machine", path.display());
                    return Err(Failure::Failed(anyhow!("{message}: make it with `cloudnest certs create`")));
                }
                found.into_iter().collect()
            }
        };
        let (mut entries, mut wrong) = (Vec::new(), Vec::new());
        for file in &files {
            match super::read(file) {
                Ok(found) => entries.extend(found),
                Err(why) => wrong.push(why),
            }
        }
        if self.json {
            output::json(&entries)?;
        } else if !entries.is_empty() {
            let head = ["FILE", "SUBJECT", "NODE", "REGION", "ISSUER", "FROM", "UNTIL", "DAYS LEFT"];
            output::table(&head, entries.iter().map(row).collect())?;
        }
        for why in &wrong {
            eprintln!("{why}");
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::Reported) }
    }
}

fn row(entry: &Entry) -> Vec<(String, Tone)> {
    let tone = match notice(entry.ends_at, jiff::Timestamp::now().as_second()) {
        None => Tone::Plain,
        Some(Notice::Soon { .. }) => Tone::Warning,
        Some(Notice::Ended) => Tone::Bad,
    };
    vec![
        plain(entry.file.display().to_string()),
        plain(&*entry.subject),
        plain(entry.node.map(|node| node.to_string()).unwrap_or_default()),
        plain(entry.region.clone().unwrap_or_default()),
        plain(&*entry.issuer),
        plain(&*entry.not_before),
        plain(&*entry.not_after),
        (entry.days_left.to_string(), tone),
    ]
}
