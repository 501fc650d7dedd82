//! The configuration of a cluster: `cluster.toml`, read and checked once, then immutable.
//!
//! Three steps. `raw` turns the text into sections whose values keep their place in the file, and reports what has the wrong
//! form: an unknown key, a text where a number belongs, a secret written down. `checked` looks at the sections together:
//! names and addresses that are there twice, references to nothing, a cell whose nodes are in two regions. What comes out is
//! a [`Config`], behind which nobody asks again whether a node exists.
//!
//! Neither step stops at the first mistake: the reader goes on with what it understood, and [`ConfigErrors`] holds all of it,
//! each with line and column. So a file is right after one round of corrections, and a typing mistake in a key never becomes
//! a default that nobody asked for.
//!
//! Invariants of a [`Config`]: every name is unique among its kind and so is every number; every node of a cell exists and is
//! in the cell's region; a cell has 1, 3 or 5 replicas; the directory has 1, 3 or 5 voters; no two nodes share an address.
//!
//! CAVEATS. A node takes from its file its own entry, its peers' addresses and the secrets; what the directory holds wins over
//! the rest once it is initialised. Secrets are not read here: [`Secret::read`] does it where they are needed.

use std::path::{Path, PathBuf};

mod backup;
mod checked;
mod error;
mod files;
mod members;
mod raw;
mod secret;
mod section;
mod store;
#[cfg(test)]
mod tests;
mod topology;

pub use backup::Backup;
pub use error::{ConfigError, ConfigErrors};
pub use files::Files;
pub use secret::{Secret, SecretError};
pub use store::Store;
pub use topology::{CellEntry, CellKind, CellState, NodeEntry, Plan, Region, Topology};

/// Largest configuration file, in bytes. Raised: a wrong path reads a large file. Lowered: very large clusters are refused.
const CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster's name: part of every node's certificate.
    pub cluster: String,
    /// Regions, nodes, cells, plans, and who votes in the directory.
    pub topology: Topology,
    /// The bootstrap token of the operator.
    pub operator_token: Option<Secret>,
    /// The certificates of the nodes among each other.
    pub tls: Option<TlsFiles>,
    /// The certificates for clients; none: they are served without TLS.
    pub api_tls: Option<ApiTls>,
    /// Heartbeats and elections of the cells.
    pub timing: Timing,
    /// Whether tenants are kept apart (`fair/`): switched off for measurements only.
    pub scheduler: bool,
    /// The backups of the regions that have any.
    pub backups: Vec<Backup>,
    /// The stores of files of the regions that have any; the files of the others are on their nodes' disks.
    pub files: Vec<Files>,
}

/// PEM files for the nodes' mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// A node's certificate; `{name}` stands for the node's name.
    pub certificate: PathBuf,
    /// A node's key; `{name}` stands for the node's name.
    pub key: PathBuf,
}

/// PEM files for TLS with clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiTls {
    /// A node's certificate, followed by those of its issuers; `{name}` stands for the node's name.
    pub certificate: PathBuf,
    /// Its key; `{name}` stands for the node's name.
    pub key: PathBuf,
}

/// How fast a cell notices that its leader is gone, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats of a leader.
    pub heartbeat_ms: u64,
    /// The shortest time without a heartbeat after which a replica stands for election.
    pub election_min_ms: u64,
    /// The longest.
    pub election_max_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_ms: 50,
            election_min_ms: 150,
            election_max_ms: 300,
        }
    }
}

impl Config {
    /// Reads and checks a file. Paths in it are relative to its directory.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let text = read(path).map_err(|(what, fix)| {
            let file = path.to_owned();
            ConfigErrors(vec![ConfigError {
                file,
                line: 1,
                column: 1,
                key: String::new(),
                what,
                fix: fix.to_owned(),
            }])
        })?;
        Self::parse(&text, path)
    }

    /// Checks a text that was read from `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigErrors> {
        let mut findings = error::Findings::new(path.to_owned(), text);
        let raw = raw::read(text, &mut findings);
        let dir = path
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let config = checked::check(&raw, dir, &mut findings);
        match findings.finish() {
            Some(errors) => Err(errors),
            None => Ok(config),
        }
    }

    /// The node of a name.
    pub fn node(&self, name: &str) -> Option<&NodeEntry> {
        self.topology.node(name)
    }

    /// The nodes of a region, in the order of the file.
    pub fn region_nodes(&self, region: &str) -> Vec<&NodeEntry> {
        self.topology.region_nodes(region)
    }

    /// The backups of a region.
    pub fn backup(&self, region: &str) -> Option<&Backup> {
        self.backups.iter().find(|backup| backup.region == region)
    }

    /// The store of a region's files; none: they are on its nodes' disks.
    pub fn files(&self, region: &str) -> Option<&Store> {
        self.files
            .iter()
            .find(|files| files.region == region)
            .map(|files| &files.store)
    }

    /// The cells of a region, in the order of the file.
    pub fn region_cells(&self, region: &str) -> Vec<&CellEntry> {
        self.topology.region_cells(region)
    }
}

impl TlsFiles {
    /// The same files for one node: `{name}` replaced by its name.
    pub fn of_node(&self, name: &str) -> Self {
        Self {
            authority: named(&self.authority, name),
            certificate: named(&self.certificate, name),
            key: named(&self.key, name),
        }
    }
}

impl ApiTls {
    /// The same files for one node: `{name}` replaced by its name.
    pub fn of_node(&self, name: &str) -> Self {
        Self {
            certificate: named(&self.certificate, name),
            key: named(&self.key, name),
        }
    }
}

fn named(path: &Path, name: &str) -> PathBuf {
    PathBuf::from(path.to_string_lossy().replace("{name}", name))
}

/// The text of a file, or what is wrong with it and what to do.
fn read(path: &Path) -> Result<String, (String, &'static str)> {
    let absent = "name the file with --config, or start with the example that comes with CloudNest";
    let length = std::fs::metadata(path)
        .map_err(|error| (format!("cannot read the file: {error}"), absent))?
        .len();
    if length > CONFIG_BYTES {
        return Err((
            format!("the file has {length} bytes, more than {CONFIG_BYTES}"),
            "is it the right file?",
        ));
    }
    std::fs::read_to_string(path).map_err(|error| (format!("cannot read the file: {error}"), "it must be a text in UTF-8"))
}
