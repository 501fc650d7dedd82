//! Real records: every file of a directory becomes a tenant with the `workspace` template, and its lines tasks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rig::cluster::Cluster;
use rig::tenant::{self, Tenant};
use rig::{import, verify};

use crate::report::{Measured, Row};

/// The collection of the template that lines go into.
pub const COLLECTION: &str = "tasks";
/// How long one file may take.
const FILE_WITHIN: Duration = Duration::from_secs(600);

/// A file of records.
#[derive(Clone, Debug)]
pub struct Source {
    /// The slug that its tenant gets: the file's name without endings.
    pub slug: String,
    /// NDJSON.
    pub lines: Vec<u8>,
}

/// The files `*.jsonl.gz` of a directory, by name.
pub fn sources(directory: &Path) -> Result<Vec<Source>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".jsonl.gz"));
    paths.sort();
    ensure!(!paths.is_empty(), "there is no *.jsonl.gz in {}", directory.display());
    let named = paths.into_iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Source {
            slug: name.trim_end_matches(".jsonl.gz").to_owned(),
            lines: import::read_lines(&path)?,
        })
    });
    named.collect()
}

/// Imports every file and verifies what is there: counts and the records themselves. One row a file.
pub async fn measure(cluster: &Cluster, directory: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for source in sources(directory)? {
        let tenant = tenant::create(cluster, &source.slug, Some("workspace")).await?;
        let count = import::count_lines(&source.lines);
        let started = Instant::now();
        let done = import::import(&tenant.client, &source.slug, COLLECTION, "data", &source.lines, FILE_WITHIN).await?;
        let seconds = started.elapsed().as_secs_f64();
        ensure!(
            done.summary.failed == 0,
            "{}: {} lines were refused: {:?}",
            source.slug,
            done.summary.failed,
            done.failures
        );
        let read = Instant::now();
        check(&tenant, &source).await?;
        let mut measured = Measured {
            rate: count as f64 / seconds,
            seconds,
            ..Measured::default()
        };
        measured.longest_gap_ms = Some(done.longest_gap.as_secs_f64() * 1e3);
        measured.more.insert("records".to_owned(), count as f64);
        measured
            .more
            .insert("records/s read back".to_owned(), count as f64 / read.elapsed().as_secs_f64());
        println!("{:<14} {count:>6} records, {:>8.0}/s, all there", source.slug, measured.rate);
        rows.push(Row::new(&format!("import of {}", source.slug), Some(1), vec![measured]));
    }
    Ok(rows)
}

/// Every line is there once, and the server's count says the same.
pub async fn check(tenant: &Tenant, source: &Source) -> Result<()> {
    let wanted = import::count_lines(&source.lines);
    let counted = verify::count(tenant, COLLECTION).await?;
    ensure!(
        counted == wanted,
        "{}: the server counts {counted} records, the file has {wanted}",
        source.slug
    );
    let records = verify::records(tenant, COLLECTION).await?;
    verify::matches_lines(&source.lines, &records).with_context(|| format!("compare {}", source.slug))
}
