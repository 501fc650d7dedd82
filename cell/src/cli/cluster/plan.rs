//! `cluster plan`: what lies between the configuration and the cluster.

use api::body::topology::{self as body, Cluster};
use clap::Args;
use serde::Serialize;

use super::super::{Result, output};
use super::target::{Target, cluster};
use crate::cluster::difference::{Change, Sign, changes};
use crate::cluster::wire;
use crate::config::Topology;

/// Show what `cluster apply` would change
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest cluster plan                                     ./cluster.toml against the cluster; token from ./cloudnest-data\n  cloudnest cluster plan --config new.toml --token cno_…\n\nChanges nothing. Exit code 0, whether there is something to do or not; --json says `changes`."
)]
pub(crate) struct Plan {
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `plan` prints.
#[derive(Serialize)]
struct Report {
    version: u64,
    changes: Vec<Row>,
    /// The operation of an apply that is under way.
    applying: Option<String>,
}

#[derive(Serialize)]
struct Row {
    /// `add`, `change` or `remove`.
    action: &'static str,
    what: String,
    how: String,
}

impl Plan {
    pub(crate) async fn run(self) -> Result {
        let config = self.target.config()?;
        let remote = self.target.remote(&config)?;
        let now = cluster(&remote.client()?, &remote).await?;
        let changes = differences(&now, &config.topology)?;
        if self.json {
            return output::json(&Report {
                version: now.version,
                changes: changes.into_iter().map(row).collect(),
                applying: now.applying.map(|applying| applying.operation.to_string()),
            });
        }
        if let Some(applying) = &now.applying {
            output::line(&format!("an apply is under way: operation {}", applying.operation))?;
        }
        print(&changes)
    }
}

/// What lies between the cluster and what is wanted.
pub(super) fn differences(now: &Cluster, wanted: &Topology) -> Result<Vec<Change>> {
    let current = wire::read(now.topology.clone()).map_err(|error| anyhow::anyhow!("the server's topology: {}", error.detail))?;
    Ok(changes(&current, &wanted.clone().keeping_made(&current).settled()))
}

/// What is wanted, with what the cluster has made by itself.
pub(super) fn wanted(now: &Cluster, file: &Topology) -> Result<body::Topology> {
    let current = wire::read(now.topology.clone()).map_err(|error| anyhow::anyhow!("the server's topology: {}", error.detail))?;
    Ok(wire::show(&file.clone().keeping_made(&current).settled()))
}

/// Prints them, a line each.
pub(super) fn print(changes: &[Change]) -> Result {
    for change in changes {
        output::line(&change.to_string())?;
    }
    if changes.is_empty() {
        return output::line("nothing to do: the cluster is as the configuration says");
    }
    Ok(())
}

fn row(change: Change) -> Row {
    let action = match change.sign {
        Sign::Add => "add",
        Sign::Change => "change",
        Sign::Remove => "remove",
    };
    let Change { what, how, .. } = change;
    Row { action, what, how }
}
