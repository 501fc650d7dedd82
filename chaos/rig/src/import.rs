//! Bulk import that does not give up: attempts with one `Import-Id` until the summary arrives.
//!
//! Every attempt sends all lines again; the server skips what it has stored. An attempt ends when its connection breaks, when
//! the server answers a problem that may pass, or when nothing is acknowledged for [`STALL`].

use std::cell::Cell;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use api::body::import::{ImportFailure, ImportLine, ImportSummary};
use api::client::{Client, ClientError, ImportOptions};

/// An attempt without progress for so long is dropped.
pub const STALL: Duration = Duration::from_secs(20);
/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// Refused lines that are kept to be shown.
const FAILURES_KEPT: usize = 20;

/// What an import came to.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The server's own count.
    pub summary: ImportSummary,
    /// How often it was begun.
    pub attempts: u32,
    /// The first refused lines.
    pub failures: Vec<ImportFailure>,
    /// The longest time between two lines of progress, pauses between attempts included.
    pub longest_gap: Duration,
}

/// Imports `lines` (NDJSON) until it is done or the deadline has come.
pub async fn import(
    client: &Client,
    tenant: &str,
    collection: &str,
    id: &str,
    lines: &[u8],
    within: Duration,
) -> Result<Imported> {
    let started = Instant::now();
    let heard = Cell::new(started);
    let longest_gap = Cell::new(Duration::ZERO);
    let mut failures = Vec::new();
    let options = ImportOptions {
        import_id: Some(id.to_owned()),
        csv: false,
        upsert: None,
    };
    for attempts in 1.. {
        let on_line = |line: &ImportLine| {
            longest_gap.set(longest_gap.get().max(heard.get().elapsed()));
            heard.set(Instant::now());
            if let ImportLine::Failure(failure) = line
                && failures.len() < FAILURES_KEPT
            {
                failures.push(failure.clone());
            }
        };
        let begun = Instant::now();
        let attempt = client.import_reader(tenant, collection, &options, lines, on_line);
        let result = tokio::select! {
            result = attempt => result.map_err(Broken::from),
            () = stalled(&heard, begun) => Err(Broken { passing: true, why: format!("no progress for {STALL:?}") }),
        };
        match result {
            Ok(summary) => {
                return Ok(Imported {
                    summary,
                    attempts,
                    failures,
                    longest_gap: longest_gap.get(),
                });
            }
            Err(broken) if broken.passing && started.elapsed() < within => tokio::time::sleep(PAUSE).await,
            Err(broken) => bail!("import {id} into {tenant}/{collection}: attempt {attempts}: {}", broken.why),
        }
    }
    unreachable!("the attempts are not counted to their end");
}

/// Why an attempt ended, and whether the next may go better.
struct Broken {
    passing: bool,
    why: String,
}

impl From<ClientError> for Broken {
    fn from(error: ClientError) -> Self {
        Self {
            passing: error.is_transient(),
            why: error.to_string(),
        }
    }
}

/// Resolves when nothing was heard for [`STALL`] in the attempt that began at `begun`.
async fn stalled(heard: &Cell<Instant>, begun: Instant) {
    loop {
        let wake = heard.get().max(begun) + STALL;
        if wake <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(wake.into()).await;
    }
}

/// The lines of a `.jsonl.gz` file.
pub fn read_lines(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut lines = Vec::new();
    flate2::read::MultiGzDecoder::new(file)
        .read_to_end(&mut lines)
        .with_context(|| format!("unpack {}", path.display()))?;
    Ok(lines)
}

/// How many lines that are not empty.
pub fn count_lines(lines: &[u8]) -> u64 {
    lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_without_the_empty_ones() {
        assert_eq!(count_lines(b"{}\n{}\n\n  \n{}"), 3);
        assert_eq!(count_lines(b""), 0);
    }
}
