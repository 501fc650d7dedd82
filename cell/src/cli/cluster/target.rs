//! The cluster that a configuration describes, as it is asked and changed.

use std::path::PathBuf;

use api::body::topology::Cluster;
use api::client::Client;
use clap::Args;

use super::super::remote::{DEFAULT_URL, Remote};
use super::super::{Result, files, node};
use crate::config::Config;

/// Which cluster, and how it is reached.
#[derive(Args, Clone, Debug)]
pub(super) struct Target {
    /// The configuration that says what is wanted
    #[arg(long, default_value = "cluster.toml", value_name = "FILE")]
    config: PathBuf,
    /// Where `cluster up` left operator.token
    #[arg(long, default_value = node::DATA, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

impl Target {
    /// The configuration, checked.
    pub(super) fn config(&self) -> Result<Config> {
        node::load(&self.config)
    }

    /// The server at --url, or else every node of the configuration in turn.
    pub(super) fn remote(&self, config: &Config) -> Result<Remote> {
        let token = operator_token(&self.remote, config, &self.data)?;
        if self.remote.urls() != [DEFAULT_URL] {
            return Ok(self.remote.with_token(token));
        }
        let urls = config.topology.nodes.iter().map(|node| node.endpoint.clone()).collect();
        Ok(Remote::new(urls, token))
    }
}

/// The operator's token: the one that was given, the one that the configuration names, or the one that `cluster up` left.
pub(super) fn operator_token(remote: &Remote, config: &Config, data: &std::path::Path) -> Result<Option<String>> {
    if let Some(token) = remote.token() {
        return Ok(Some(token.to_owned()));
    }
    match config.operator_token.as_ref().and_then(|secret| secret.read().ok()) {
        Some(token) => Ok(Some(token)),
        None => files::read(&data.join("operator.token")),
    }
}

/// The cluster as it is.
pub(super) async fn cluster(client: &Client, remote: &Remote) -> Result<Cluster> {
    client
        .cluster()
        .await
        .map_err(|error| remote.failure("ask what the cluster consists of", error))
}
