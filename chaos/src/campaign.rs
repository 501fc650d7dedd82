//! Many seeds, one after the other, with a ledger: a line of JSON a seed. What is in it is not run again.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::ledger;
use crate::report::{self, Figures};
use crate::run::{self, Options};
use crate::stop;
use crate::verdict::Verdict;

/// The ledger's name.
const LEDGER: &str = "ledger.jsonl";
/// The summary's name.
const SUMMARY: &str = "campaign.md";

/// One seed of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The seed.
    pub seed: u64,
    /// What it amounted to.
    pub verdict: Verdict,
    /// Its faults, in order.
    pub faults: Vec<String>,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// The longest gap in writes after any fault, in milliseconds.
    pub longest_gap_ms: u64,
    /// How long it took.
    pub took_seconds: f64,
    /// How to do it again.
    pub reproduce: String,
}

/// What the ledger of a campaign in this directory holds.
pub fn read(directory: &Path) -> Result<Vec<Entry>> {
    ledger::read(&directory.join(LEDGER))
}

/// Runs the seeds that the ledger does not have. `told` hears of each. Reports of seeds that are not green are kept.
pub fn run(
    options: &Options,
    seeds: std::ops::RangeInclusive<u64>,
    out: &Path,
    mut told: impl FnMut(&Entry),
) -> Result<Vec<Entry>> {
    std::fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
    for seed in seeds.clone() {
        if stop::is_asked() {
            anyhow::bail!("interrupted; the same command goes on with seed {seed}");
        }
        if read(out)?.iter().any(|entry| entry.seed == seed) {
            continue;
        }
        let own = Options { seed, ..options.clone() };
        let entry = one(&own, &out.join(format!("seed-{seed}")))?;
        ledger::append(&out.join(LEDGER), &entry)?;
        told(&entry);
        std::fs::write(out.join(SUMMARY), report::campaign(&of(out, &seeds)?)).context("write the summary")?;
    }
    of(out, &seeds)
}

fn of(out: &Path, seeds: &std::ops::RangeInclusive<u64>) -> Result<Vec<Entry>> {
    let mut entries = read(out)?;
    entries.retain(|entry| seeds.contains(&entry.seed));
    entries.sort_by_key(|entry| entry.seed);
    Ok(entries)
}

/// One seed. A failure of the harness is no verdict on the program: INVALID.
fn one(options: &Options, directory: &Path) -> Result<Entry> {
    let start = std::time::Instant::now();
    let done = match run::run(options) {
        Ok(done) => done,
        Err(error) if stop::is_asked() => return Err(error),
        Err(error) => {
            return Ok(Entry {
                seed: options.seed,
                verdict: Verdict::Invalid {
                    reason: format!("{error:#}").chars().take(2_000).collect(),
                },
                faults: Vec::new(),
                acknowledged: 0,
                longest_gap_ms: 0,
                took_seconds: start.elapsed().as_secs_f64(),
                reproduce: options.reproduce(),
            });
        }
    };
    if !done.account.verdict.is_green() {
        report::write(directory, &done)?;
    }
    let figures = Figures::of(&done.account, &done.history);
    Ok(Entry {
        seed: options.seed,
        verdict: done.account.verdict.clone(),
        faults: done.account.fired.iter().map(|one| one.fault.clone()).collect(),
        acknowledged: done.account.acknowledged,
        longest_gap_ms: figures.gaps_ms.iter().copied().max().unwrap_or(0),
        took_seconds: start.elapsed().as_secs_f64(),
        reproduce: options.reproduce(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_ledger_is_read_back_without_its_broken_end() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), []);
        let entry = Entry {
            seed: 7,
            verdict: Verdict::of(vec!["lost".to_owned()]),
            faults: vec!["kill".to_owned()],
            acknowledged: 9,
            longest_gap_ms: 300,
            took_seconds: 1.5,
            reproduce: "again".to_owned(),
        };
        let path = directory.path().join(LEDGER);
        ledger::append(&path, &entry).unwrap();
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"{\"seed\":8,").unwrap();
        assert_eq!(read(directory.path()).unwrap(), std::slice::from_ref(&entry));
        assert!(report::campaign(&[entry]).contains("| 7 | VIOLATED |"));
    }
}
