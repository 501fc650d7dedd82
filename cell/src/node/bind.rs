//! The ports of a node, and what is said where they cannot be had.

use std::net::{SocketAddr, TcpListener};

use anyhow::anyhow;

use crate::config::Config;

/// Takes a port.
pub(super) fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow!(
                "port {} for {what} is in use on {}: stop what listens there, or choose another",
                address.port(),
                address.ip()
            )
        }
        _ => anyhow!("cannot listen on {address} for {what}: {error}"),
    })
}

/// What is said of a name that no node has.
pub(super) fn unknown_node(config: &Config, name: &str) -> String {
    let names: Vec<_> = config.topology.nodes.iter().map(|node| node.name.as_str()).collect();
    format!("the configuration has no node {name:?}; it has: {}", names.join(", "))
}
