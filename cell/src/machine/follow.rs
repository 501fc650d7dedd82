//! Moves in the frame: which commands a space takes while it moves, and how those of another cell are repeated.
//!
//! A command that is repeated is applied as it was in the other cell: what it does depends on the space's rows and its own bytes alone,
//! stamps, versions and stored replies among them, and the rows are the same. So are its refusals.

use bytes::Bytes;
use storage::blob::ChunkHash;
use storage::{Batch, Space};

use super::catalog::Catalogs;
use super::dispatch::{Payload, Stamped, apply_stamped, refuse};
use super::envelope::open;
use super::refusal::{Fault, Refusal};
use super::rows::Place;
use super::world::World;
use crate::placement::follow::SpaceFollow;

impl Payload {
    /// A step of a move: its own rules say where it is taken.
    pub(crate) fn is_of_a_move(&self) -> bool {
        matches!(
            self,
            Payload::SpaceTurn(_) | Payload::SpaceClear(_) | Payload::SpaceArrive(_) | Payload::SpaceFollow(_)
        )
    }

    /// The chunks of files that it names: they are on a quorum before it is proposed.
    pub(crate) fn named_chunks(&self) -> Vec<ChunkHash> {
        match self {
            Payload::FileCreate(create) => create.content.chunks.clone(),
            Payload::FileVersionAdd(add) => add.content.chunks.clone(),
            Payload::UploadAdvance(advance) => {
                let tail = advance.tail.map(|(hash, _)| hash);
                advance.leaves.iter().map(|leaf| leaf.hash).chain(tail).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether a space that stands there takes the command; `is_repeated`: it comes from the other cell.
    pub(super) fn is_taken_at(&self, place: Place, is_repeated: bool) -> bool {
        match place {
            Place::Here => true,
            // What is left behind is erased.
            Place::Departed { .. } if matches!(self, Payload::SpaceErase(_)) => true,
            Place::Following { .. } if is_repeated => true,
            _ => self.is_of_a_move(),
        }
    }

    /// Whether it may be repeated where its space goes.
    fn may_be_repeated(&self) -> bool {
        !self.is_of_a_move() && !matches!(self, Payload::SpaceErase(_) | Payload::ScrubBegin(_) | Payload::LevelRaise(_))
    }
}

/// Applies the commands of another cell that the space does not have yet. The answer, where all of them are refused: the space is not
/// where they are for, or they are not what may be repeated. What says how far it is comes after them, as a command of its own.
pub(super) fn repeat(
    batch: &mut Batch,
    index: u64,
    stamped: &Stamped,
    follow: &SpaceFollow,
    catalogs: &Catalogs,
) -> Result<Option<Bytes>, Fault> {
    let space = Space(stamped.space);
    let Some(command) = batch.command(index, space) else {
        return Ok(None);
    };
    let world = World::new(command, space, stamped.stamp, stamped.actor.clone())?;
    let at = match follow.starts_at(world.place()) {
        Ok(at) => at,
        Err(refusal) => return Ok(Some(refuse(&world, refusal).into())),
    };
    let mut commands = Vec::with_capacity(follow.commands.len());
    let mut last = 0;
    for (there, bytes) in &follow.commands {
        // What a newer version wrote stops this replica, as it would in its own log.
        let command: Stamped = open(bytes).map_err(|error| Fault::Row(format!("log entry {index}: command {there}"), error))?;
        if *there <= last || command.space != stamped.space || !command.payload.may_be_repeated() {
            return Ok(Some(refuse(&world, Refusal::Stale).into()));
        }
        last = *there;
        if *there > at {
            commands.push(command);
        }
    }
    drop(world);
    for command in commands {
        apply_stamped(batch, index, command, true, catalogs)?;
    }
    Ok(None)
}
