//! What pgbench says: its log of transactions, from which come rate and latencies of a window, and its summary.
//!
//! A line of the log: client, number, microseconds, script, and when it ended in seconds and microseconds since the epoch. Instead of the
//! microseconds stands `failed` (or `skipped`) where the transaction did not succeed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rig::load::{Outcome, histogram};

/// A transaction.
struct Line {
    /// How long it took; or why it did not succeed.
    took: Result<Duration, String>,
    script: usize,
    /// When it ended, since the epoch.
    ended: Duration,
}

fn parse(line: &str) -> Option<Line> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let took = fields.next()?;
    let script = fields.next()?.parse().ok()?;
    let seconds = Duration::from_secs(fields.next()?.parse().ok()?);
    let ended = seconds + Duration::from_micros(fields.next()?.parse().ok()?);
    let took = match took.parse() {
        Ok(micros) => Ok(Duration::from_micros(micros)),
        Err(_) if took.bytes().all(|byte| byte.is_ascii_alphabetic()) => Err(took.to_owned()),
        Err(_) => return None,
    };
    Some(Line { took, script, ended })
}

/// What a log of a whole run holds.
pub(super) struct Log {
    /// What fell into the window.
    pub(super) outcome: Outcome,
    /// Transactions of each script that succeeded, of the whole run.
    pub(super) succeeded: Vec<u64>,
}

/// Reads a log. `window`: its beginning and end since the epoch; as with our own loader, rate counts what ended in it and latency what
/// began in it. `classes`: what the scripts are called. An error where a line is none, or the log ends before the window.
pub(super) fn read(text: &str, window: (Duration, Duration), classes: &[&'static str]) -> Result<Log> {
    let (opens, closes) = window;
    let mut succeeded = vec![0; classes.len()];
    let mut ends = Vec::new();
    let mut last = Duration::ZERO;
    let mut outcome = Outcome {
        window: closes.saturating_sub(opens),
        successes: 0,
        errors: BTreeMap::new(),
        latency: histogram(),
        by_class: classes.iter().map(|class| (*class, histogram())).collect(),
        longest_gap: Duration::ZERO,
        samples: None,
        slots: Vec::new(),
    };
    for line in text.lines() {
        let Line { took, script, ended } = parse(line).with_context(|| format!("read pgbench's line {line:?}"))?;
        ensure!(script < classes.len(), "pgbench names a script {script} in {line:?}");
        last = last.max(ended);
        let within = ended > opens && ended <= closes;
        match took {
            Ok(took) => {
                succeeded[script] += 1;
                if within {
                    ends.push(ended);
                }
                if within && ended.saturating_sub(took) >= opens {
                    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
                    outcome.latency.saturating_record(micros);
                    outcome.by_class[script].1.saturating_record(micros);
                }
            }
            Err(kind) if within => *outcome.errors.entry(kind).or_default() += 1,
            Err(_) => {}
        }
    }
    ensure!(last >= closes, "pgbench ended before the window did");
    outcome.successes = ends.len() as u64;
    outcome.longest_gap = longest_gap(ends, opens, closes);
    Ok(Log { outcome, succeeded })
}

/// The longest time between two ends, the beginning and the end of the window included.
fn longest_gap(mut ends: Vec<Duration>, opens: Duration, closes: Duration) -> Duration {
    ends.sort_unstable();
    let (mut longest, mut before) = (Duration::ZERO, opens);
    for end in ends.into_iter().chain([closes]) {
        longest = longest.max(end.saturating_sub(before));
        before = end;
    }
    longest
}

/// Transactions that pgbench counted itself: to compare with the log.
pub(super) fn processed(summary: &str) -> Result<u64> {
    const LINE: &str = "number of transactions actually processed:";
    let line = summary.lines().find_map(|line| line.trim().strip_prefix(LINE));
    let number = line.with_context(|| format!("find {LINE:?} in {summary:?}"))?;
    let number = number.trim().split(['/', ' ']).next().unwrap_or_default();
    number.parse().with_context(|| format!("read the number {number:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "0 1 2000 0 100 500000
1 1 900000 1 101 100000
0 2 4000 0 101 200000
1 2 failed 1 101 300000
0 3 6000 1 101 900000
0 4 1000 0 102 100000
";

    #[test]
    fn rate_counts_what_ends_in_the_window_and_latency_what_begins_in_it() {
        let window = (Duration::from_secs(101), Duration::from_secs(102));
        let log = read(LOG, window, &["read", "write"]).unwrap();
        // The second ends in the window and began before it.
        assert_eq!(log.outcome.successes, 3);
        assert_eq!(log.outcome.latency.len(), 2);
        assert!(log.outcome.latency.value_at_quantile(0.5).abs_diff(4_000) < 10);
        assert!((log.outcome.rate() - 3.0).abs() < 1e-9);
        let counts: Vec<_> = log
            .outcome
            .by_class
            .iter()
            .map(|(name, times)| (*name, times.len()))
            .collect();
        assert_eq!(counts, [("read", 1), ("write", 1)]);
        assert_eq!(log.outcome.errors, BTreeMap::from([("failed".to_owned(), 1)]));
        assert_eq!(log.outcome.longest_gap, Duration::from_millis(700));
        // Of the whole run, for the comparison with the table.
        assert_eq!(log.succeeded, [3, 2]);
    }

    #[test]
    fn a_log_that_is_none_or_ends_early_is_an_error() {
        let read = |text: &str, to| read(text, (Duration::from_secs(101), Duration::from_secs(to)), &["read", "write"]);
        let early = read(LOG, 103).err().map(|error| error.to_string());
        assert!(early.is_some_and(|error| error.contains("before the window")));
        assert!(read("0 1 x7 0 1 1\n", 0).is_err());
        assert!(read("0 1 7 2 102 1\n", 101).is_err());
        assert!(read("0 1 7\n", 0).is_err());
    }

    #[test]
    fn the_summary_has_the_number_of_transactions() {
        let summary =
            "scaling factor: 1\nnumber of transactions actually processed: 4321\nnumber of failed transactions: 0 (0.000%)\n";
        assert_eq!(processed(summary).unwrap(), 4_321);
        assert_eq!(processed("number of transactions actually processed: 10/10\n").unwrap(), 10);
        assert!(processed("pgbench: fatal\n").is_err());
    }
}
