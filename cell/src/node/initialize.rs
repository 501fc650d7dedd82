//! The first members of the directory and of the groups of a region.

use api::error::{Code, Error};
use raft::NodeId;

use super::platform::Platform;
use super::replica::Replica;
use crate::directory::GROUP;
use crate::service::error::internal;

impl Platform {
    /// Gives the directory and the groups of this region their first members, once. True: it was done now. `alone`: the directory gets
    /// the voters of this region only, where it has any.
    pub(crate) async fn initialize(&self, alone: bool) -> Result<bool, Error> {
        let mut done = self.initialize_directory(alone).await?;
        for cell in self.region_cells() {
            if let Some(slot) = self.slot(cell.number) {
                done |= self.initialize_group(&*slot.take_part()?, &cell.nodes).await?;
                continue;
            }
            let node = self.topology().numbers(&cell.nodes).into_iter().next();
            if let Some(node) = node {
                self.initialize_at(NodeId(node), cell.number, &cell.nodes).await?;
            }
        }
        Ok(done)
    }

    /// The directory gets its first members at the first of them.
    async fn initialize_directory(&self, alone: bool) -> Result<bool, Error> {
        let topology = &self.config.topology;
        let near = |name: &&String| topology.node(name).is_some_and(|node| node.region == self.me.region);
        let mut voters = topology.directory_voters.clone();
        if alone && voters.iter().any(|name| near(&name)) {
            voters.retain(|name| near(&name));
        }
        match (topology.numbers(&voters).first(), self.directory.slot()) {
            (Some(first), _) if *first != self.me.number => {
                self.initialize_at(NodeId(*first), GROUP, &voters).await?;
                Ok(false)
            }
            (_, Some(slot)) => self.initialize_group(&*slot.take_part()?, &voters).await,
            (_, None) => Ok(false),
        }
    }

    /// Gives a group with a replica here its first members, once.
    pub(crate) async fn initialize_group(&self, replica: &Replica, members: &[String]) -> Result<bool, Error> {
        let members = self.topology().numbers(members).into_iter().map(NodeId).collect();
        let done = replica.group.initialize(&members).await.map_err(|error| match error {
            raft::Error::Refused(reason) => {
                Error::new(Code::Unavailable, format!("{} is not initialised: {reason}", replica.name))
            }
            error => internal(&error),
        })?;
        self.formed.notify_one();
        Ok(done)
    }
}
