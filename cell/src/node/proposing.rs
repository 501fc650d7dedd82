//! Commands on their way into the log of a replica.

use api::error::{Code, Error};
use api::service::{Stage, Timing};
use bytes::Bytes;
use raft::ProposeError;
use storage::Space;

use super::replica::{Proposal, Replica};
use crate::machine::dispatch::{Command, Payload, Stamped};
use crate::machine::envelope::seal;
use crate::machine::idempotency::IdempotencyKey;
use crate::machine::level;
use crate::machine::limits::COMMAND_BYTES;
use crate::machine::rows::Actor;
use crate::records::time::now_micros;
use crate::service::error;

impl Replica {
    /// Sends one command through the log; its encoded answer.
    pub(crate) async fn propose<C: Command>(
        &self,
        space: Space,
        actor: Actor,
        key: Option<IdempotencyKey>,
        proposal: Proposal<C>,
        timing: &Timing,
    ) -> Result<Bytes, Error> {
        let Proposal { command, schema, access } = proposal;
        let command: Payload = command.into();
        self.check_level(command.level())?;
        let bytes = stamped(space, actor, key, Proposal { command, schema, access });
        if bytes.len() > COMMAND_BYTES {
            let detail = format!(
                "the change is {} bytes, at most {COMMAND_BYTES} are allowed: split it",
                bytes.len()
            );
            return Err(Error::new(Code::TooLarge, detail));
        }
        match self.propose_bytes(bytes, timing).await {
            // The leadership was lost on the way. Whoever forwarded it may ask the next leader, if it may be repeated.
            Err(ProposeError::Unknown(_)) if !self.group.is_leader() => {
                Err(error::not_leader(self.group.leader().map(|node| node.0)).unknown())
            }
            other => other.map_err(error::proposal),
        }
    }

    /// Sends a command through the log that was encoded elsewhere, maybe by another version, if the group is at its level.
    pub(crate) async fn propose_foreign(&self, bytes: Bytes) -> Result<Bytes, Error> {
        match level::needed(&bytes) {
            Ok(needed) => self.check_level(needed)?,
            Err(error) => {
                tracing::info!(cell = %self.name, %error, "another node proposes what this version does not know");
                let detail = "a newer version proposes what this node does not know: update it";
                return Err(Error::new(Code::Unavailable, detail));
            }
        }
        self.propose_bytes(bytes, &Timing::default()).await.map_err(error::proposal)
    }

    /// Refuses what belongs to a higher level than the group is at.
    pub(crate) fn check_level(&self, needed: u32) -> Result<(), Error> {
        let level = self.level.group();
        if needed <= level {
            return Ok(());
        }
        let detail = format!(
            "{} is at level {level}, this needs level {needed}: it rises by itself once all of its nodes run a version that knows it",
            self.name
        );
        Err(Error::new(Code::Unavailable, detail))
    }

    /// Sends an encoded command through the log.
    async fn propose_bytes(&self, bytes: Bytes, timing: &Timing) -> Result<Bytes, ProposeError> {
        timing.proposed(bytes.len());
        let done = self.group.propose(bytes).await?;
        let micros = |micros: u32| std::time::Duration::from_micros(u64::from(micros));
        timing.add(Stage::Propose, micros(done.propose_us));
        timing.add(Stage::Fsync, micros(done.fsync_us));
        timing.add(Stage::Commit, micros(done.commit_us));
        timing.add(Stage::Apply, micros(done.apply_us));
        Ok(done.reply)
    }
}

/// A command as it goes into the log, stamped with this node's clock.
pub(crate) fn stamped(space: Space, actor: Actor, key: Option<IdempotencyKey>, proposal: Proposal<impl Into<Payload>>) -> Bytes {
    let Proposal { command, schema, access } = proposal;
    let stamped = Stamped {
        stamp: now_micros(),
        space: space.0,
        actor,
        schema,
        access,
        idempotency: key,
        payload: command.into(),
    };
    seal(&stamped).into()
}
