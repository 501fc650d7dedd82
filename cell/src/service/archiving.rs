//! A tenant as one file, out and in: [`crate::archive`] over a connection.
//!
//! Out it is what [`super::streams`] is for an export: a thread of its own, few at a time. In it is a new tenant: entered, brought by
//! [`crate::node::arriving`], and served once all of it is there. Who asks hears of the tenant or of why there is none, and whatever breaks
//! on the way, what had come goes again.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::body::control::{Tenant as Body, TenantStatus};
use api::error::{Code, Error, Result};
use api::service::{ArchivedTenant, ByteSource, Line, LineSender, Operator, Placement, Reply};
use bytes::{Buf, Bytes};
use storage::Space;
use storage::blob::ChunkHash;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Front;
use super::error::internal;
use super::landing;
use super::streams::{EXPORT_TIME, PATIENCE};
use super::tenants::first_token;
use crate::access::secret;
use crate::access::token_create::TokenCreate;
use crate::archive;
use crate::directory::rows::{self, Tenant};
use crate::directory::tenant_receive::TenantReceive;
use crate::directory::tenant_reserve::TenantReserve;
use crate::machine::rows::Actor;
use crate::node::arriving::Arrival;

/// Most archives that a node reads at a time. Raised: they share the logs of their cells. Lowered: they wait for each other.
pub(super) const ARRIVALS: usize = 2;
/// Pieces of an archive between the connection and its reader.
const PIECES: usize = 4;

impl Front {
    pub(super) fn write_archive(&self, placement: &Placement, out: LineSender) -> Result<Reply<()>> {
        let place = Arc::clone(&self.exports).try_acquire_owned().map_err(|_| busy("exports"))?;
        let space = Space(placement.uid);
        let replica = self.platform.replica(placement)?;
        let (moment, platform) = (replica.moment(space)?, Arc::clone(&self.platform));
        let position = moment.header.position;
        let runtime = Handle::current();
        // Nobody waits for what it computes.
        self.platform.fair.elastic.handle().spawn_blocking(move || {
            let _place = place;
            let mut pieces = Pieces {
                out,
                runtime,
                deadline: Instant::now() + EXPORT_TIME,
            };
            let own = Handle::clone(&pieces.runtime);
            let mut chunks = move |hash: &ChunkHash| {
                let chunk = own.block_on(platform.chunk(&replica, space, *hash));
                chunk.map_err(|error| io::Error::new(io::ErrorKind::NotFound, error.detail))
            };
            match archive::write_with(&moment.snapshot, space, Some(&mut chunks), &mut pieces) {
                Ok(archive::Summary { rows, bytes, .. }) => tracing::debug!(rows, bytes, "wrote an archive"),
                Err(archive::WriteError::Io(error)) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::debug!(%error, "nobody reads an archive any more")
                }
                Err(error) => pieces.fail(internal(&error)),
            }
        });
        Ok(Reply { body: (), position })
    }

    pub(super) async fn receive_tenant(
        &self,
        operator: &Operator,
        new: ArchivedTenant,
        body: Box<dyn ByteSource>,
    ) -> Result<Body> {
        if new.region != self.platform.me.region {
            return Err(self.other_region(&new.region));
        }
        let plan = self.plan(new.plan.as_deref()).await?;
        let _place = self.arrivals.try_acquire().map_err(|_| busy("imports of archives"))?;
        let actor = Actor::Operator(operator.name.to_string());
        let tenant = self.enter(actor.clone(), &new, plan).await?;
        let arrival = Arrival::new(&self.platform, &tenant);
        let mut pump = JoinSet::new();
        let archive = piped(body, &mut pump);
        let come = async {
            arrival.bring(archive, new.keeps_tokens, None).await?;
            if new.keeps_tokens {
                return Ok(None);
            }
            self.give_token(&arrival, actor.clone()).await.map(Some)
        };
        match landing::end(&arrival, &tenant.slug, come.await, &actor).await {
            Ok((landed, token)) => {
                tracing::info!(tenant = landed.slug, "a tenant came from an archive");
                let shown = self.show_tenant(&landed, token)?;
                // This node's replica of the cell may not have applied it yet.
                let status = TenantStatus::Active;
                Ok(Body { status, ..shown })
            }
            Err(error) => {
                tracing::info!(%error, tenant = tenant.slug, "a tenant did not come from an archive");
                Err(error)
            }
        }
    }

    /// Enters the tenant, so that its name is taken.
    pub(super) async fn enter(&self, actor: Actor, new: &ArchivedTenant, plan: String) -> Result<Tenant> {
        let id = Uuid::now_v7();
        let reserve = |snapshot: &storage::Snapshot| {
            let known = rows::tenant(snapshot, new.slug.as_str()).map_err(|fault| internal(&fault))?;
            if known.is_some() {
                let detail = format!(
                    "there is a tenant {:?} already: import the archive under another name",
                    new.slug.as_str()
                );
                return Err(Error::new(Code::AlreadyExists, detail));
            }
            let reserve = TenantReserve {
                id,
                slug: new.slug.to_string(),
                region: new.region.clone(),
                cell: self.choose_cell(snapshot, new.slug.as_str(), &self.platform.me.region, false)?,
                dedicated: false,
                plan: plan.clone(),
                template: None,
            };
            Ok(TenantReceive { reserve })
        };
        self.platform.directory_write(actor, None, &reserve).await
    }

    /// The one token of a tenant whose own stayed behind.
    async fn give_token(&self, arrival: &Arrival<'_>, actor: Actor) -> Result<String> {
        let text = secret::generate(secret::TENANT).map_err(|error| internal(&error))?;
        arrival.at_cell(actor, TokenCreate { row: first_token(&text) }).await?;
        Ok(text)
    }
}

fn busy(what: &str) -> Error {
    let detail = format!("enough {what} are under way on this node: try again later");
    Error::new(Code::TooManyRequests, detail).retry_after(Duration::from_secs(5))
}

/// An archive on its way to who asked for it.
struct Pieces {
    out: LineSender,
    runtime: Handle,
    deadline: Instant,
}

impl Pieces {
    fn send(&self, piece: Line) -> bool {
        let sent = self.runtime.block_on(tokio::time::timeout(PATIENCE, self.out.send(piece)));
        matches!(sent, Ok(Ok(())))
    }

    /// Breaks the reply off: without its trailer nobody takes it for whole.
    fn fail(&self, error: Error) {
        // Whoever does not read it any more has gone.
        let _ = self.send(Err(Box::new(error)));
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if Instant::now() >= self.deadline {
            let late = Error::new(Code::Timeout, "the archive was read too slowly");
            self.fail(late);
            return Err(io::ErrorKind::TimedOut.into());
        }
        match self.send(Ok(Bytes::copy_from_slice(bytes))) {
            true => Ok(bytes.len()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body as what a thread reads. It is pumped for as long as `pump` is there.
fn piped(mut body: Box<dyn ByteSource>, pump: &mut JoinSet<()>) -> Piped {
    let (sender, pieces) = mpsc::channel(PIECES);
    pump.spawn(async move {
        loop {
            let (piece, is_last) = match body.next().await {
                Ok(Some(piece)) => (Ok(piece), false),
                Ok(None) => return,
                Err(error) => (Err(io::Error::other(error.detail)), true),
            };
            if sender.send(piece).await.is_err() || is_last {
                return;
            }
        }
    });
    Piped {
        pieces,
        rest: Bytes::new(),
    }
}

/// See [`piped`].
struct Piped {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Read for Piped {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(into.len());
        self.rest.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
