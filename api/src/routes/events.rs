//! Events: what happened in a tenant, from a position on, and, if wished, what happens from now on.
//!
//! NDJSON ends after what is there; `wait` lets an empty answer wait for a first event, `follow` keeps it open. Server-sent
//! events stay open unless `follow=false`, and a client that comes back with `Last-Event-ID` goes on where it was. While nothing
//! happens a follower gets an empty line, or a comment and how far it is, so that both sides notice when the other has gone, and its token is checked
//! again, so that a revoked one does not read on for ever.
//!
//! The service gives out all events; which of them a token may see is decided here. What has been read is therefore counted in
//! positions, never in events that were sent: a page of events that are all hidden is neither the end nor a reason to ask for it
//! again. Without `follow` the end is the position at the start, so that steady writers cannot keep the reply open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use tokio::sync::mpsc;
use tracing::Instrument;

pub(crate) mod wanted;

use self::wanted::{Form, Wanted, wanted};
use super::streams::LINES;
use crate::body::event::Seen;
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::gate;
use crate::problem::Problem;
use crate::reply::{self, Lines, Marks, NDJSON, Reply};
use crate::server::Phase;
use crate::service::{self, Following, LineSender, Location, Principal, Reach, RequestContext, Service};

/// Events that are read at a time.
const PAGE: usize = 256;
/// How long the directory has to say where a tenant has gone.
const REFRESH: Duration = Duration::from_millis(100);
/// Between two looks for it.
const PAUSE: Duration = Duration::from_millis(5);
const SSE: HeaderValue = HeaderValue::from_static("text/event-stream");

pub(super) async fn answer(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let mut wanted = wanted(asked)?;
    asked.front.service.events_check(ctx, &wanted.query)?;
    let first = first(asked, ctx, &mut wanted).await?;
    let place = if wanted.follow {
        Some(asked.front.service.follow(ctx)?)
    } else {
        None
    };
    let (sender, receiver) = mpsc::channel(LINES);
    let follower = Follower {
        _place: place,
        service: asked.front.service.clone(),
        secret: gate::bearer(&asked.head.headers)?.to_owned(),
        ctx: ctx.clone(),
        sign_of_life: asked.front.config.sign_of_life,
        patience: asked.front.config.leader_wait,
        sender,
    };
    let ended = first.body.is_empty() && !wanted.follow;
    let position = first.position;
    wanted.until = position;
    let media_type = if wanted.form == Form::Sse { SSE } else { NDJSON };
    let (phases, follows) = (asked.front.phases.reached(Phase::Draining), wanted.follow);
    if !ended {
        let work = async move {
            tokio::select! {
                () = follower.run(&mut wanted, first.body) => {}
                // A draining node lets its followers go; they come back elsewhere, with their position. A list is finished: an
                // early end would be taken for the end of what there is.
                () = phases, if follows => {}
                () = follower.sender.closed() => {}
            }
        };
        tokio::spawn(work.in_current_span());
    }
    let mut reply = reply::lines(media_type, Lines::new(None, receiver)).at(position);
    reply
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply)
}

/// The first page. A follower's head goes out at once; whoever only waits gets it with the first event that it may see.
async fn first(asked: &Asked<'_>, ctx: &RequestContext, wanted: &mut Wanted) -> Result<service::Reply<Vec<Seen>>> {
    let until = Instant::now() + if wanted.follow { Duration::ZERO } else { wanted.wait };
    loop {
        let left = until.saturating_duration_since(Instant::now());
        wanted.query.limit = page(wanted, &ctx.principal);
        let first = asked.front.service.events(ctx, &wanted.query, left).await?;
        let Some(last) = first.body.last() else { return Ok(first) };
        if left.is_zero() || first.body.iter().any(|event| is_visible(&ctx.principal, event)) {
            return Ok(first);
        }
        wanted.query.after = wanted.query.after.max(last.position());
    }
}

fn page(wanted: &Wanted, principal: &Principal) -> usize {
    let query = &wanted.query;
    if principal.scopes.is_some() || query.collections.is_some() || query.record.is_some() || query.filter.is_some() {
        // How many of them will be seen is not known.
        return PAGE;
    }
    usize::try_from(wanted.left).unwrap_or(PAGE).min(PAGE)
}

/// Whether a principal may see what is not hidden by a rule.
pub(crate) fn is_visible(principal: &Principal, seen: &Seen) -> bool {
    if seen.hidden {
        return false;
    }
    match &seen.told.event().collection {
        Some(collection) => gate::in_scope(principal, collection),
        // Who may see some collections only sees nothing of tokens either.
        None => principal.scopes.is_none(),
    }
}

/// Writes events for one client.
struct Follower {
    /// Among as many as its tenant may have.
    _place: Option<Box<dyn Following>>,
    service: Arc<dyn Service>,
    secret: String,
    ctx: RequestContext,
    /// How long the client hears nothing before it gets a sign of life.
    sign_of_life: Duration,
    /// How long it looks for a tenant that has moved.
    patience: Duration,
    sender: LineSender,
}

