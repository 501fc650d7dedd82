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
use crate::machine::rows::Actor;
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

    /// A command in the cell that the tenant leaves: here, or nowhere.
    pub(super) async fn at_source<C: Command>(&self, command: C) -> Result<C::Reply, Error> {
        let timing = Timing::default();
        let proposed = self
            .source
            .propose(self.space(), Actor::System, None, plain(command), &timing);
        let answer = answer::<C::Reply>(&proposed.await?).map_err(|fault| internal(&fault))?;
        answer.result.map_err(|refusal| refused(&refusal))
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

    /// A step of the space in the cell that it leaves.
    pub(super) async fn source_turn(&self, turn: SpaceStep) -> Result<(), Error> {
        let attempt = self.moving.attempt;
        self.at_source(SpaceTurn { attempt, turn }).await
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
