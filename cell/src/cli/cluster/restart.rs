//! `cluster restart --rolling`: every node, one after the other, without a request that fails.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use api::body::node::{Node, NodeChange};
use api::body::topology::TopologyNode;
use api::client::Client;
use clap::Args;
use tokio::time::sleep;

use super::super::remote::Remote;
use super::super::{Failure, Result, output};
use super::target::{Target, cluster};

/// Between two looks at a node.
const LOOK: Duration = Duration::from_millis(200);

/// Restart the nodes one by one
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest cluster restart --rolling                       every node of the cluster\n  cloudnest cluster restart --rolling --node eu-west-1a\n\nEach node hands its leaderships over, finishes what is in flight and ends with exit code 0; whoever supervises it (`cluster up`, systemd) has to start it again, with a new program if there is one. The next one follows when it is ready and has caught up. One that does not come back ends it: the others are left as they are."
)]
pub(crate) struct Restart {
    /// One after the other, each when the one before is back: the only way there is
    #[arg(long, required = true)]
    rolling: bool,
    /// Only these nodes
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,
    /// How long a node may take to come back, in seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    within: u64,
    /// How long the cluster is left alone between two nodes, in seconds: what waited for the one before has been served by then
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pause: u64,
    #[command(flatten)]
    target: Target,
}

impl Restart {
    pub(crate) async fn run(self) -> Result {
        let remote = self.target.remote(&self.target.config()?)?;
        let nodes = cluster(&remote.client()?, &remote).await?.topology.nodes;
        if let Some(unknown) = self.node.iter().find(|name| !nodes.iter().any(|node| node.name == **name)) {
            return Err(Failure::Usage(format!("the cluster has no node {unknown:?}")));
        }
        let wanted = |node: &&TopologyNode| self.node.is_empty() || self.node.contains(&node.name);
        for (at, node) in nodes.iter().filter(wanted).enumerate() {
            if at > 0 {
                sleep(Duration::from_secs(self.pause)).await;
            }
            self.one(node, &remote).await?;
        }
        output::line("done")
    }

    /// Restarts one node and waits until it is back.
    async fn one(&self, node: &TopologyNode, remote: &Remote) -> Result {
        let began = Instant::now();
        let until = began + Duration::from_secs(self.within);
        let client = remote.client_of(std::slice::from_ref(&node.endpoint))?.with_retries(0);
        let before = itself(&client, node)
            .await
            .ok_or_else(|| gone(node, "does not answer, so that it was left alone"))?;
        let asked = client.node_change(&node.name, NodeChange::Restart).await;
        asked.map_err(|error| remote.failure("ask the node to restart", error))?;
        loop {
            if let Some(now) = itself(&client, node).await
                && now.started_at != before.started_at
                && client.readyz().await.is_ok()
                && has_caught_up(&client, &node.name).await
            {
                let version = now.version.unwrap_or_default();
                return output::line(&format!(
                    "{} is back after {:.1} s ({version})",
                    node.name,
                    began.elapsed().as_secs_f64()
                ));
            }
            if Instant::now() >= until {
                return Err(gone(node, "did not come back; is it supervised?"));
            }
            sleep(LOOK).await;
        }
    }
}

fn gone(node: &TopologyNode, what: &str) -> Failure {
    Failure::Failed(anyhow!("{} {what}", node.name))
}

/// What a node says of itself.
async fn itself(client: &Client, node: &TopologyNode) -> Option<Node> {
    let nodes = client.nodes().await.ok()?;
    nodes
        .into_iter()
        .find(|other| other.name == node.name && other.started_at.is_some())
}

/// Whether every cell that the node has a replica of has a leader, and it has applied what it has of the log.
async fn has_caught_up(client: &Client, name: &str) -> bool {
    let Ok(cells) = client.cells().await else { return false };
    let mut own = cells
        .iter()
        .filter(|cell| cell.replicas.iter().any(|replica| replica.node == name));
    own.all(|cell| cell.leader.is_some() && cell.applied >= cell.last_log)
}
