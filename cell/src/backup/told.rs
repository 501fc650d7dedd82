//! How the backups of the cells that a node leads stand, for people and their monitors.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::body::backup::CellBackup;

use super::keeper::Traffic;
use super::vault::Bounds;
use crate::records::time::{format_stamp, now_micros};

/// What a node knows of the backup of a cell, since it leads it.
#[derive(Clone, Debug, Default)]
struct Cell {
    /// The name of the cell.
    name: String,
    /// Everything until then is archived, in microseconds since the epoch; 0: this node has archived nothing yet.
    complete: u64,
    /// Since when it is to be archived here.
    since: u64,
    /// The last position of the log that is archived.
    index: u64,
    /// When the newest base was begun; 0: there is none.
    base_stamp: u64,
    /// Why it did not work last.
    error: Option<String>,
}

/// The backups that this node makes.
#[derive(Default)]
pub(crate) struct Told {
    /// How requests to the store are bounded.
    pub(crate) bounds: Bounds,
    /// Chunks of files on their way between disks and the store.
    pub(crate) traffic: Arc<Traffic>,
    cells: Mutex<BTreeMap<u64, Cell>>,
    /// By the name of the cell. They stay when another node leads.
    totals: Mutex<BTreeMap<String, Totals>>,
}

/// What is counted of a cell, since the node started.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    /// How often it did not work.
    failures: u64,
    /// Bytes that were written.
    bytes: u64,
    /// Chunks of files that could not be had.
    lacking: u64,
}

/// Name, kind and help of each metric.
const METRICS: [(&str, &str, &str); 5] = [
    (
        "cloudnest_backup_lag_seconds",
        "gauge",
        "What would be lost with all replicas of the cell, in seconds, as its leader knows.",
    ),
    (
        "cloudnest_backup_archived_index",
        "gauge",
        "The last position of the log that is archived.",
    ),
    (
        "cloudnest_backup_failures_total",
        "counter",
        "Attempts to archive that did not work.",
    ),
    (
        "cloudnest_backup_bytes_total",
        "counter",
        "Bytes written to the store of the backups.",
    ),
    (
        "cloudnest_backup_chunks_lacking_total",
        "counter",
        "Chunks of files that were on no replica when they were to be archived: the backup went on without them.",
    ),
];

impl Told {
    /// This node leads a cell.
    pub(crate) fn leads(&self, cell: u64, name: &str) {
        let new = || Cell {
            name: name.to_owned(),
            since: now_micros(),
            ..Cell::default()
        };
        self.lock().entry(cell).or_insert_with(new);
        self.totals().entry(name.to_owned()).or_default();
    }

    /// Only these cells are led here.
    pub(crate) fn retain(&self, led: &[u64]) {
        self.lock().retain(|cell, _| led.contains(cell));
    }

    /// Everything that was answered until `complete` is archived.
    pub(crate) fn done(&self, cell: u64, complete: u64, index: u64, base_stamp: u64) {
        if let Some(cell) = self.lock().get_mut(&cell) {
            (cell.complete, cell.index, cell.base_stamp, cell.error) = (complete, index, base_stamp, None);
        }
    }

    /// It did not work.
    pub(crate) fn failed(&self, cell: u64, name: &str, error: &str) {
        self.totals().entry(name.to_owned()).or_default().failures += 1;
        if let Some(cell) = self.lock().get_mut(&cell) {
            cell.error = Some(error.to_owned());
        }
    }

    /// Bytes were written.
    pub(crate) fn wrote(&self, name: &str, bytes: usize) {
        self.totals().entry(name.to_owned()).or_default().bytes += bytes as u64;
    }

    /// The backup went on without some chunks of files.
    pub(crate) fn lacked(&self, name: &str, chunks: u64) {
        self.totals().entry(name.to_owned()).or_default().lacking += chunks;
    }

    /// How the backup of a cell stands; none: this node does not make it.
    pub(crate) fn show(&self, cell: u64) -> Option<CellBackup> {
        let cell = self.lock().get(&cell).cloned()?;
        let chunks_lacking = self.totals().get(&cell.name).map_or(0, |totals| totals.lacking);
        Some(CellBackup {
            chunks_lacking,
            lag_seconds: cell.lag(),
            archived: cell.index,
            base_at: (cell.base_stamp > 0).then(|| format_stamp(cell.base_stamp)),
            error: cell.error,
        })
    }

    /// Writes the metrics.
    pub(crate) fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let cells: Vec<Cell> = self.lock().values().cloned().collect();
        let totals = self.totals().clone();
        for (at, (name, kind, help)) in METRICS.iter().enumerate() {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
            for cell in cells.iter().filter(|_| at < 2) {
                let value = if at == 0 { cell.lag() } else { cell.index };
                writeln!(out, "{name}{{cell=\"{}\"}} {value}", cell.name)?;
            }
            for (cell, totals) in totals.iter().filter(|_| at >= 2) {
                let value = [totals.failures, totals.bytes, totals.lacking][at - 2];
                writeln!(out, "{name}{{cell=\"{cell}\"}} {value}")?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Cell>> {
        // Numbers are whole whatever panicked.
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn totals(&self) -> MutexGuard<'_, BTreeMap<String, Totals>> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cell {
    fn lag(&self) -> u64 {
        now_micros().saturating_sub(self.complete.max(self.since)) / 1_000_000
    }
}
