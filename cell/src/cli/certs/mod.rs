//! `certs`: certificates of nodes among each other, and what certificates say.

mod create;
mod show;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use api::certificate::Certificate;
use clap::Subcommand;
use raft::Bearer;
use serde::Serialize;

use super::Result;
use super::certificates::files_in;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Certs {
    Create(create::Create),
    Show(show::Show),
}

impl Certs {
    pub(super) fn run(self) -> Result {
        match self {
            Self::Create(command) => command.run(),
            Self::Show(command) => command.run(),
        }
    }
}

/// A certificate of a file.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Entry {
    /// The file.
    pub(super) file: PathBuf,
    /// Whose it is.
    pub(super) subject: String,
    /// Who issued it.
    pub(super) issuer: String,
    /// The cluster, for the certificate of a node.
    pub(super) cluster: Option<String>,
    /// The number of the node.
    pub(super) node: Option<u64>,
    /// The region of the node.
    pub(super) region: Option<String>,
    /// The DNS names that it is made out to.
    pub(super) names: Vec<String>,
    /// RFC 3339.
    pub(super) not_before: String,
    /// RFC 3339.
    pub(super) not_after: String,
    /// Whole days until its end; negative: since.
    pub(super) days_left: i64,
    /// Its end, in seconds since the epoch.
    #[serde(skip)]
    pub(super) ends_at: i64,
}

impl Entry {
    fn new(file: &Path, read: Certificate, now: i64) -> Self {
        let bearer = Bearer::of(read.names.iter().map(String::as_str));
        let (cluster, node, region) = match bearer {
            Some(bearer) => (Some(bearer.cluster), Some(bearer.node.0), bearer.region),
            None => (None, None, None),
        };
        Self {
            file: file.to_owned(),
            subject: read.subject,
            issuer: read.issuer,
            cluster,
            node,
            region,
            names: read.names,
            not_before: moment(read.not_before),
            not_after: moment(read.not_after),
            days_left: (read.not_after - now).div_euclid(86_400),
            ends_at: read.not_after,
        }
    }
}

/// RFC 3339, of seconds since the epoch.
pub(super) fn moment(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |moment| moment.to_string())
}

/// All certificates of a file, or what is wrong with it, with its name.
pub(super) fn read(path: &Path) -> std::result::Result<Vec<Entry>, String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let now = jiff::Timestamp::now().as_second();
    let all = Certificate::of_pem(&pem).map_err(wrong)?;
    Ok(all.into_iter().map(|one| Entry::new(path, one, now)).collect())
}

/// The files with certificates that a configuration names and that are on this machine: of authorities, of nodes, for clients. Without
/// `[tls]`, those that `cluster up` left in the data.
pub(super) fn files_of(config: &Config, data: &Path) -> BTreeSet<PathBuf> {
    let tls = config.tls.clone().unwrap_or_else(|| files_in(&data.join("tls")));
    let of_nodes = config.topology.nodes.iter().flat_map(|node| {
        let own = tls.of_node(&node.name);
        let clients = config.api_tls.as_ref().map(|files| files.of_node(&node.name).certificate);
        [Some(own.authority), Some(own.certificate), clients]
    });
    of_nodes.flatten().filter(|path| path.is_file()).collect()
}
