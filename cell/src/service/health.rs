//! Readiness and the platform's metrics.

use std::fmt;

use storage::Space;

use super::Front;
use crate::machine::reader::Reader;

impl Front {
    /// Ready: not draining, and every replica of this node is alive and knows a leader.
    pub(super) fn readiness(&self) -> Result<(), String> {
        if self.platform.is_draining() {
            return Err("the node drains".to_owned());
        }
        for replica in self.platform.replicas() {
            if let Some(reason) = replica.group.stopped() {
                return Err(format!("the replica of {} has stopped: {reason}", replica.name));
            }
            if replica.group.leader().is_none() {
                return Err(format!("{} has no leader yet", replica.name));
            }
        }
        match self.platform.directory.store.begin_read().header(Space::SYSTEM) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("the directory is empty: the region is not initialised".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Metrics of the log and the stores, by cell; never by tenant.
    pub(super) fn write_metrics(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let log = self.platform.host.log_stats();
        counter(out, "cloudnest_log_fsyncs_total", "Fsyncs of the log.", log.fsyncs)?;
        counter(out, "cloudnest_log_bytes_total", "Bytes written to the log.", log.bytes)?;
        counter(out, "cloudnest_log_frames_total", "Frames written to the log.", log.frames)?;
        let rows: Vec<_> = self
            .platform
            .replicas()
            .map(|replica| {
                let (status, stats) = (replica.group.status(), replica.store.stats());
                let values = [
                    u64::from(replica.group.is_leader()),
                    status.term,
                    status.last_log.saturating_sub(status.applied),
                    status.applied,
                    replica.store.durable(),
                    stats.delta_bytes as u64,
                    stats.flushes,
                    stats.file_bytes,
                    u64::from(replica.group.stopped().is_some()),
                ];
                (replica.name.as_ref(), values)
            })
            .collect();
        for (at, (name, kind, help)) in CELL_METRICS.iter().enumerate() {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
            for (cell, values) in &rows {
                writeln!(out, "{name}{{cell=\"{cell}\"}} {}", values[at])?;
            }
        }
        Ok(())
    }
}

/// Name, kind and help of each metric of a cell, in the order of the values above.
const CELL_METRICS: [(&str, &str, &str); 9] = [
    ("cloudnest_cell_leader", "gauge", "1 where this node leads the cell."),
    ("cloudnest_cell_term", "gauge", "The Raft term."),
    (
        "cloudnest_cell_apply_lag",
        "gauge",
        "Entries of the log that are not applied yet.",
    ),
    ("cloudnest_cell_applied", "counter", "The last applied log position."),
    (
        "cloudnest_cell_durable",
        "counter",
        "The log position that is durable in the store.",
    ),
    (
        "cloudnest_cell_delta_bytes",
        "gauge",
        "Bytes in memory in front of the store.",
    ),
    ("cloudnest_cell_flushes_total", "counter", "Finished flushes."),
    ("cloudnest_cell_file_bytes", "gauge", "Size of the store's file."),
    ("cloudnest_cell_stopped", "gauge", "1 where the replica has stopped."),
];

fn counter(out: &mut dyn fmt::Write, name: &str, help: &str, value: u64) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}")
}
