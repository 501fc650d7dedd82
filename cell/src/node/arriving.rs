//! Tenants that come from an archive: who reads it brings it, and the leader of the cell gives up what nobody brings any more.
//!
//! ```text
//!  the directory   Arriving ──────────────────────────────────────────────────► Active, or Deleting
//!  the cell          nothing, Clearing, Copying … Following, Arrived, Here      or erased
//! ```
//!
//! The tenant is entered first, so that its name is taken, and it is served nowhere. Its rows come as those of a move do
//! (`placement`): numbered chunks, the header with the last of them. The reader gives that out only when the whole archive was right. Then
//! the space is complete in its cell, and one command of the directory has it served.
//!
//! Where anything fails the same command gives it up instead, and the space is erased. That is done by who brings it, or, where
//! it has gone, by the leader of the cell ([`Watched`]): a chunk comes at least every few seconds, be it an empty one, so that a space
//! that gets none is nobody's. Which of the two ends comes first is decided by the directory, once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::error::{Code, Error};
use storage::Space;
use tokio::sync::mpsc;

use super::moving::rest;
use super::platform::Platform;
use super::proposing::stamped;
use super::replica::Proposal;
use crate::archive::{Chunk, Owner, ReadError, Reader};
use crate::backup::stored::Stored;
use crate::directory::rows::Tenant;
use crate::directory::tenant_forget::TenantForget;
use crate::directory::tenant_land::TenantLand;
use crate::machine::dispatch::{Command, answer};
use crate::machine::rows::{Actor, Header, Place};
use crate::placement::arrive::{Row, SpaceArrive};
use crate::placement::clear::SpaceClear;
use crate::placement::turn::{SpaceTurn, Turn};
use crate::service::error::{internal, refused};

/// The attempt of every arrival of a new tenant. A space has one at most: its number is new.
const ATTEMPT: u64 = 1;
/// How long a chunk is waited for before an empty one is sent.
pub(super) const BEAT: Duration = Duration::from_secs(3);
/// After so long without a chunk an arrival is given up. Raised: the name of a tenant whose import broke off is taken for longer. Lowered:
/// imports on a cell that stalls are given up.
const ALONE: Duration = Duration::from_secs(20);
/// Chunks between the reader and the cell.
const CHUNKS: usize = 2;
/// How often a command is sent to a cell that does not answer.
const TRIES: usize = 6;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

const _: () = assert!(ALONE.as_secs() > 4 * BEAT.as_secs());

/// One arrival.
pub(crate) struct Arrival<'a> {
    pub(super) platform: &'a Arc<Platform>,
    pub(super) tenant: &'a Tenant,
    attempt: u64,
}

impl<'a> Arrival<'a> {
    /// Of a tenant that is entered as arriving.
    pub(crate) fn new(platform: &'a Arc<Platform>, tenant: &'a Tenant) -> Self {
        Self::again(platform, tenant, ATTEMPT)
    }

    /// Of a tenant whose space was lost: the attempt is higher than all before.
    pub(crate) fn again(platform: &'a Arc<Platform>, tenant: &'a Tenant, attempt: u64) -> Self {
        Self {
            platform,
            tenant,
            attempt,
        }
    }

    /// Brings what an archive holds into the tenant's space, and before it the chunks of its files that are elsewhere. It is complete then,
    /// and still not served. Blocking reads of the archive are on a thread of their own.
    pub(crate) async fn bring(
        &self,
        archive: impl Read + Send + 'static,
        keeps_tokens: bool,
        stored: Option<&Stored>,
    ) -> Result<(), Error> {
        self.clear(true).await?;
        let first = match stored {
            Some(stored) => self.bring_stored(stored).await?,
            None => 0,
        };
        let owner = Owner {
            space: Space(self.tenant.uid),
            tenant: self.tenant.id,
            slug: self.tenant.slug.clone(),
            keeps_tokens,
        };
        let mut chunks = read(archive, owner);
        for chunk in first.. {
            let began = Instant::now();
            let Chunk { rows, blobs, end } = match tokio::time::timeout(BEAT, chunks.recv()).await {
                Ok(Some(chunk)) => chunk.map_err(|error| unreadable(&error))?,
                Ok(None) => return Err(internal(&"an archive was read no further than to its middle")),
                // Whoever sends it is slow. Somebody still waits for it.
                Err(_) => Chunk {
                    rows: Vec::new(),
                    blobs: Vec::new(),
                    end: None,
                },
            };
            for blob in blobs {
                // Before the space is served, so that whoever reads a row finds what it names.
                let space = Space(self.tenant.uid);
                self.platform.keep_chunk(self.tenant.cell, space, blob).await?;
            }
            let is_last = end.is_some();
            self.take(chunk, rows, end).await?;
            if is_last {
                break;
            }
            rest(began).await;
        }
        let epoch = self.tenant.epoch;
        for turn in [Turn::Arrive { index: 0, epoch }, Turn::Live] {
            let attempt = self.attempt;
            self.at_cell(Actor::System, SpaceTurn { attempt, turn }).await?;
        }
        Ok(())
    }

