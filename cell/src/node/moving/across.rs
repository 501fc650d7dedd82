//! What a node of another region may bring here: the steps of a move that the directory knows to go from its region to a cell of this
//! one, and nothing else.

use raft::NodeId;

use crate::directory::moves::{self, Move, Stage};
use crate::machine::dispatch::{Payload, Stamped};
use crate::machine::envelope::open;
use crate::node::blobs;
use crate::node::platform::Platform;
use crate::node::relay::What;

impl Platform {
    /// Whether an encoded command for a cell of this region is a step of a move from the region of the node that sends it. What this node
    /// has of the directory may lag behind: then it is brought up to date first. So who lets a tenant live here knows that it does.
    pub(crate) async fn is_brought_across(&self, from: NodeId, cell: u64, command: &[u8]) -> bool {
        let Ok(stamped) = open::<Stamped>(command) else { return false };
        self.expects(from, cell, &stamped) || (self.freshen_directory().await && self.expects(from, cell, &stamped))
    }

    /// Whether an exchange is part of a move from the region of the node that asks: a step of it, or a chunk of a file.
    pub(crate) async fn is_of_a_move_across(&self, what: u8, from: NodeId, cell: u64, payload: &[u8]) -> bool {
        if what == What::Propose as u8 {
            return self.is_brought_across(from, cell, payload).await;
        }
        let brings = [What::ChunkPut, What::ChunkLacks].iter().any(|one| *one as u8 == what);
        let Some((space, _)) = blobs::space_of(payload).filter(|_| brings) else {
            return false;
        };
        let moving = |moving: &Move| moving.to == cell && moving.stage == Stage::Copying;
        let comes = || self.moves_from(from, space.0).is_some_and(|found| moving(&found));
        comes() || (self.freshen_directory().await && comes())
    }

    /// The move of a tenant from the region of a node.
    fn moves_from(&self, from: NodeId, space: u64) -> Option<Move> {
        let moving = moves::read(&self.directory.read().ok()?, space).ok()??;
        let topology = self.topology();
        let left = topology.cell(moving.from)?.region.clone();
        (self.region_of(from)? == left).then_some(moving)
    }

    fn expects(&self, from: NodeId, cell: u64, stamped: &Stamped) -> bool {
        let moving = self.moves_from(from, stamped.space);
        moving.is_some_and(|moving| is_step(&moving, cell, &stamped.payload))
    }
}

/// Whether a command for a cell is a step of a move to there. Only who has switched lives there.
fn is_step(moving: &Move, cell: u64, payload: &Payload) -> bool {
    moving.to == cell
        && match payload {
            Payload::SpaceTurn(turn) if turn.lands() => moving.stage == Stage::Departing,
            payload => payload.is_of_a_move(),
        }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::placement::clear::SpaceClear;
    use crate::placement::turn::{SpaceTurn, Turn};
    use crate::scrub::begin::ScrubBegin;
    use crate::space::erase::SpaceErase;

    #[test]
    fn only_the_steps_of_the_move_that_is_under_way_are_taken_and_none_lives_before_the_switch() {
        let moving = |stage| Move {
            operation: Uuid::nil(),
            uid: 7,
            tenant: Uuid::nil(),
            slug: "acme".to_owned(),
            from: 2,
            to: 3,
            epoch: 2,
            attempt: 5,
            stage,
        };
        let (attempt, tenant) = (5, Uuid::nil());
        let clear = || {
            Payload::from(SpaceClear {
                attempt,
                tenant,
                comes: true,
            })
        };
        let live = || {
            Payload::from(SpaceTurn {
                attempt,
                turn: Turn::Live,
            })
        };
        let (copying, departing) = (moving(Stage::Copying), moving(Stage::Departing));
        assert!(is_step(&copying, 3, &clear()) && is_step(&departing, 3, &live()));
        assert!(!is_step(&copying, 3, &live()), "it has not switched");
        assert!(!is_step(&copying, 4, &clear()), "it goes elsewhere");
        let others = [
            Payload::from(SpaceErase { tenant, after: None }),
            Payload::from(ScrubBegin { id: tenant }),
        ];
        assert!(others.iter().all(|other| !is_step(&copying, 3, other)), "no steps of a move");
    }
}
