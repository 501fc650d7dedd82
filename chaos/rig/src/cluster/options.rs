//! What a cluster and its nodes are started with.

use std::path::PathBuf;
use std::time::Duration;

use crate::layout::Layout;

/// How to start a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nodes and addresses.
    pub layout: Layout,
    /// The program: see [`crate::binary`].
    pub binary: PathBuf,
    /// How long it may take until every cell has a leader.
    pub ready_within: Duration,
    /// Where the data goes; `None`: a temporary directory that goes away with the cluster.
    pub data: Option<PathBuf>,
    /// The value of `CLOUDNEST_LOG` for the nodes; `None`: as it is.
    pub log: Option<String>,
    /// Further variables of all that is started.
    pub environment: Vec<(String, String)>,
    /// Further arguments of `cluster up` and of each node.
    pub arguments: Vec<String>,
}

impl Options {
    /// A cluster of this layout and program: a temporary directory, and a minute to be ready.
    pub fn new(layout: Layout, binary: PathBuf) -> Self {
        Self {
            layout,
            binary,
            ready_within: Duration::from_secs(60),
            data: None,
            log: None,
            environment: Vec::new(),
            arguments: Vec::new(),
        }
    }
}

/// What one node of a detached cluster has for itself: see [`Cluster::give`](super::Cluster::give).
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The text of a `cluster.toml` of its own; `None`: everybody's.
    pub config: Option<String>,
    /// Variables of its own.
    pub environment: Vec<(String, String)>,
    /// Another program than everybody's.
    pub binary: Option<PathBuf>,
    /// Other arguments than everybody's.
    pub arguments: Option<Vec<String>>,
}
