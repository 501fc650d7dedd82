//! What a run leaves behind: one HTML page, the same in Markdown, and its record as JSON lines.

mod figures;
mod html;
mod markdown;
mod svg;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

pub use figures::{Figures, Second};
pub use markdown::{campaign, verdict_word};

use crate::invariants::linearizability::{self, lines};
use crate::run::Done;

/// Writes `report.html`, `report.md`, `run.json`, `history.jsonl`, `registers.edn` and `ending.json`.
pub fn write(directory: &Path, done: &Done) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let figures = Figures::of(&done.account, &done.history);
    let text = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    text("report.html", &html::page(&done.account, &figures))?;
    text("report.md", &markdown::page(&done.account, &figures))?;
    text(
        "run.json",
        &serde_json::to_string_pretty(&done.account).context("write an account")?,
    )?;
    text(
        "ending.json",
        &serde_json::to_string(&done.ending).context("write an ending")?,
    )?;
    let path = directory.join("history.jsonl");
    let mut file = BufWriter::new(File::create(&path).with_context(|| format!("make {}", path.display()))?);
    // First who the tenants are, then a line an operation.
    line(&mut file, &done.history.tenants)?;
    for operation in &done.history.operations {
        line(&mut file, operation)?;
    }
    file.flush().context("write a history")?;
    registers(&directory.join("registers.edn"), done)
}

/// The registers' operations with what was read back last, for checkers of other people.
fn registers(path: &Path, done: &Done) -> Result<()> {
    let mut file = BufWriter::new(File::create(path).with_context(|| format!("make {}", path.display()))?);
    lines::write(&linearizability::closed(&done.history, &done.ending), &mut file)
        .and_then(|()| file.flush())
        .with_context(|| format!("write {}", path.display()))
}

fn line(file: &mut impl Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *file, value).context("write a history")?;
    file.write_all(b"\n").context("write a history")
}
