//! A ledger: a line of JSON for each thing that is done, so that an interrupted command goes on where it was.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a ledger holds; nothing where there is none yet. A last line that breaks off was being written when the command was killed:
/// it is left out.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Adds a line.
pub(crate) fn append(path: &Path, entry: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(entry).context("write a line of the ledger")?;
    line.push('\n');
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    file.write_all(line.as_bytes()).context("write to the ledger")
}
