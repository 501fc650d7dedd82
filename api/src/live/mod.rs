//! Live connections: WebSockets over which a tenant's events and presence come while they happen.
//!
//! ```text
//!  GET …/live ── gate ──► `upgrade` ── 101 ──► `session`: one task a connection, at the leader's node
//!                                                │ asks: subscribe, presence, ping, leave
//!                                                │ position ──► `subscriptions`: what the log has after each one's position
//!                                                │ notices  ──► `presence`: who is at which topic, in memory
//!                                                └ `socket`: frames out; a consumer that is too slow is told to resume
//! ```
//!
//! Events are never queued for a client: each subscription has a position, and what is behind it is read from the log when the connection
//! has room. So what a slow client costs is one buffer, and nobody waits for it. What is not in the log (presence) has a queue of a few
//! notices; where it runs over, the whole list is told again.
//!
//! A node that gets a connection for another node's tenant sends it there, frame by frame ([`crate::forward`]). Where either drains, the
//! client is told to resume: from which positions, so that it goes on elsewhere without a gap and without a repeat.
//!
//! Invariant: what a client hears, its token may see at that moment: with each page of events, and with each look at a topic, the
//! principal is read again, and rules are asked.
//!
//! CAVEATS: presence is this node's memory. Where the tenant's cell gets another leader, sessions are told to resume, and say anew
//! where they are.

mod document;
mod end;
mod lib0;
pub(crate) mod presence;
mod rate;
pub(crate) mod rooms;
mod session;
mod socket;
mod subscriptions;
pub(crate) mod topic;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use self::document::Editor;
use self::rooms::Seat;
use self::session::Session;
use self::socket::Socket;
use self::upgrade::Upgrade;
use crate::error::{Code, Error, Result};
use crate::front::{Asked, Front};
use crate::gate;
use crate::limits::{DOCUMENT_UPDATE_BYTES, LIVE_MESSAGE_BYTES};
use crate::metrics::Connected;
use crate::reply::Reply;
use crate::server::{ClientConnection, Phase};
use crate::service::{Consistency, DocumentAt, Following, RequestContext};

/// A connection that is turned over, with what it takes.
struct Taken {
    upgrade: Upgrade,
    /// A follower's place, a connection's, and the connection, which counts for its tenant for as long as it is open.
    kept: (Box<dyn Following>, Connected, Option<Arc<ClientConnection>>),
    secret: String,
}

/// What stands before every live connection.
async fn take(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Taken> {
    let upgrade = upgrade::asked_for(asked.head)?;
    let front = asked.front;
    let place = front.service.follow(ctx)?;
    let full = || Error::new(Code::Unavailable, "this node has too many connections").retry_after(Duration::from_secs(1));
    let slot = front.metrics.keep(front.config.connections).ok_or_else(full)?;
    // A new leader may not have applied yet what was answered before.
    front
        .service
        .barrier(&ctx.placement, Consistency::Strong, asked.timing)
        .await?;
    Ok(Taken {
        upgrade,
        kept: (place, slot, asked.client.cloned()),
        secret: gate::bearer(&asked.head.headers)?.to_owned(),
    })
}

impl Taken {
    /// Answers, and serves the connection once it has been turned over.
    fn serve<F: Future<Output = ()> + Send + 'static>(
        self,
        front: &Front,
        most: usize,
        run: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Reply {
        let reply = self.upgrade.reply();
        let (within, slow, idle) = (front.config.head, front.config.live.slow, front.config.stream_idle);
        front.sockets.spawn(async move {
            let _kept = self.kept;
            let Some(upgraded) = self.upgrade.wait(within).await else {
                return;
            };
            Box::pin(run(Socket::new(upgraded, most, slow, idle).await)).await;
        });
        reply
    }
}

/// Turns a request into a live connection.
pub(crate) async fn answer(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    asked.query.finish()?;
    let front = asked.front;
    let taken = take(asked, ctx).await?;
    let position = front.service.position(ctx, 0, Duration::ZERO).await?;
    let session = Box::new(Session::new(
        Arc::clone(&front.service),
        ctx.clone(),
        taken.secret.clone(),
        Arc::clone(&front.presences),
        front.config.live.clone(),
        position,
    ));
    let draining = front.phases.reached(Phase::Draining);
    Ok(taken.serve(front, LIVE_MESSAGE_BYTES, |socket| session.run(socket, draining)))
}

/// Turns a request into a connection to a document.
pub(crate) async fn edit(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    // Clients of Yjs name rooms and pass parameters as they like.
    asked.query.rest();
    let wrong = |what: &str| Error::new(Code::InvalidParameter, format!("{what} is not one"));
    let at = DocumentAt {
        collection: gate::collection(asked, ctx)?,
        id: asked.id(asked.found.second)?,
        field: asked.found.third.parse().map_err(|_| wrong("the name of the field"))?,
    };
    let front = asked.front;
    let taken = take(asked, ctx).await?;
    front.service.document(ctx, &at, None).await?;
    let editor = Editor {
        service: Arc::clone(&front.service),
        ctx: ctx.clone(),
        secret: taken.secret.clone(),
        seat: Seat::take(Arc::clone(&front.rooms), ctx.placement.uid, at.clone())?,
        known: document::Known::default(),
        denied: false,
        at,
        times: front.config.live.clone(),
    };
    let draining = front.phases.reached(Phase::Draining);
    // What is around an update takes a few bytes.
    let most = DOCUMENT_UPDATE_BYTES + 64;
    Ok(taken.serve(front, most, |socket| editor.run(socket, draining)))
}
