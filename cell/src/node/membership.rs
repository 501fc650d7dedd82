//! Who has a replica of a group: its first members, and every change of them.

use std::collections::BTreeSet;
use std::time::Duration;

use raft::NodeId;

use super::platform::Platform;
use super::relay::What;
use super::replica::Replica;
use crate::machine::envelope::open;

/// How long one attempt to change the voters of a group may take. A new replica may need longer to catch up: the next attempt goes on.
const CHANGE: Duration = Duration::from_secs(6);

impl Platform {
    /// Gives a group its first members, or other ones, as another node asks.
    pub(super) async fn membership(&self, replica: &Replica, what: u8, payload: &[u8]) -> Result<(), String> {
        let names: Vec<String> = open(payload).map_err(|error| error.to_string())?;
        if what == What::Initialize as u8 {
            let made = self.initialize_group(replica, &names).await;
            return made.map(|_| ()).map_err(|error| error.detail);
        }
        self.change_voters(replica, &names).await
    }

    /// Makes these nodes the voters of a group that this node leads. It may go on after this has returned; asking again is safe.
    pub(crate) async fn change_voters(&self, replica: &Replica, names: &[String]) -> Result<(), String> {
        let voters: BTreeSet<NodeId> = self.topology().numbers(names).into_iter().map(NodeId).collect();
        if voters.len() != names.len() {
            return Err("this node does not know all of these nodes yet".to_owned());
        }
        let now: BTreeSet<NodeId> = replica.group.status().voters.into_iter().collect();
        self.check_levels(replica, &voters.difference(&now).copied().collect())
            .await?;
        match tokio::time::timeout(CHANGE, replica.group.change_voters(&voters)).await {
            Ok(changed) => changed.map_err(|error| error.to_string()),
            Err(_) => Err("a new replica is still catching up".to_owned()),
        }
    }
}
