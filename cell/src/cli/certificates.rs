//! The nodes' certificates among each other: an authority and a certificate a node, in one directory.
//!
//! The directory holds `authority.pem`, `authority.key`, `NAME.pem` and `NAME.key`, keys with mode 0600, and `cluster`, the name that
//! all of them are made out to. What is there and can be used is kept, what is missing is made: so a cluster grows by calling [`issue`]
//! again. A certificate that its node could not use, because it lacks the region, comes from another authority or is about to end, is
//! made again to the key that is there, so that the two files fit together at every moment. Several processes may do so at a time; a
//! lock lets one through after the other.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use api::certificate::Certificate;
use raft::{Authority, Identity, NodeId, make_authority};

use super::files::{self, Access};
use super::{Failure, Result};
use crate::config::{Config, NodeEntry, TlsFiles};

/// How long a node's certificate is valid, days: thirteen months. Longer: one that was lost is of use for longer. Shorter: more often to be
/// renewed.
pub(super) const NODE_DAYS: u32 = 397;
/// How long before its end a certificate is made again, seconds; a third of its life, if that is less.
const EARLY_SECONDS: i64 = 30 * 86_400;

/// What [`issue`] is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    /// How long new certificates are valid, days.
    pub(super) days: u32,
    /// Whether all keys and certificates of nodes are made anew.
    pub(super) renew: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            days: NODE_DAYS,
            renew: false,
        }
    }
}

/// What became of a node's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Issued {
    /// It was there and can be used.
    Kept,
    /// It was not there, or was asked for with a new key.
    Made,
    /// It was made again to its key, because of this.
    Again(String),
}

/// The files of a directory that [`issue`] filled.
pub(super) fn files_in(dir: &Path) -> TlsFiles {
    TlsFiles {
        authority: dir.join("authority.pem"),
        certificate: dir.join("{name}.pem"),
        key: dir.join("{name}.key"),
    }
}

/// Makes what is missing of a directory for all nodes of a configuration, and says what, in their order.
pub(super) fn issue(dir: &Path, config: &Config, order: Order) -> Result<Vec<Issued>> {
    files::directory(dir)?;
    let _lock = files::lock(&dir.join("lock"), None)?;
    let authority = authority(dir, &config.cluster)?;
    let one = |node: &NodeEntry| issue_one(dir, config, node, &authority, order);
    config.topology.nodes.iter().map(one).collect()
}

fn issue_one(dir: &Path, config: &Config, node: &NodeEntry, authority: &Authority, order: Order) -> Result<Issued> {
    let paths = files_in(dir).of_node(&node.name);
    let (number, region) = (NodeId(node.number), node.region.as_str());
    let context = || format!("issue the certificate of {}", node.name);
    let key = files::read(&paths.key)?.filter(|_| !order.renew);
    let Some(key_pem) = key else {
        let identity = authority.issue(number, region, order.days).with_context(context)?;
        files::write(&paths.key, &identity.key_pem, Access::Private)?;
        files::write(&paths.certificate, &identity.certificate_pem, Access::Public)?;
        return Ok(Issued::Made);
    };
    let there = files::read(&paths.certificate)?;
    let reason = match &there {
        Some(certificate_pem) => {
            let identity = Identity {
                certificate_pem: certificate_pem.clone(),
                key_pem: key_pem.clone(),
                authority_pem: authority.certificate_pem().to_owned(),
            };
            reason_to_renew(&identity, config, node)
        }
        None => Some("it was not there".to_owned()),
    };
    let Some(reason) = reason else { return Ok(Issued::Kept) };
    let identity = authority.issue_to(&key_pem, number, region, order.days);
    let identity = identity.with_context(|| format!("{} to the key in {}", context(), paths.key.display()))?;
    files::write(&paths.certificate, &identity.certificate_pem, Access::Public)?;
    Ok(match there {
        Some(_) => Issued::Again(reason),
        None => Issued::Made,
    })
}

