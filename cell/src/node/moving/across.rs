//! What a node of another region may bring here: the steps of a move that the directory knows to go from its region to a cell of this
//! one, and nothing else.

use raft::NodeId;

use crate::directory::moves::{self, Stage};
use crate::machine::dispatch::{Payload, Stamped};
use crate::machine::envelope::open;
use crate::node::platform::Platform;

impl Platform {
    /// Whether an encoded command for a cell of this region is a step of a move from the region of the node that sends it. What this node
    /// has of the directory may lag behind: then it is brought up to date first. So who lets a tenant live here knows that it does.
    pub(crate) async fn is_brought_across(&self, from: NodeId, cell: u64, command: &[u8]) -> bool {
        let Ok(stamped) = open::<Stamped>(command) else { return false };
        self.expects(from, cell, &stamped) || (self.freshen_directory().await && self.expects(from, cell, &stamped))
    }

    fn expects(&self, from: NodeId, cell: u64, stamped: &Stamped) -> bool {
        let Ok(snapshot) = self.directory.read() else { return false };
        let Ok(Some(moving)) = moves::read(&snapshot, stamped.space) else {
            return false;
        };
        let topology = self.topology();
        let left = topology.cell(moving.from).map(|cell| cell.region.clone());
        let is_step = match &stamped.payload {
            Payload::SpaceTurn(turn) if turn.lands() => moving.stage == Stage::Departing,
            payload => payload.is_of_a_move(),
        };
        is_step && moving.to == cell && left.is_some() && left == self.region_of(from)
    }
}
