//! Postgres with a primary and two standbys, of which one at least has a commit on disk before it is acknowledged.
//!
//! Postgres does not run as root: where we are root, its servers run as the user `postgres`, which Debian's package makes. The table has
//! the fields of the benchmark's task, and an index by status and one by assignee, each with the id behind it, as CloudNest's have.

mod log;
mod pgbench;
mod servers;
mod table;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use rig::cluster::poll;

use super::{Peer, Started, Turn, files};
use crate::report::Measured;
use crate::run::Workload;
use servers::Servers;

/// Its name in the report.
pub(super) const NAME: &str = "Postgres";
/// Where Debian keeps what is not for everybody: a directory for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// What is needed of it.
const PROGRAMS: [&str; 5] = ["initdb", "postgres", "pg_basebackup", "psql", "pgbench"];

/// A primary with its standbys and the table.
struct Postgres {
    servers: Servers,
}

/// Starts them and brings the records in; the inner error says what is not installed.
pub(super) fn start() -> Started {
    let directories = [files::path(), versions()].concat();
    let Some(programs) = files::holding(&directories, &PROGRAMS) else {
        let names = PROGRAMS.join(", ");
        return Ok(Err(format!(
            "no directory of PATH or {DEBIAN}/*/bin has {names}: install postgresql"
        )));
    };
    let user = match servers::user()? {
        Ok(user) => user,
        Err(missing) => return Ok(Err(missing)),
    };
    let servers = Servers::start(programs, user)?;
    table::fill(&servers)?;
    Ok(Ok(Box::new(Postgres { servers })))
}

/// The directories of Debian's versions, the newest first.
fn versions() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

impl Postgres {
    /// A commit that no standby has confirmed would be cheaper than what is measured.
    fn wait_synchronous(&self) -> Result<()> {
        let mut seen = String::new();
        let synchronous = poll(servers::READY_WITHIN, || {
            let counted = self
                .servers
                .sql("select count(*) from pg_stat_replication where sync_state = 'quorum'");
            seen = counted.unwrap_or_else(|error| format!("{error:#}"));
            seen == "2"
        });
        ensure!(synchronous, "the standbys are not synchronous: {seen}");
        Ok(())
    }
}

impl Peer for Postgres {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pids(&self) -> Result<Vec<u32>> {
        Ok(self.servers.pids())
    }

    fn take(&mut self, turn: Turn) -> Result<Measured> {
        self.wait_synchronous()?;
        let before = table::count(&self.servers)?;
        let (measured, written) = pgbench::run(&self.servers, turn)?;
        let after = table::count(&self.servers)?;
        ensure!(
            after - before == written,
            "{written} writes were acknowledged, and there are {} rows more",
            after - before
        );
        Ok(measured)
    }
}

/// What the transactions of a workload are called, in the order of its scripts.
fn classes(workload: Workload) -> &'static [&'static str] {
    match workload {
        Workload::Create => &["write"],
        Workload::ReadStrong | Workload::ReadLocal | Workload::List | Workload::Filtered => &["read"],
        Workload::Mix => &["read", "write"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let found = versions();
        let number = |path: &PathBuf| -> u32 {
            let name = path.parent().and_then(|parent| parent.file_name()).unwrap();
            name.to_str().unwrap().parse().unwrap()
        };
        assert!(found.iter().map(number).is_sorted_by(|a, b| a > b), "{found:?}");
    }
}
