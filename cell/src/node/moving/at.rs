//! The three places that a move speaks to: the directory, the cell that the tenant leaves, and the one that it goes to.
//!
//! Every command of a move can be sent again without effect, so that a failure that says nothing is simply asked again.

use std::time::Duration;

use api::error::{Code, Error};
use api::service::Timing;
use storage::Space;

use super::Mover;
use crate::directory::move_turn::{MoveTurn, Turn};
use crate::directory::moves::{Move, Phase};
use crate::machine::dispatch::{Command, answer};
use crate::machine::refusal::Refusal;
use crate::machine::rows::{Actor, Place};
use crate::node::proposing::stamped;
use crate::node::replica::Proposal;
use crate::placement::turn::{SpaceTurn, Turn as SpaceStep};
use crate::service::error::{internal, refused};

/// How often a command is sent to a cell that does not answer.
const TRIES: usize = 4;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// A command that was decided on nothing.
fn plain<C>(command: C) -> Proposal<C> {
    Proposal {
        command,
        schema: None,
        access: None,
    }
}

impl Mover<'_> {
    pub(super) fn space(&self) -> Space {
        Space(self.moving.uid)
    }

    /// Takes a step at the directory; the move as it is then, none: it has ended.
    pub(super) async fn ask(&self, turn: Turn) -> Result<Option<Move>, Error> {
        let command = MoveTurn {
            uid: self.moving.uid,
            operation: self.moving.operation,
            turn,
        };
        let asked = self.platform.directory_command(Actor::System, None, command).await?;
        asked.map_err(|refusal| refused(&refusal))
    }

    /// Says what the move is at.
    pub(super) async fn tell(&self, phase: Phase, progress: u64) -> Result<(), Error> {
        let attempt = self.moving.attempt;
        self.ask(Turn::Tell {
            attempt,
            phase,
            progress,
        })
        .await
        .map(drop)
    }

    /// A command in the cell that the tenant leaves: here, or nowhere. What applying it answered.
    pub(super) async fn at_source<C: Command>(&self, command: C) -> Result<Result<C::Reply, Refusal>, Error> {
        let timing = Timing::default();
        let proposed = self
            .source
            .propose(self.space(), Actor::System, None, plain(command), &timing);
        let answer = answer::<C::Reply>(&proposed.await?).map_err(|fault| internal(&fault))?;
        Ok(answer.result)
    }

    /// A command in the cell that the tenant goes to, wherever that is led.
    pub(super) async fn at_target<C: Command>(&self, command: C) -> Result<C::Reply, Error> {
        let bytes = stamped(self.space(), Actor::System, None, plain(command));
        let mut tries = 0;
        let reply = loop {
            let failure = match self.platform.propose_at_leader(self.moving.to, bytes.clone()).await {
                Ok(reply) => break reply,
                Err(failure) => failure,
            };
            tries += 1;
            if tries == TRIES || !self.source.group.is_leader() {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE).await;
        };
        let answer = answer::<C::Reply>(&reply).map_err(|fault| internal(&fault))?;
        answer.result.map_err(|refusal| refused(&refusal))
    }

    /// A step of the space in the cell that it leaves. Where that was lost the last ones are taken.
    pub(super) async fn source_turn(&self, turn: SpaceStep) -> Result<(), Error> {
        let attempt = self.moving.attempt;
        let Err(refusal) = self.at_source(SpaceTurn { attempt, turn }).await? else {
            return Ok(());
        };
        let place = self.placed().await?.map(|(_, place)| place);
        if !is_taken(turn, place) {
            return Err(refused(&refusal));
        }
        let (tenant, cell) = (&self.moving.slug, self.moving.from);
        tracing::info!(
            tenant,
            cell,
            ?turn,
            "the cell that a tenant leaves was lost: the step has nothing to do there"
        );
        Ok(())
    }

    /// A step of the space in the cell that it goes to.
    pub(super) async fn target_turn(&self, turn: SpaceStep) -> Result<(), Error> {
        let attempt = self.moving.attempt;
        self.at_target(SpaceTurn { attempt, turn }).await
    }

    /// Lets writes go on where an earlier attempt has held them: it cannot switch any more.
    pub(super) async fn release(&self) -> Result<(), Error> {
        self.source_turn(SpaceStep::Release).await
    }

    /// An error unless the cell that the tenant leaves is still led here.
    pub(super) fn check_lead(&self) -> Result<(), Error> {
        match self.source.group.is_leader() {
            true => Ok(()),
            false => Err(Error::new(
                Code::NotLeader,
                "another node leads the cell that the tenant leaves",
            )),
        }
    }
}

/// Whether a step that was refused where the space stands is as good as taken: the cell was lost and came up without it, or half of it was
/// brought back. Nothing is held then, and nothing served.
fn is_taken(turn: SpaceStep, place: Option<Place>) -> bool {
    match (turn, place) {
        (SpaceStep::Release | SpaceStep::Depart, None) => true,
        (SpaceStep::Release, Some(place)) => matches!(
            place,
            Place::Clearing { .. } | Place::Copying { .. } | Place::Following { .. } | Place::Arrived { .. }
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::machine::reader::Reader;
    use crate::machine::stage::{SPACE, Stage};
    use crate::placement::clear::SpaceClear;

    /// Whether a step counts as taken, as who drives the move finds it.
    fn counts(stage: &mut Stage, turn: SpaceStep) -> bool {
        let is_ok = stage.apply(SpaceTurn { attempt: 7, turn }).result.is_ok();
        let placed = stage.snapshot().placed(SPACE).expect("no fault");
        is_ok || is_taken(turn, placed.map(|(_, place)| place))
    }

    #[test]
    fn a_cell_that_was_lost_has_released_the_tenant_and_let_it_go() {
        let mut lost = Stage::empty();
        for turn in [SpaceStep::Release, SpaceStep::Depart] {
            let refused = lost.apply(SpaceTurn { attempt: 7, turn }).result;
            assert_eq!(refused, Err(Refusal::NoSpace));
            assert!(counts(&mut lost, turn), "{turn:?}");
        }
        assert!(!counts(&mut lost, SpaceStep::Hold), "nothing is there to go on with");
        let half = SpaceClear {
            attempt: 1,
            tenant: Uuid::from_u128(1),
            comes: true,
        };
        assert_eq!(lost.apply(half).result, Ok(true));
        assert!(counts(&mut lost, SpaceStep::Release), "half of it is back");
        assert!(!counts(&mut lost, SpaceStep::Hold));
    }

    #[test]
    fn a_step_that_was_refused_where_the_tenant_is_counts_for_nothing() {
        for place in [Place::Here, Place::Held { attempt: 9 }, Place::Departed { attempt: 9 }] {
            assert!(!is_taken(SpaceStep::Release, Some(place)), "{place:?}");
            assert!(!is_taken(SpaceStep::Depart, Some(place)), "{place:?}");
        }
    }
}
