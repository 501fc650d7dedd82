//! The frame of every command: decode, check what it was decided on, apply, answer.
//!
//! [`Payload`] lists every command there is. A payload that this version does not know stops the replica: skipping it would diverge.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage::{Batch, Space};

use super::catalog::Catalogs;
use super::envelope::{open, seal};
use super::idempotency::{self, IdempotencyKey};
pub(crate) use super::payload::Payload;
use super::refusal::{Fault, Refusal, Stop};
use super::rows::Actor;
use super::world::World;
use crate::mutant::Mutant;

/// A command: its type, what applying it answers, and how.
pub(crate) trait Command: Into<Payload> {
    /// What applying it answers. Stored with idempotency keys, hence as stable as the command.
    type Reply: Serialize + DeserializeOwned + Send;

    /// Changes the world. Pure and total: no clock, no randomness, nothing that the log could make panic.
    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<Self::Reply, Stop>;
}

/// A command on its way through the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stamped {
    /// The leader's time, in microseconds since the epoch.
    pub(crate) stamp: u64,
    /// The space that it is bound to.
    pub(crate) space: u64,
    /// Who caused it.
    pub(crate) actor: Actor,
    /// The schema version that it was decided under; none: it does not depend on it.
    pub(crate) schema: Option<u64>,
    /// The version of the space's tokens that it was decided under; none: it does not depend on it.
    pub(crate) access: Option<u64>,
    /// Its idempotency key.
    pub(crate) idempotency: Option<IdempotencyKey>,
    /// What to do.
    pub(crate) payload: Payload,
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer<R> {
    /// The position of the space after it.
    pub(crate) position: u64,
    /// The stamp that it got.
    pub(crate) stamp: u64,
    /// The reply, or why it had no effect.
    pub(crate) result: Result<R, Refusal>,
}

/// What applying an entry leaves to do.
pub(crate) struct Done {
    /// The answer. None: the space holds its effect already (replay after a crash).
    pub(crate) answer: Option<Bytes>,
    /// The entry begins a scrub of what the group holds after it.
    pub(crate) scrub: Option<uuid::Uuid>,
    /// The level that the entry needs.
    pub(crate) needs: u32,
    /// The level to which it raises the group.
    pub(crate) raised: Option<u32>,
    /// The space of the command.
    pub(crate) space: Space,
    /// What becomes of it outside of the store.
    pub(crate) after: After,
}

/// What a command means for who moves its space, or works in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The space took it, as it takes any command: a copy of the space takes it too.
    Taken,
    /// It is a step of a move, or a hold has kept it out: no copy may take it.
    Kept,
    /// The space has come, and is served here from now on.
    Landed,
}

/// Applies one entry of the log.
pub(crate) fn apply(batch: &mut Batch, index: u64, payload: &[u8], catalogs: &Catalogs) -> Result<Done, Fault> {
    let stamped: Stamped = open(payload).map_err(|error| Fault::Row(format!("log entry {index}"), error))?;
    let scrub = match &stamped.payload {
        Payload::ScrubBegin(begin) => Some(begin.id),
        _ => None,
    };
    let raised = match &stamped.payload {
        Payload::LevelRaise(raise) => Some(raise.level),
        _ => None,
    };
    let needs = stamped.payload.level().max(raised.unwrap_or_default());
    let space = Space(stamped.space);
    if let Payload::SpaceFollow(follow) = &stamped.payload
        && let Some(refused) = super::follow::repeat(batch, index, &stamped, follow, catalogs)?
    {
        return Ok(Done {
            answer: Some(refused),
            scrub,
            needs,
            raised,
            space,
            after: After::Kept,
        });
    }
    let (answer, after) = apply_stamped(batch, index, stamped, false, catalogs)?;
    Ok(Done {
        answer,
        scrub,
        needs,
        raised,
        space,
        after,
    })
}

/// Applies one command to its space; `is_repeated`: as another cell has applied it.
pub(super) fn apply_stamped(
    batch: &mut Batch,
    index: u64,
    stamped: Stamped,
    is_repeated: bool,
    catalogs: &Catalogs,
) -> Result<(Option<Bytes>, After), Fault> {
    let space = Space(stamped.space);
    let Some(command) = batch.command(index, space) else {
        return Ok((None, After::Kept));
    };
    let world = World::new(command, space, stamped.stamp, stamped.actor.clone())?;
    let after = match &stamped.payload {
        payload if !payload.is_taken_at(world.place(), is_repeated) => {
            return Ok((Some(refuse(&world, Refusal::Moving).into()), After::Kept));
        }
        Payload::SpaceTurn(turn) if turn.lands() => After::Landed,
        payload if payload.is_of_a_move() => After::Kept,
        _ => After::Taken,
    };
    let answer = decide_and_apply(world, stamped, catalogs)?;
    Ok((Some(answer), after))
}

fn decide_and_apply(world: World<'_>, stamped: Stamped, catalogs: &Catalogs) -> Result<Bytes, Fault> {
    let space = world.space;
    if let Err(refusal) = decided_on(&world, stamped.schema, stamped.access) {
        return Ok(refuse(&world, refusal).into());
    }
    if let Some(key) = &stamped.idempotency {
        match idempotency::stored(&world, space, key) {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(Stop::Refused(refusal)) => return Ok(refuse(&world, refusal).into()),
            Err(Stop::Fault(fault)) => return Err(fault),
        }
    }
    stamped.payload.apply(world, stamped.idempotency, catalogs).map(Bytes::from)
}

/// Whether what decide had read still holds.
fn decided_on(world: &World<'_>, schema: Option<u64>, access: Option<u64>) -> Result<(), Refusal> {
    if schema.is_none() && access.is_none() {
        return Ok(());
    }
    let header = world.live()?;
    let stale = |read: Option<u64>, now: u64| read.is_some_and(|read| read != now);
    if stale(schema, header.schema) || stale(access, header.access) {
        return Err(Refusal::Stale);
    }
    Ok(())
}

/// Runs one command and encodes its answer.
pub(super) fn run<C: Command>(
    command: C,
    mut world: World<'_>,
    key: Option<IdempotencyKey>,
    catalogs: &Catalogs,
) -> Result<Vec<u8>, Fault> {
    let result = command
        .apply(&mut world, catalogs)
        .and_then(|reply| world.check_size().map(|()| reply).map_err(Stop::from));
    let reply = match result {
        Ok(reply) => reply,
        Err(Stop::Refused(refusal)) => {
            let halfway = Mutant::BatchNotAtomic.active() && matches!(refusal, Refusal::At { .. });
            let answer = refuse(&world, refusal);
            if halfway {
                world.accept(); // Mutant, B17.
            }
            return Ok(answer);
        }
        Err(Stop::Fault(fault)) => return Err(fault),
    };
    let answer = seal(&Answer {
        position: world.position(),
        stamp: world.stamp,
        result: Ok(reply),
    });
    world.settle()?;
    if let Some(key) = key {
        idempotency::store(&mut world, &key, &answer)?;
    }
    world.accept();
    Ok(answer)
}

/// The answer of a command without effect.
pub(super) fn refuse(world: &World<'_>, refusal: Refusal) -> Vec<u8> {
    let position = world.position();
    seal(&Answer::<()> {
        position,
        stamp: world.stamp,
        result: Err(refusal),
    })
}

/// Decodes the answer of a command.
pub(crate) fn answer<R: DeserializeOwned>(bytes: &[u8]) -> Result<Answer<R>, Fault> {
    open(bytes).map_err(|error| Fault::Row("reply".to_owned(), error))
}
