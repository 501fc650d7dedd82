//! The configuration of a development server: DIR/cluster.toml.
//!
//! It is rewritten at each start with the ports of that start, as long as nobody changed it. A file that somebody edited is
//! theirs: it is used as it is, and where it has become a cluster of several nodes, `dev` says so and ends.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::anyhow;

use super::super::files::{self, Access};
use super::super::node::load;
use super::super::{Failure, Result};
use crate::config::Config;

/// The name of the one node.
pub(super) const NODE: &str = "local";
/// The name of the one region.
pub(super) const REGION: &str = "local";
/// Added to the API's port, it is where other nodes connect, if that port is free.
const PEER_OFFSET: u16 = 10_000;

/// The configuration of a directory, with this port for the API; 0: one that is free.
pub(super) fn config(dir: &Path, port: u16) -> Result<Config> {
    let path = dir.join("cluster.toml");
    if let Some(text) = files::read(&path)? {
        let config = load(&path)?;
        if !is_ours(&config, &text) {
            return edited(config, &path, port);
        }
    }
    let port = if port == 0 { free_port(&[])? } else { port };
    let preferred = port
        .checked_add(PEER_OFFSET)
        .filter(|peer| TcpListener::bind((Ipv4Addr::LOCALHOST, *peer)).is_ok());
    let peer = match preferred {
        Some(peer) => peer,
        None => free_port(&[port])?,
    };
    files::write(&path, &render(port, peer), Access::Public)?;
    load(&path)
}

/// Whether a file is what [`config`] once wrote.
fn is_ours(config: &Config, text: &str) -> bool {
    config
        .node(NODE)
        .is_some_and(|node| render(node.api.port(), node.peer.port()).trim() == text)
}

fn edited(config: Config, path: &Path, port: u16) -> Result<Config> {
    let node = super::super::node::find(&config, NODE, path)?;
    if config.topology.nodes.len() > 1 {
        let message = format!("{} has several nodes: it is a cluster now", path.display());
        return Err(Failure::Failed(anyhow!(
            "{message}; start it with `cloudnest cluster up --config {}`",
            path.display()
        )));
    }
    if port != 0 && port != node.api.port() {
        eprintln!(
            "{} was edited: its port {} is used, not {port}",
            path.display(),
            node.api.port()
        );
    }
    Ok(config)
}

/// A port that nobody uses now, and that is none of these.
fn free_port(taken: &[u16]) -> Result<u16> {
    loop {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        if !taken.contains(&port) {
            return Ok(port);
        }
    }
}

/// Whether a start failed because a port is in use.
pub(super) fn is_port_in_use(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<io::Error>() {
        Some(error) => error.kind() == io::ErrorKind::AddrInUse,
        // The node puts it into words that name the port.
        None => cause.to_string().contains(" is in use on "),
    })
}

fn render(port: u16, peer: u16) -> String {
    format!(
        r#"# The configuration of `cloudnest dev` in this directory. `cloudnest node --config cluster.toml --node {NODE}` opens the same
# data. It is rewritten at each start of `dev`, unless you change it: add nodes here to make the cell replicated.

cluster = "cloudnest"
operator_token = {{ file = "operator.token" }}

[tls]
authority = "tls/authority.pem"
certificate = "tls/{{name}}.pem"
key = "tls/{{name}}.key"

[directory]
voters = ["{NODE}"]

[[region]]
name = "{REGION}"

[[node]]
name = "{NODE}"
number = 1
region = "{REGION}"
api = "127.0.0.1:{port}"
peer = "127.0.0.1:{peer}"
data = "."

[[cell]]
name = "local-shared"
number = 2
region = "{REGION}"
kind = "shared"
nodes = ["{NODE}"]

[[plan]]
name = "free"
units_per_second = 20000

[[plan]]
name = "team"
weight = 4
units_per_second = 20000
storage_gib = 100

[[plan]]
name = "enterprise"
weight = 16
units_per_second = 20000
storage_gib = 2000
dedicated = true
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_sound_and_follows_the_port_until_it_is_edited() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = config(dir.path(), 0).expect("a configuration");
        let node = first.node(NODE).expect("the node");
        assert_eq!(node.data.as_deref(), Some(dir.path().join(".").as_path()));
        let port = free_port(&[node.api.port(), node.peer.port()]).expect("a port");
        let second = config(dir.path(), port).expect("a configuration");
        assert_eq!(second.node(NODE).expect("the node").api.port(), port);
        let path = dir.path().join("cluster.toml");
        let text = std::fs::read_to_string(&path)
            .expect("read")
            .replace("number = 1\n", "number = 7\n");
        std::fs::write(&path, &text).expect("written");
        let edited = config(dir.path(), 0).expect("a configuration");
        assert_eq!(
            (
                edited.node(NODE).expect("the node").number,
                edited.node(NODE).expect("the node").api.port()
            ),
            (7, port)
        );
        assert_eq!(std::fs::read_to_string(&path).expect("read"), text, "an edited file is kept");
    }

    #[test]
    fn a_directory_that_became_a_cluster_is_not_for_dev() {
        let dir = tempfile::tempdir().expect("a directory");
        config(dir.path(), 0).expect("a configuration");
        let path = dir.path().join("cluster.toml");
        let more =
            "[[node]]\nname = \"two\"\nnumber = 2\nregion = \"local\"\napi = \"127.0.0.1:1\"\npeer = \"127.0.0.1:2\"\n\n[[cell]]";
        let text = std::fs::read_to_string(&path).expect("read").replacen("[[cell]]", more, 1);
        std::fs::write(&path, text).expect("written");
        let refused = config(dir.path(), 0).expect_err("a cluster");
        assert!(matches!(refused, Failure::Failed(error) if error.to_string().contains("cluster up --config")));
    }

    #[test]
    fn a_port_in_use_is_found_behind_other_words() {
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::AddrInUse)).context("bind 127.0.0.1:7400");
        assert!(is_port_in_use(&error));
        assert!(is_port_in_use(
            &anyhow!("port 7400 for the API is in use on 127.0.0.1: stop what listens there").context("start")
        ));
        assert!(!is_port_in_use(&anyhow!("another")));
    }
}