/// Why a node cannot use its certificate, or not for long; none: it can.
fn reason_to_renew(identity: &Identity, config: &Config, node: &NodeEntry) -> Option<String> {
    if let Err(error) = identity.check(&config.cluster, NodeId(node.number), &node.region) {
        return Some(error.to_string());
    }
    let own = Certificate::of_pem(identity.certificate_pem.as_bytes())
        .ok()?
        .into_iter()
        .next()?;
    let early = EARLY_SECONDS.min((own.not_after - own.not_before) / 3);
    let left = own.not_after - jiff::Timestamp::now().as_second();
    (left < early).then(|| format!("it ends in {} days", left / 86_400))
}

fn authority(dir: &Path, cluster: &str) -> Result<Authority> {
    let (certificate, key, name) = (dir.join("authority.pem"), dir.join("authority.key"), dir.join("cluster"));
    match (files::read(&certificate)?, files::read(&key)?) {
        (Some(certificate), Some(key)) => {
            let made_for = files::read(&name)?.unwrap_or_default();
            if made_for != cluster {
                let message = format!(
                    "the certificates in {} are those of the cluster {made_for:?}, not of {cluster:?}",
                    dir.display()
                );
                return Err(Failure::Failed(anyhow!("{message}; use another directory")));
            }
            Ok(Authority::from_pem(&certificate, &key).with_context(|| format!("read the authority in {}", dir.display()))?)
        }
        (None, _) => {
            let authority = make_authority(cluster).context("make an authority")?;
            files::write(&name, cluster, Access::Public)?;
            files::write(&key, authority.key_pem(), Access::Private)?;
            // The certificate last: a directory without one is not begun.
            files::write(&certificate, authority.certificate_pem(), Access::Public)?;
            Ok(authority)
        }
        (Some(_), None) => Err(Failure::Failed(anyhow!(
            "{} is missing: without the authority's key no certificate can be issued; bring it back from where it is kept",
            key.display()
        ))),
    }
}

/// The files of a node: from `[tls]`, from `dir`, or from where `dev`, `cluster up` and [`issue`] leave them beside `data`. Where the
/// authority's key lies with them, as it does in development, a certificate that the node cannot use is made again.
pub(super) fn of_node(config: &Config, node: &NodeEntry, data: &Path, dir: Option<&Path>) -> Result<TlsFiles> {
    let beside = data.parent().map(|parent| parent.join("tls"));
    let found = config.tls.clone().or_else(|| dir.map(files_in)).or_else(|| {
        let candidates = [Some(data.join("tls")), beside.clone()];
        let mut files = candidates.into_iter().flatten().map(|candidate| files_in(&candidate));
        files.find(|files| files.of_node(&node.name).certificate.exists())
    });
    if let Some(files) = found {
        refresh(&files, config, node)?;
        return Ok(files.of_node(&node.name));
    }
    // All on this machine: who can read the directory of one node can read those of the others anyway.
    let local = config.topology.nodes.iter().all(|node| node.peer.ip().is_loopback());
    let layout = data.file_name().is_some_and(|last| last == node.name.as_str());
    match beside {
        Some(beside) if local && layout => {
            issue(&beside, config, Order::default())?;
            Ok(files_in(&beside).of_node(&node.name))
        }
        _ => Err(Failure::Failed(anyhow!(
            "{} has no certificate: make them with `cloudnest certs create --out tls`, and name them in [tls] of the configuration or with --tls",
            node.name
        ))),
    }
}

/// Makes the certificates of a directory again that [`issue`] once filled, if this node cannot use its own.
fn refresh(files: &TlsFiles, config: &Config, node: &NodeEntry) -> Result {
    let Some(dir) = files.authority.parent().map(PathBuf::from) else {
        return Ok(());
    };
    if files_in(&dir) != *files || !dir.join("authority.key").exists() {
        return Ok(());
    }
    let paths = files.of_node(&node.name);
    let Ok(identity) = crate::node::certificates::identity(&paths) else {
        return Ok(());
    };
    if let Some(reason) = reason_to_renew(&identity, config, node) {
        tracing::info!(reason, dir = %dir.display(), "made the certificates between nodes again, from the authority that is kept there");
        issue(&dir, config, Order::default())?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "certificates/tests.rs"]
mod tests;