/// The client is gone, or has been told why it ends.
struct Ended;

impl Follower {
    async fn run(&self, wanted: &mut Wanted, first: Vec<Seen>) {
        let _ = self.try_run(wanted, first).await;
    }

    async fn try_run(&self, wanted: &mut Wanted, mut events: Vec<Seen>) -> Result<(), Ended> {
        let mut ctx = self.ctx.clone();
        let mut heard = Instant::now();
        loop {
            let all = events.is_empty() || events.last().is_some_and(|last| last.position() >= wanted.until);
            if self.write(wanted, &ctx, events).await? {
                heard = Instant::now();
            }
            if wanted.left == 0 || (all && !wanted.follow) {
                return Ok(());
            }
            let wait = if wanted.follow {
                self.sign_of_life.saturating_sub(heard.elapsed())
            } else {
                Duration::ZERO
            };
            events = match self.next(&mut ctx, wanted, wait).await {
                Ok(next) => next,
                // Ended, not broken: the client comes back with its position, and is led to where the tenant is.
                Err(error) if error.code == Code::NotLeader && wanted.follow => return Ok(()),
                Err(error) => return self.fail(wanted.form, shown(error)).await,
            };
            // Hidden events are no sign of life: the client hears nothing of them.
            if wanted.follow && heard.elapsed() >= self.sign_of_life {
                heard = Instant::now();
                self.send(sign(wanted)).await?;
            }
        }
    }

    /// What comes next, for whoever the token belongs to now. A tenant that moves to another cell is followed there, where that has a
    /// replica on this node; [`Code::NotLeader`] where it has none.
    async fn next(&self, ctx: &mut RequestContext, wanted: &mut Wanted, wait: Duration) -> Result<Vec<Seen>> {
        let mut lost: Option<Instant> = None;
        loop {
            let error = match self.read(ctx, wanted, wait).await {
                Err(error) if error.code == Code::NotLeader => error,
                result => return result,
            };
            if lost.get_or_insert_with(Instant::now).elapsed() >= self.patience {
                return Err(error);
            }
            // Without an answer this node's copy of the directory is as good as before.
            let _ = tokio::time::timeout(REFRESH, self.service.refresh()).await;
            match self.service.locate(&ctx.placement.slug, Reach::Replica) {
                Location::Here(placement) => ctx.placement = placement,
                _ => return Err(error),
            }
            // Its replica here may lag behind.
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn read(&self, ctx: &mut RequestContext, wanted: &mut Wanted, wait: Duration) -> Result<Vec<Seen>> {
        wanted.query.limit = page(wanted, &ctx.principal);
        let next = self.service.events(ctx, &wanted.query, wait).await?;
        ctx.principal = self.service.authenticate(&ctx.placement, &self.secret, &ctx.timing).await?;
        Ok(next.body)
    }

    /// Sends those events that the principal may see, and says whether there were any.
    async fn write(&self, wanted: &mut Wanted, ctx: &RequestContext, events: Vec<Seen>) -> Result<bool, Ended> {
        let mut any = false;
        for event in events {
            wanted.query.after = wanted.query.after.max(event.position());
            if !is_visible(&ctx.principal, &event) {
                continue;
            }
            any = true;
            self.send(if wanted.form == Form::Sse {
                event.sent()
            } else {
                event.line()
            })
            .await?;
            wanted.left -= 1;
            if wanted.left == 0 {
                break;
            }
        }
        Ok(any)
    }

    async fn send(&self, line: Bytes) -> Result<(), Ended> {
        self.sender.send(Ok(line)).await.map_err(|_| Ended)
    }

    async fn fail(&self, form: Form, error: Error) -> Result<(), Ended> {
        match form {
            Form::Ndjson => self.sender.send(Err(Box::new(error))).await.map_err(|_| Ended),
            Form::Sse => {
                let mut text = b"event: problem\ndata: ".to_vec();
                text.extend_from_slice(&Problem::of(&error).to_json());
                text.extend_from_slice(b"\n\n");
                self.send(text.into()).await
            }
        }
    }
}

/// A sign of life. Server-sent events say how far it is, past what the client may not see or does not want: it comes back there, and not to
/// where nothing is kept any more.
fn sign(wanted: &Wanted) -> Bytes {
    match wanted.form {
        Form::Sse => format!(": nothing new\nid: {}\n\n", wanted.query.after).into(),
        Form::Ndjson => Bytes::from_static(b"\n"),
    }
}

/// An error as clients may hear it: which node serves what is none of their business.
fn shown(error: Error) -> Error {
    match error.code {
        Code::NotLeader => {
            let detail = "the events go on elsewhere: ask again after the last position that was sent";
            Error::new(Code::Unavailable, detail).retry_after(Duration::from_secs(1))
        }
        _ => error,
    }
}