    /// Brings rows, as one chunk of the arrival: those that follow have the numbers that follow.
    pub(super) async fn take(&self, chunk: u64, rows: Vec<Row>, end: Option<Header>) -> Result<(), Error> {
        let (attempt, end) = (self.attempt, end.map(|header| (header, 0)));
        let command = SpaceArrive {
            attempt,
            chunk,
            rows,
            end,
        };
        self.at_cell(Actor::System, command).await
    }

    /// Has the tenant served from now on.
    pub(crate) async fn land(&self, actor: Actor) -> Result<Tenant, Error> {
        let (uid, is_whole) = (self.tenant.uid, true);
        self.platform.at_directory(actor, TenantLand { uid, is_whole }).await
    }

    /// Gives the tenant up, and takes away what has come of it. What fails of that is left to the leader of the cell.
    pub(crate) async fn give_up(&self) -> Result<(), Error> {
        give_up(self.platform, self.tenant.uid).await?;
        self.clear(false).await?;
        let (uid, keys) = (self.tenant.uid, 0);
        self.platform.at_directory(Actor::System, TenantForget { uid, keys }).await
    }

    async fn clear(&self, comes: bool) -> Result<(), Error> {
        loop {
            let began = Instant::now();
            let attempt = self.attempt;
            let command = clearing(self.tenant, comes);
            if self.at_cell(Actor::System, SpaceClear { attempt, ..command }).await? {
                return Ok(());
            }
            rest(began).await;
        }
    }

    /// A command in the tenant's cell, wherever that is led. All that are sent can be sent again without effect.
    pub(crate) async fn at_cell<C: Command>(&self, actor: Actor, command: C) -> Result<C::Reply, Error> {
        let proposal = Proposal {
            command,
            schema: None,
            access: None,
        };
        let bytes = stamped(Space(self.tenant.uid), actor, None, proposal);
        let mut tries = 0;
        let reply = loop {
            let failure = match self.platform.propose_at_leader(self.tenant.cell, bytes.clone()).await {
                Ok(reply) => break reply,
                Err(failure) => failure,
            };
            tries += 1;
            if tries == TRIES {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE).await;
        };
        let answer = answer::<C::Reply>(&reply).map_err(|fault| internal(&fault))?;
        answer.result.map_err(|refusal| refused(&refusal))
    }
}

/// The step that clears a tenant's space, before it comes or after it was given up.
pub(super) fn clearing(tenant: &Tenant, comes: bool) -> SpaceClear {
    SpaceClear {
        attempt: ATTEMPT,
        tenant: tenant.id,
        comes,
    }
}

async fn give_up(platform: &Platform, uid: u64) -> Result<(), Error> {
    let is_whole = false;
    platform
        .at_directory(Actor::System, TenantLand { uid, is_whole })
        .await
        .map(drop)
}

/// Reads on a thread of its own, a little ahead of who takes the chunks.
fn read(archive: impl Read + Send + 'static, owner: Owner) -> mpsc::Receiver<Result<Chunk, ReadError>> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let mut send = |chunk| sender.blocking_send(chunk).is_ok();
        match Reader::new(archive, owner) {
            Ok(mut reader) => reader.all(&mut send),
            Err(error) => send(Err(error)),
        }
    });
    receiver
}

fn unreadable(error: &ReadError) -> Error {
    let code = match error {
        ReadError::Newer { .. } | ReadError::Row { .. } => Code::InvalidFields,
        _ => Code::MalformedBody,
    };
    Error::new(code, format!("{error}; nothing was imported"))
}

/// What the leader of a cell has seen of tenants that arrive there: where the space stood, and since when.
#[derive(Default)]
pub(super) struct Watched(BTreeMap<u64, (Option<Place>, Instant)>);

impl Watched {
    /// Gives up an arrival that nobody brings any more.
    pub(super) async fn look(&mut self, platform: &Platform, tenant: &Tenant, place: Option<Place>) -> Result<(), Error> {
        let now = Instant::now();
        let seen = self.0.entry(tenant.uid).or_insert((place, now));
        if seen.0 != place {
            *seen = (place, now);
        }
        if now.duration_since(seen.1) < ALONE {
            return Ok(());
        }
        give_up(platform, tenant.uid).await?;
        self.0.remove(&tenant.uid);
        tracing::warn!(tenant = tenant.slug, "gave up a tenant whose import broke off");
        Ok(())
    }

    /// Keeps what is known of those that still arrive.
    pub(super) fn keep(&mut self, arriving: &BTreeSet<u64>) {
        self.0.retain(|uid, _| arriving.contains(uid));
    }

    /// Forgets all: who leads now has seen nothing yet.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
