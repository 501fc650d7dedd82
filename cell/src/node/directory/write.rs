//! Commands of the directory, decided on what this node has and proposed at whoever leads it.

use std::time::Duration;

use api::error::{Code, Error};
use bytes::Bytes;
use storage::{Snapshot, Space};

use crate::directory::GROUP;
use crate::machine::dispatch::{Answer, Command, answer};
use crate::machine::idempotency::{self, IdempotencyKey};
use crate::machine::limits::DECISIONS;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::Actor;
use crate::node::platform::Platform;
use crate::node::proposing::stamped;
use crate::node::replica::Proposal;
use crate::service::error::{internal, refused};

/// How long a writer waits until this node has what it wrote: it may read it here next.
const OWN_WRITE: Duration = Duration::from_secs(2);

impl Platform {
    /// Decides on what this node has of the directory and proposes until it is applied or refused. Where `decide` refuses, it is asked
    /// once more on what is fresh. When this returns, this node has the change too, if it comes in a bounded time.
    pub(crate) async fn directory_write<C: Command>(
        &self,
        actor: Actor,
        key: Option<IdempotencyKey>,
        decide: impl Fn(&Snapshot) -> Result<C, Error> + Send,
    ) -> Result<C::Reply, Error> {
        let (mut confirmed, mut stale) = (false, 0);
        loop {
            let bytes = match self.decide_here(key.as_ref(), &decide) {
                Ok(Decided::Answered(bytes)) => {
                    return self.directory_reply::<C>(&bytes).await?.map_err(|refusal| refused(&refusal));
                }
                Ok(Decided::Propose(command)) => {
                    let (schema, access) = (None, None);
                    let proposal = Proposal { command, schema, access };
                    stamped(Space::SYSTEM, actor.clone(), key, proposal)
                }
                Err(error) if confirmed || error.code == Code::Internal || !self.freshen_directory().await => return Err(error),
                Err(_) => {
                    confirmed = true;
                    continue;
                }
            };
            let reply = self.propose_at_leader(GROUP, bytes).await?;
            match self.directory_reply::<C>(&reply).await? {
                Ok(reply) => return Ok(reply),
                Err(Refusal::Stale) if stale + 1 < DECISIONS => {
                    stale += 1;
                    self.freshen_directory().await;
                }
                Err(refusal) => return Err(refused(&refusal)),
            }
        }
    }

    /// Proposes a command that needs no decision.
    pub(crate) async fn at_directory<C: Command + Clone + Sync>(&self, actor: Actor, command: C) -> Result<C::Reply, Error> {
        self.directory_write(actor, None, |_| Ok(command.clone())).await
    }

    /// Proposes a command that was decided on nothing; what applying it answered.
    pub(crate) async fn directory_command<C: Command>(
        &self,
        actor: Actor,
        key: Option<IdempotencyKey>,
        command: C,
    ) -> Result<Result<C::Reply, Refusal>, Error> {
        let (schema, access) = (None, None);
        let proposal = Proposal { command, schema, access };
        let reply = self
            .propose_at_leader(GROUP, stamped(Space::SYSTEM, actor, key, proposal))
            .await?;
        self.directory_reply::<C>(&reply).await
    }

    /// What a command with this key was answered, if one was applied before: for who would refuse what has long been done.
    pub(crate) async fn directory_answered<C: Command>(&self, key: &IdempotencyKey) -> Result<Option<C::Reply>, Error> {
        self.freshen_directory().await;
        let Some(bytes) = stored(&self.directory.read()?, key)? else {
            return Ok(None);
        };
        let reply = self.directory_reply::<C>(&bytes).await?;
        reply.map(Some).map_err(|refusal| refused(&refusal))
    }

    fn decide_here<C>(
        &self,
        key: Option<&IdempotencyKey>,
        decide: &impl Fn(&Snapshot) -> Result<C, Error>,
    ) -> Result<Decided<C>, Error> {
        let snapshot = self.directory.read()?;
        let answered = key.map(|key| stored(&snapshot, key)).transpose()?.flatten();
        match answered {
            Some(bytes) => Ok(Decided::Answered(bytes)),
            None => decide(&snapshot).map(Decided::Propose),
        }
    }

    /// What applying answered, once this node has it too.
    async fn directory_reply<C: Command>(&self, bytes: &Bytes) -> Result<Result<C::Reply, Refusal>, Error> {
        let Answer { position, result, .. } = answer::<C::Reply>(bytes).map_err(|fault| internal(&fault))?;
        if result.is_ok() {
            self.directory.reached(position, OWN_WRITE).await;
        }
        Ok(result)
    }
}

/// The answer that is stored under a key.
fn stored(snapshot: &Snapshot, key: &IdempotencyKey) -> Result<Option<Bytes>, Error> {
    idempotency::stored(snapshot, Space::SYSTEM, key).map_err(|stop| match stop {
        Stop::Refused(refusal) => refused(&refusal),
        Stop::Fault(fault) => internal(&fault),
    })
}

/// What a decision ends in.
enum Decided<C> {
    /// Send this through the log.
    Propose(C),
    /// The request was answered before.
    Answered(Bytes),
}
