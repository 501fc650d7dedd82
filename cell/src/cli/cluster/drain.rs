//! `cluster drain`: empties a node of what others wait for.

use api::body::node::NodeChange;
use clap::Args;

use super::super::{Result, output};
use super::target::Target;

/// Have a node hand its leaderships over, and not be ready
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest cluster drain eu-west-1a          before its machine is worked on\n  cloudnest cluster drain eu-west-1a --undo   it serves again; so does its next start\n\nThe node keeps its replicas and serves what still comes to it, but leads nothing and answers 503 at /readyz. To take its replicas away, change the nodes of the cells in the file and apply."
)]
pub(crate) struct Drain {
    /// The node
    #[arg(value_name = "NODE")]
    node: String,
    /// Have it serve again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    target: Target,
}

impl Drain {
    pub(crate) async fn run(self) -> Result {
        let remote = self.target.remote(&self.target.config()?)?;
        let change = if self.undo { NodeChange::Undrain } else { NodeChange::Drain };
        let changed = remote.client()?.node_change(&self.node, change).await;
        changed.map_err(|error| remote.failure("ask it of the node", error))?;
        let what = if self.undo { "serves again" } else { "drains" };
        output::line(&format!("{} {what}", self.node))
    }
}
