//! The nodes' certificates among each other, where `cluster.toml` has no `[tls]`: an authority and a certificate a node, in
//! one directory.
//!
//! The directory holds `authority.pem`, `authority.key`, `NAME.pem` and `NAME.key`, keys with mode 0600, and `cluster`, the
//! name that all of them are made out to. What is there is kept, what is missing is made: so a cluster grows by calling
//! [`issue`] again. Several processes may do so at a time; a lock lets one through after the other.

use std::path::Path;

use anyhow::{Context, anyhow};
use raft::{Authority, Identity, NodeId, make_authority};

use super::files::{self, Access};
use super::{Failure, Result};
use crate::config::{Config, NodeEntry, TlsFiles};

/// How long a node's certificate is valid, days: thirteen months. Longer: one that was lost is of use for longer. Shorter: more often to be
/// renewed.
const NODE_DAYS: u32 = 397;

/// The files of a directory that [`issue`] filled.
pub(super) fn files_in(dir: &Path) -> TlsFiles {
    TlsFiles {
        authority: dir.join("authority.pem"),
        certificate: dir.join("{name}.pem"),
        key: dir.join("{name}.key"),
    }
}

/// Makes what is missing of a directory for all nodes of a configuration.
pub(super) fn issue(dir: &Path, config: &Config) -> Result {
    files::directory(dir)?;
    let _lock = files::lock(&dir.join("lock"), None)?;
    let authority = authority(dir, &config.cluster)?;
    for node in &config.nodes {
        let paths = files_in(dir).of_node(&node.name);
        if paths.certificate.exists() && paths.key.exists() {
            continue;
        }
        let identity = authority
            .issue(NodeId(node.number), &node.region, NODE_DAYS)
            .with_context(|| format!("issue the certificate of {}", node.name))?;
        files::write(&paths.key, &identity.key_pem, Access::Private)?;
        files::write(&paths.certificate, &identity.certificate_pem, Access::Public)?;
    }
    Ok(())
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

/// Reads a node's identity.
pub(super) fn load(files: &TlsFiles, node: &str) -> Result<Identity> {
    let paths = files.of_node(node);
    let read = |what: &str, path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("read the {what} of {node} in {}", path.display()))
    };
    Ok(Identity {
        authority_pem: read("authority", &paths.authority)?,
        certificate_pem: read("certificate", &paths.certificate)?,
        key_pem: read("key", &paths.key)?,
    })
}

/// The identity of a node: from `[tls]`, from `dir`, or from where `dev`, `cluster up` and [`issue`] leave it beside `data`.
pub(super) fn of_node(config: &Config, node: &NodeEntry, data: &Path, dir: Option<&Path>) -> Result<Identity> {
    if let Some(files) = &config.tls {
        return load(files, &node.name);
    }
    if let Some(dir) = dir {
        return load(&files_in(dir), &node.name);
    }
    let beside = data.parent().map(|parent| parent.join("tls"));
    for candidate in [Some(data.join("tls")), beside.clone()].into_iter().flatten() {
        let files = files_in(&candidate);
        if files.of_node(&node.name).certificate.exists() {
            return load(&files, &node.name);
        }
    }
    // All on this machine: who can read the directory of one node can read those of the others anyway.
    let local = config.nodes.iter().all(|node| node.peer.ip().is_loopback());
    let layout = data.file_name().is_some_and(|last| last == node.name.as_str());
    match beside {
        Some(beside) if local && layout => {
            issue(&beside, config)?;
            load(&files_in(&beside), &node.name)
        }
        _ => Err(Failure::Failed(anyhow!(
            "{} has no certificate: make them with `cloudnest cluster certificates --out tls`, and name them in [tls] of the configuration or with --tls",
            node.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(cluster: &str) -> Config {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster.toml")).expect("the example");
        let text = text.replace("cluster = \"cloudnest\"", &format!("cluster = {cluster:?}"));
        Config::parse(&text, Path::new("cluster.toml")).expect("sound")
    }

    #[test]
    fn certificates_are_made_once_and_keys_are_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let tls = dir.path().join("tls");
        issue(&tls, &config("one")).expect("issued");
        let first = load(&files_in(&tls), "us-east-1a").expect("an identity");
        issue(&tls, &config("one")).expect("issued again");
        let again = load(&files_in(&tls), "us-east-1a").expect("an identity");
        assert_eq!(
            (&first.certificate_pem, &first.key_pem),
            (&again.certificate_pem, &again.key_pem)
        );
        for key in ["authority.key", "us-east-1a.key", "eu-west-1c.key"] {
            assert_eq!(
                std::fs::metadata(tls.join(key)).expect("there").permissions().mode() & 0o777,
                0o600,
                "{key}"
            );
        }
        let other = issue(&tls, &config("two")).expect_err("another cluster");
        assert!(matches!(other, Failure::Failed(error) if error.to_string().contains("those of the cluster \"one\"")));
    }

    #[test]
    fn a_node_finds_its_identity_beside_its_data() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = config("one");
        let node = config.node("eu-west-1b").expect("a node");
        assert!(
            of_node(&config, node, &dir.path().join("elsewhere"), None).is_err(),
            "it may not fill a directory that is not its own"
        );
        let made = of_node(&config, node, &dir.path().join("eu-west-1b"), None).expect("made");
        let found = of_node(&config, node, &dir.path().join("elsewhere"), None).expect("found");
        let named = of_node(&config, node, Path::new("/nowhere/x"), Some(&dir.path().join("tls"))).expect("named");
        assert_eq!(made.certificate_pem, found.certificate_pem);
        assert_eq!(made.certificate_pem, named.certificate_pem);
    }
}
