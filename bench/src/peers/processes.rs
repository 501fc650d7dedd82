//! Processes with all that they have started: their processor time and their memory.
//!
//! A server such as Postgres has a process for each connection, and they share memory. So time includes that of children, living or
//! waited for, and memory is the proportional share: what several processes map counts once.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

/// `/proc/PID/stat` counts in hundredths of a second on every Linux that we meet (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Parent and ticks of a process: its own, and those of the children that it has waited for.
fn parse(stat: &str) -> Option<(u32, u64)> {
    // The name in parentheses may hold blanks.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<_> = after_name.split_ascii_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let mut ticks = 0;
    for field in fields.get(11..15)? {
        ticks += field.parse::<u64>().ok()?;
    }
    Some((parent, ticks))
}

/// All processes that there are: parent and ticks by id. What ends meanwhile is left out.
fn all() -> Result<BTreeMap<u32, (u32, u64)>> {
    let entries = std::fs::read_dir("/proc").context("list /proc")?;
    let found = entries.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        Some((pid, parse(&stat)?))
    });
    Ok(found.collect())
}

/// The ids and those of all their descendants.
fn family(all: &BTreeMap<u32, (u32, u64)>, roots: &[u32]) -> BTreeSet<u32> {
    let mut family: BTreeSet<u32> = roots.iter().copied().collect();
    let mut grown = true;
    while grown {
        let children: Vec<_> = all
            .iter()
            .filter(|(pid, (parent, _))| family.contains(parent) && !family.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        grown = !children.is_empty();
        family.extend(children);
    }
    family
}

/// Seconds of processor time of these and all that they have started. Where one of them is gone: an error.
pub(super) fn cpu_seconds(roots: &[u32]) -> Result<f64> {
    let all = all()?;
    let gone = roots.iter().find(|root| !all.contains_key(root));
    anyhow::ensure!(gone.is_none(), "process {} has ended", gone.copied().unwrap_or_default());
    let family = family(&all, roots);
    let ticks: u64 = family.iter().filter_map(|pid| all.get(pid)).map(|(_, ticks)| ticks).sum();
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Bytes of memory of these and all that they have started, what is shared counted once.
pub(super) fn memory_bytes(roots: &[u32]) -> Result<u64> {
    let family = family(&all()?, roots);
    let mut kib = 0;
    for pid in family {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
            // One that has just ended has no memory any more.
            anyhow::ensure!(!roots.contains(&pid), "the memory of process {pid} cannot be read");
            continue;
        };
        kib += proportional_kib(&text).unwrap_or(0);
    }
    Ok(kib * 1024)
}

fn proportional_kib(smaps: &str) -> Option<u64> {
    let line = smaps.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_includes_what_was_waited_for_and_a_name_may_hold_blanks() {
        let stat = "12 (a ) b) S 7 2 3 4 5 6 7 8 9 10 250 50 20 3 20 0";
        assert_eq!(parse(stat), Some((7, 323)));
        assert_eq!(parse("12 (a) S 7"), None);
    }

    #[test]
    fn a_family_is_what_descends_from_its_roots() {
        let all = BTreeMap::from([(9, (1, 1)), (10, (9, 1)), (3, (10, 1)), (4, (1, 1))]);
        assert_eq!(family(&all, &[9]), BTreeSet::from([3, 9, 10]));
    }

    #[test]
    fn memory_is_the_proportional_share() {
        assert_eq!(
            proportional_kib("Rss:  9 kB\nPss:      1234 kB\nPss_Dirty: 3 kB\n"),
            Some(1_234)
        );
    }

    #[test]
    fn our_own_process_has_both() {
        let own = [std::process::id()];
        assert!(cpu_seconds(&own).unwrap() >= 0.0);
        assert!(memory_bytes(&own).unwrap() > 100_000);
        assert!(cpu_seconds(&[u32::MAX]).is_err());
    }
}
