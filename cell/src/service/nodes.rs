//! The nodes of this region as they say of themselves, and what is asked of a node.

use std::time::Duration;

use api::body::node::{Node, NodeChange};
use api::error::{Code, Error, Result};
use api::ids::NodeNumber;
use bytes::Bytes;
use futures_util::future::join_all;
use raft::NodeId;

use super::Front;
use crate::config::NodeEntry;
use crate::directory::GROUP;
use crate::node::about::About;
use crate::node::relay::What;
use crate::records::time::format_stamp;

/// How long a node has to say what it is: one that hangs does not keep the others from being shown.
const ASKED: Duration = Duration::from_secs(2);

impl Front {
    pub(super) async fn list_nodes(&self) -> Vec<Node> {
        let topology = self.platform.topology();
        let nodes = topology.region_nodes(&self.platform.me.region);
        join_all(nodes.into_iter().map(|node| self.show_node(node))).await
    }

    async fn show_node(&self, node: &NodeEntry) -> Node {
        let number = NodeId(node.number);
        let own = node.number == self.platform.me.number;
        let reachable = own || self.platform.host.reachable(number);
        let about: Option<About> = match (own, reachable) {
            (true, _) => Some(self.platform.about(GROUP)),
            (_, true) => {
                let asked = tokio::time::timeout(ASKED, self.platform.ask_about(number, GROUP)).await;
                // What does not answer is shown as that.
                asked.ok().and_then(Result::ok)
            }
            (_, false) => None,
        };
        let disk = about.as_ref().and_then(|about| about.disk);
        Node {
            name: node.name.clone(),
            number: NodeNumber(node.number),
            region: node.region.clone(),
            endpoint: node.endpoint.clone(),
            reachable,
            certificate_expires_at: self
                .certificate_end(node.number)
                .and_then(|end| jiff::Timestamp::from_second(end).ok())
                .map(|end| end.to_string()),
            draining: about.as_ref().and_then(|about| about.drains),
            version: about.as_ref().and_then(|about| about.version.clone()),
            level: about.as_ref().map(|about| about.level),
            disk_free_bytes: disk.map(|disk| disk.free),
            disk_bytes: disk.map(|disk| disk.size),
            started_at: about.and_then(|about| about.started).map(format_stamp),
        }
    }

    /// Asks a node, of whatever region, to drain, to serve again, or to end.
    pub(super) async fn change_node(&self, name: &str, change: NodeChange) -> Result<()> {
        let none = || Error::new(Code::NotFound, format!("the cluster has no node {name:?}"));
        let number = self.platform.topology().node(name).ok_or_else(none)?.number;
        if number == self.platform.me.number {
            self.platform.change(change);
            return Ok(());
        }
        let what = match change {
            NodeChange::Drain => What::Drain,
            NodeChange::Undrain => What::Undrain,
            NodeChange::Restart => What::Restart,
        };
        self.platform
            .ask(NodeId(number), what, GROUP, &Bytes::new())
            .await
            .map(|_| ())
    }
}
