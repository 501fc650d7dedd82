//! Readiness and the platform's metrics.

use std::fmt;
use std::sync::Arc;

use api::certificate::Certificate;
use storage::Space;

use super::Front;
use crate::fair::turns::Crowd;
use crate::machine::reader::Reader;
use crate::node::replica::Replica;

impl Front {
    /// Ready: not draining, and every replica of this node is alive and knows a leader.
    pub(super) fn readiness(&self) -> Result<(), String> {
        if self.platform.is_draining() {
            return Err("the node drains".to_owned());
        }
        let places = self.platform.places();
        for slot in self.platform.directory.seat().iter().chain(places.values()) {
            if let Some(reason) = slot.stopped() {
                return Err(format!("the replica of {} has stopped: {reason}", slot.name));
            }
            if slot.get().is_some_and(|replica| replica.group.leader().is_none()) {
                return Err(format!("{} has no leader yet", slot.name));
            }
        }
        let directory = self.platform.directory.read();
        match directory.map(|snapshot| snapshot.header(Space::SYSTEM)) {
            Ok(Ok(Some(_))) => Ok(()),
            Ok(Ok(None)) => Err("the directory is empty: the cluster is not initialised".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the directory is being repaired".to_owned()),
        }
    }

    /// Metrics of the log and the stores, by cell; never by tenant.
    pub(super) fn write_metrics(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let log = self.platform.host.log_stats();
        counter(out, "cloudnest_log_fsyncs_total", "Fsyncs of the log.", log.fsyncs)?;
        counter(out, "cloudnest_log_bytes_total", "Bytes written to the log.", log.bytes)?;
        counter(out, "cloudnest_log_frames_total", "Frames written to the log.", log.frames)?;
        self.write_certificates(out)?;
        self.platform.moves.counts.write(out)?;
        self.platform.backups.write(out)?;
        self.platform.blobs.write(out)?;
        self.write_searches(out)?;
        let turns = || self.platform.replicas().map(|replica| Arc::clone(&replica.turns));
        let crowd = turns().map(|turns| turns.crowd()).fold(Crowd::default(), Crowd::and);
        self.platform
            .fair
            .write(&crowd, turns().map(|turns| turns.spare()).min().unwrap_or(0), out)?;
        let rows: Vec<_> = self
            .platform
            .slots()
            .map(|slot| {
                let [damages, repairs] = slot.counts();
                let scrubs = slot.get().map_or(0, |replica| replica.pins.finished());
                let found = slot.get().map(|replica| cell_values(&replica)).unwrap_or_default();
                let own = [
                    u64::from(slot.stopped().is_some()),
                    u64::from(slot.repairing()),
                    damages,
                    repairs,
                    scrubs,
                ];
                (Arc::clone(&slot.name), found.into_iter().chain(own).collect::<Vec<_>>())
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

    /// Searches, and how the index of each cell stands.
    fn write_searches(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let slots: Vec<_> = self
            .platform
            .slots()
            .map(|slot| (Arc::clone(&slot.name), slot.get()))
            .collect();
        let stands = slots.iter().filter_map(|(name, replica)| {
            let seeker = replica.as_ref()?.seeker.as_ref()?;
            Some((&**name, seeker.stand()))
        });
        self.platform.searches.write(&stands.collect::<Vec<_>>(), out)
    }

    /// Until when what this node proves itself with is valid.
    fn write_certificates(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let peer = self.certificate_end(self.platform.me.number);
        let clients = self.certificates.as_ref().map(|certificates| certificates.expires_at());
        let name = "cloudnest_certificate_expiry_seconds";
        writeln!(
            out,
            "# HELP {name} Until when the certificate for other nodes (peer) and the one for clients (api) are valid, in seconds since the epoch.\n\
             # TYPE {name} gauge"
        )?;
        for (kind, end) in [("peer", peer), ("api", clients)] {
            if let Some(end) = end {
                writeln!(out, "{name}{{kind=\"{kind}\"}} {end}")?;
            }
        }
        Ok(())
    }

    /// Until when the certificate is valid that a node proves itself to others with, in seconds since the epoch; none: it was not seen.
    pub(super) fn certificate_end(&self, number: u64) -> Option<i64> {
        let certificate = self.platform.host.certificate(raft::NodeId(number))?;
        Certificate::of_der(&certificate).map(|certificate| certificate.not_after)
    }
}

/// What a replica that is there says of itself, in the order of the metrics below.
fn cell_values(replica: &Replica) -> [u64; 15] {
    let (status, stats) = (replica.group.status(), replica.store.stats());
    let (tokens, schemas) = (replica.principals.hits(), replica.catalogs().hits());
    [
        u64::from(replica.group.is_leader()),
        status.term,
        status.last_log.saturating_sub(status.applied),
        status.applied,
        replica.store.durable(),
        stats.delta_bytes as u64,
        stats.flushes,
        stats.file_bytes,
        status.log_bytes,
        stats.page_hits,
        stats.page_misses,
        tokens.found,
        tokens.missed,
        schemas.found,
        schemas.missed,
    ]
}

/// Name, kind and help of each metric of a cell, in the order of the values above.
const CELL_METRICS: [(&str, &str, &str); 20] = [
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
    (
        "cloudnest_cell_log_bytes",
        "gauge",
        "Bytes of log that are kept, of those written since the process started.",
    ),
    (
        "cloudnest_cell_page_hits_total",
        "counter",
        "Pages of the store's file that were in its cache.",
    ),
    (
        "cloudnest_cell_page_misses_total",
        "counter",
        "Pages of the store's file that were not in its cache.",
    ),
    (
        "cloudnest_cell_token_hits_total",
        "counter",
        "Requests whose token was known.",
    ),
    (
        "cloudnest_cell_token_misses_total",
        "counter",
        "Requests whose token had to be looked up.",
    ),
    (
        "cloudnest_cell_schema_hits_total",
        "counter",
        "Requests and commands whose schema and rules were there, read and compiled.",
    ),
    (
        "cloudnest_cell_schema_misses_total",
        "counter",
        "Requests and commands whose schema and rules had to be read and compiled.",
    ),
    (
        "cloudnest_cell_stopped",
        "gauge",
        "1 where the replica has stopped or is being repaired.",
    ),
    ("cloudnest_cell_repairing", "gauge", "1 where the replica is being repaired."),
    (
        "cloudnest_cell_damage_total",
        "counter",
        "How often the replica's store was found damaged.",
    ),
    (
        "cloudnest_cell_repairs_total",
        "counter",
        "How often the replica was rebuilt from another one.",
    ),
    (
        "cloudnest_cell_scrubs_total",
        "counter",
        "Finished scrubs of the replica since it was opened.",
    ),
];

fn counter(out: &mut dyn fmt::Write, name: &str, help: &str, value: u64) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}")
}
