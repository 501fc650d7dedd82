//! The command that repeats commands of the cell that a space leaves in the one that it goes to.
//!
//! The frame applies each of them (`machine/follow.rs`); what is here says how far the space is afterwards.

use serde::{Deserialize, Serialize};

use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::Place;
use crate::machine::world::World;

/// Repeats commands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpaceFollow {
    /// The attempt.
    pub(crate) attempt: u64,
    /// Their positions in the other cell's log, and the commands, as they are there. Those that were repeated before are passed over.
    pub(crate) commands: Vec<(u64, Vec<u8>)>,
}

impl SpaceFollow {
    /// The last position that the space has been brought to, where it may be brought further.
    pub(crate) fn starts_at(&self, place: Place) -> Result<u64, Refusal> {
        match place {
            Place::Following { attempt, index } if attempt == self.attempt => Ok(index),
            _ => Err(Refusal::Stale),
        }
    }
}

impl Command for SpaceFollow {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        let at = self.starts_at(world.place())?;
        let last = self.commands.last().map_or(at, |(index, _)| at.max(*index));
        let attempt = self.attempt;
        world.set_place(Place::Following { attempt, index: last });
        Ok(())
    }
}
