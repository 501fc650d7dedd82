//! One replica of a group on this node: its store, its machine and its place in the log.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use api::error::{Code, Error};
use api::service::{Stage, Timing};
use bytes::Bytes;
use raft::{Group, GroupId, GroupOptions, Host};
use storage::blob::Blobs;
use storage::{Snapshot, Space, Store};
use tokio::sync::Semaphore;

use super::holding::HELD;
use super::slot::Slot;
use crate::access::cache::Principals;
use crate::fair::turns::Turns;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::{Answer, Command, answer};
use crate::machine::idempotency::{self, IdempotencyKey};
use crate::machine::level::Level;
use crate::machine::limits::DECISIONS;
use crate::machine::loads::Loads;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::{Actor, Header};
use crate::machine::tap::Taps;
use crate::machine::watches::Watches;
use crate::machine::{Beside, Machine};
use crate::records::interest::Filters;
use crate::records::tail::Tails;
use crate::scrub::pins::Pins;
use crate::search::seeker::Seeker;
use crate::service::error::{self, internal};

/// A replica.
#[derive(Clone)]
pub(crate) struct Replica {
    /// The number of its group.
    pub(crate) number: u64,
    /// The name of its cell; `directory` for the directory.
    pub(crate) name: Arc<str>,
    /// Its data.
    pub(crate) store: Store,
    /// Its place in the log.
    pub(crate) group: Group,
    catalogs: Arc<Catalogs>,
    /// Its scrubs.
    pub(crate) pins: Arc<Pins>,
    /// What is applied to spaces that leave, and which have come.
    pub(crate) taps: Arc<Taps>,
    /// Its level.
    pub(crate) level: Arc<Level>,
    /// How much is written where.
    pub(crate) loads: Arc<Loads>,
    /// Who waits for what is applied to a space of it.
    pub(crate) watches: Arc<Watches>,
    /// The last events of its spaces, as they are told.
    pub(crate) tails: Arc<Tails>,
    /// What those who follow them ask of records.
    pub(crate) filters: Arc<Filters>,
    /// Its search; none: the directory has none.
    pub(crate) seeker: Option<Seeker>,
    /// Places for writes that wait while a tenant moves.
    pub(crate) held: Arc<Semaphore>,
    /// Turns of the requests that are served here.
    pub(crate) turns: Arc<Turns>,
    /// Whether its log goes into a backup.
    pub(crate) is_archived: bool,
    /// How much its store may have in memory before proposals wait, in bytes.
    pub(crate) delta_limit_bytes: usize,
    /// Chunks of files; none: the directory has none.
    pub(crate) blobs: Option<Blobs>,
    /// Principals that were looked up before.
    pub(crate) principals: Arc<Principals>,
}

/// What follows a replica.
pub(crate) struct Followers<'d> {
    /// Whether its log goes into a backup.
    pub(crate) is_archived: bool,
    /// Where its search index is, if it has one.
    pub(crate) search: Option<&'d Path>,
    /// Its chunks of files, if it has any.
    pub(crate) blobs: Option<Blobs>,
}

/// What a command is proposed with.
pub(crate) struct Proposal<C> {
    /// What to do.
    pub(crate) command: C,
    /// The schema version that it was decided under.
    pub(crate) schema: Option<u64>,
    /// The version of the tokens that it was decided under.
    pub(crate) access: Option<u64>,
}

/// Why a command had no effect.
pub(crate) enum Unwritten {
    /// It was refused where it was applied, or where it would have been: what a client may hear of that is for the front to say.
    Refused(Refusal),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Unwritten {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Unwritten> for Error {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Refused(refusal) => error::refused(&refusal),
            Unwritten::Failed(error) => error,
        }
    }
}

impl Replica {
    /// Joins the group with its store, bound to what `options` say, as a process that runs at this level. Blocking.
    pub(crate) fn join(
        host: &Host,
        slot: &Slot,
        store: &Store,
        level: Level,
        delta_limit_bytes: usize,
        follows: &Followers<'_>,
        options: GroupOptions,
    ) -> Result<Self, raft::Error> {
        let store = store.clone();
        let catalogs = Arc::new(Catalogs::default());
        let beside = Beside::new(level);
        let machine = Machine::new(store.clone(), Arc::clone(&catalogs), beside.clone(), delta_limit_bytes);
        let machine = if follows.is_archived { machine.archived() } else { machine };
        let group = host.open_group(GroupId(slot.number), Arc::new(machine), options)?;
        let Beside {
            pins,
            taps,
            level,
            loads,
            touched,
            watches,
        } = beside;
        pins.open();
        let seeker = follows.search.and_then(|directory| {
            let started = Seeker::start(&store, &catalogs, &touched, directory);
            started
                .inspect_err(
                    |error| tracing::error!(cell = %slot.name, %error, "there is no thread for search: it finds nothing here"),
                )
                .ok()
        });
        Ok(Self {
            number: slot.number,
            name: Arc::clone(&slot.name),
            store,
            group,
            catalogs,
            pins,
            taps,
            level,
            loads,
            watches,
            tails: Arc::default(),
            filters: Arc::default(),
            seeker,
            held: Arc::new(Semaphore::new(HELD)),
            turns: Turns::of_requests(),
            is_archived: follows.is_archived,
            delta_limit_bytes,
            blobs: follows.blobs.clone(),
            principals: Arc::default(),
        })
    }

