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
    /// Why earlier attempts at this seed were INVALID.
    #[serde(default)]
    pub attempts: Vec<String>,
}

/// What the ledger of a campaign in this directory holds.
pub fn read(directory: &Path) -> Result<Vec<Entry>> {
    ledger::read(&directory.join(LEDGER))
}

/// Runs the seeds that the ledger does not have; one that is INVALID, because it proves nothing, up to `again` more times. `told` hears of
/// each. Reports of seeds that are not green are kept.
pub fn run(
    options: &Options,
    seeds: std::ops::RangeInclusive<u64>,
    again: u32,
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
        let entry = until_it_shows(again, || one(&own, &out.join(format!("seed-{seed}"))))?;
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

/// Attempts at a seed until one is not INVALID. What is VIOLATED stays so.
fn until_it_shows(again: u32, mut attempt: impl FnMut() -> Result<Entry>) -> Result<Entry> {
    let mut attempts = Vec::new();
    loop {
        let entry = attempt()?;
        match &entry.verdict {
            Verdict::Invalid { reason } if attempts.len() < again as usize => attempts.push(reason.clone()),
            _ => return Ok(Entry { attempts, ..entry }),
        }
    }
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
                attempts: Vec::new(),
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
        attempts: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    fn entry(verdict: Verdict) -> Entry {
        Entry {
            seed: 7,
            verdict,
            faults: vec!["kill".to_owned()],
            acknowledged: 9,
            longest_gap_ms: 300,
            took_seconds: 1.5,
            reproduce: "again".to_owned(),
            attempts: Vec::new(),
        }
    }

    fn invalid(reason: &str) -> Verdict {
        Verdict::Invalid {
            reason: reason.to_owned(),
        }
    }

    /// Plays verdicts one after the other, and says which entry came of them and how many are left.
    fn tried(again: u32, verdicts: Vec<Verdict>) -> (Entry, usize) {
        let mut verdicts = verdicts.into_iter();
        let entry = until_it_shows(again, || Ok(entry(verdicts.next().unwrap()))).unwrap();
        (entry, verdicts.count())
    }

    #[test]
    fn what_proved_nothing_is_tried_again_and_what_is_violated_is_not() {
        let lost = Verdict::of(vec!["lost".to_owned()]);
        let (entry, left) = tried(2, vec![invalid("idle"), Verdict::Green, lost.clone()]);
        assert_eq!(
            (entry.verdict, entry.attempts, left),
            (Verdict::Green, vec!["idle".to_owned()], 1)
        );
        let (entry, left) = tried(2, vec![lost.clone(), Verdict::Green]);
        assert_eq!((entry.verdict, entry.attempts.len(), left), (lost, 0, 1));
        let (entry, left) = tried(1, vec![invalid("idle"), invalid("still idle"), Verdict::Green]);
        assert_eq!((entry.verdict, entry.attempts.len(), left), (invalid("still idle"), 1, 1));
    }

    #[test]
    fn a_ledger_is_read_back_without_its_broken_end() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), []);
        let entry = Entry {
            attempts: vec!["idle".to_owned()],
            ..entry(Verdict::of(vec!["lost".to_owned()]))
        };
        let path = directory.path().join(LEDGER);
        ledger::append(&path, &entry).unwrap();
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"{\"seed\":8,").unwrap();
        assert_eq!(read(directory.path()).unwrap(), std::slice::from_ref(&entry));
        let table = report::campaign(&[entry]);
        assert!(
            table.contains("| 7 | VIOLATED |") && table.contains("INVALID before: idle"),
            "{table}"
        );
    }
}