    /// The decoded catalogs of this group.
    pub(crate) fn catalogs(&self) -> &Catalogs {
        &self.catalogs
    }

    /// Decides and proposes until it is applied or refused. `decide` is called on what this replica has; where it refuses, it
    /// is asked once more behind a read barrier, so that nobody is refused for something that has long been changed.
    pub(crate) async fn write<C: Command>(
        &self,
        space: Space,
        actor: Actor,
        key: Option<IdempotencyKey>,
        timing: &Timing,
        decide: impl Fn(&Snapshot, Option<&Header>) -> Result<Proposal<C>, Error> + Send,
    ) -> Result<Answer<C::Reply>, Unwritten> {
        let mut confirmed = false;
        let mut stale = 0;
        loop {
            let decided = {
                let start = Instant::now();
                let decided = self.decide(space, key.as_ref(), &decide);
                timing.add(Stage::Decide, start.elapsed());
                timing.computed(start.elapsed());
                decided
            };
            let proposal = match decided {
                Ok(Decision::Propose(proposal)) => proposal,
                Ok(Decision::Answered(bytes)) => return self.answered(&bytes),
                Ok(Decision::Wait) => {
                    self.settled(space).await?;
                    continue;
                }
                Err(error) if confirmed || matches!(error.code, Code::Internal | Code::NotLeader) => return Err(error.into()),
                Err(_) => {
                    self.group.read_barrier().await.map_err(error::barrier)?;
                    confirmed = true;
                    continue;
                }
            };
            let bytes = self.propose(space, actor.clone(), key, proposal, timing).await?;
            let answer = answer::<C::Reply>(&bytes).map_err(|fault| internal(&fault))?;
            match answer.result {
                Err(Refusal::Stale) if stale + 1 < DECISIONS => stale += 1,
                // A hold came before it in the log.
                Err(Refusal::Moving) => self.settled(space).await?,
                Err(refusal) => return Err(Unwritten::Refused(refusal)),
                Ok(_) => return Ok(answer),
            }
        }
    }

    /// One decision. Its snapshot is gone when it returns, so that nothing is pinned while the log works.
    fn decide<C: Command>(
        &self,
        space: Space,
        key: Option<&IdempotencyKey>,
        decide: impl Fn(&Snapshot, Option<&Header>) -> Result<Proposal<C>, Error>,
    ) -> Result<Decision<C>, Error> {
        let snapshot = self.store.begin_read();
        let (header, place) = snapshot.placed(space).map_err(|fault| internal(&fault))?.unzip();
        let place = place.unwrap_or_default();
        if !place.is_read() {
            return Err(error::moved());
        }
        if let Some(key) = key {
            match idempotency::stored(&snapshot, space, key) {
                Ok(Some(bytes)) => return Ok(Decision::Answered(bytes)),
                Ok(None) => {}
                Err(Stop::Refused(refusal)) => return Err(error::refused(&refusal)),
                Err(Stop::Fault(fault)) => return Err(internal(&fault)),
            }
        }
        if place.waits() {
            return Ok(Decision::Wait);
        }
        decide(&snapshot, header.as_ref()).map(Decision::Propose)
    }

    fn answered<R: serde::de::DeserializeOwned>(&self, bytes: &[u8]) -> Result<Answer<R>, Unwritten> {
        let answer = answer::<R>(bytes).map_err(|fault| internal(&fault))?;
        match answer.result {
            Ok(_) => Ok(answer),
            Err(refusal) => Err(Unwritten::Refused(refusal)),
        }
    }
}

/// What a decision ends in.
enum Decision<C> {
    /// Send this through the log.
    Propose(Proposal<C>),
    /// The request was answered before.
    Answered(Bytes),
    /// The tenant moves.
    Wait,
}
