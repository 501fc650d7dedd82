//! Events: what happened in a tenant, from a position on, and, if wished, what happens from now on.
//!
//! NDJSON ends after what is there; `wait` lets an empty answer wait for a first event, `follow` keeps it open. Server-sent
//! events stay open unless `follow=false`, and a client that comes back with `Last-Event-ID` goes on where it was. While nothing
//! happens a follower gets an empty line or comment, so that both sides notice when the other has gone, and its token is checked
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

mod wanted;

use self::wanted::{Form, Wanted, wanted};
use super::streams::LINES;
use crate::body::event::Event;
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::gate;
use crate::problem::Problem;
use crate::reply::{self, Lines, Marks, NDJSON, Reply};
use crate::server::Phase;
use crate::service::{self, Following, Location, Principal, Reach, RequestContext, Service};

/// Events that are read at a time.
const PAGE: usize = 256;
/// How long the directory has to say where a tenant has gone.
const REFRESH: Duration = Duration::from_millis(100);
/// Between two looks for it.
const PAUSE: Duration = Duration::from_millis(5);
const SSE: HeaderValue = HeaderValue::from_static("text/event-stream");

pub(super) async fn answer(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let mut wanted = wanted(asked)?;
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
    let phases = asked.front.phases.reached(Phase::Draining);
    if !ended {
        let work = async move {
            tokio::select! {
                () = follower.run(&mut wanted, first.body) => {}
                // A draining node lets its followers go; they come back elsewhere, with their position.
                () = phases => {}
                () = follower.sender.closed() => {}
            }
        };
        tokio::spawn(work.in_current_span());
    }
    let media_type = if wanted.form == Form::Sse { SSE } else { NDJSON };
    let mut reply = reply::lines(media_type, Lines::new(None, receiver)).at(position);
    reply
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply)
}

/// The first page. A follower's head goes out at once; whoever only waits gets it with the first event that it may see.
async fn first(asked: &Asked<'_>, ctx: &RequestContext, wanted: &mut Wanted) -> Result<service::Reply<Vec<Event>>> {
    let until = Instant::now() + if wanted.follow { Duration::ZERO } else { wanted.wait };
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let size = page(wanted, &ctx.principal);
        let first = asked.front.service.events(ctx, wanted.after, size, left).await?;
        let Some(last) = first.body.last() else { return Ok(first) };
        if left.is_zero() || first.body.iter().any(|event| is_visible(&ctx.principal, event)) {
            return Ok(first);
        }
        wanted.after = wanted.after.max(last.position);
    }
}

fn page(wanted: &Wanted, principal: &Principal) -> usize {
    if principal.scopes.is_some() {
        // How many of them will be seen is not known.
        return PAGE;
    }
    usize::try_from(wanted.left).unwrap_or(PAGE).min(PAGE)
}

fn is_visible(principal: &Principal, event: &Event) -> bool {
    if event.hidden {
        return false;
    }
    match &event.collection {
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
    sender: mpsc::Sender<Result<Bytes>>,
}

/// The client is gone, or has been told why it ends.
struct Ended;

impl Follower {
    async fn run(&self, wanted: &mut Wanted, first: Vec<Event>) {
        let _ = self.try_run(wanted, first).await;
    }

    async fn try_run(&self, wanted: &mut Wanted, mut events: Vec<Event>) -> Result<(), Ended> {
        let mut ctx = self.ctx.clone();
        let mut heard = Instant::now();
        loop {
            let all = events.is_empty() || events.last().is_some_and(|last| last.position >= wanted.until);
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
                let sign = if wanted.form == Form::Sse { ": nothing new\n\n" } else { "\n" };
                self.send(Bytes::from_static(sign.as_bytes())).await?;
            }
        }
    }

    /// What comes next, for whoever the token belongs to now. A tenant that moves to another cell is followed there, where that has a
    /// replica on this node; [`Code::NotLeader`] where it has none.
    async fn next(&self, ctx: &mut RequestContext, wanted: &Wanted, wait: Duration) -> Result<Vec<Event>> {
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

    async fn read(&self, ctx: &mut RequestContext, wanted: &Wanted, wait: Duration) -> Result<Vec<Event>> {
        let size = page(wanted, &ctx.principal);
        let next = self.service.events(ctx, wanted.after, size, wait).await?;
        ctx.principal = self.service.authenticate(&ctx.placement, &self.secret, &ctx.timing).await?;
        Ok(next.body)
    }

    /// Sends those events that the principal may see, and says whether there were any.
    async fn write(&self, wanted: &mut Wanted, ctx: &RequestContext, events: Vec<Event>) -> Result<bool, Ended> {
        let mut any = false;
        for event in events {
            wanted.after = wanted.after.max(event.position);
            if !is_visible(&ctx.principal, &event) {
                continue;
            }
            any = true;
            self.send(render(wanted.form, &event)).await?;
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
            Form::Ndjson => self.sender.send(Err(error)).await.map_err(|_| Ended),
            Form::Sse => {
                let mut text = b"event: problem\ndata: ".to_vec();
                text.extend_from_slice(&Problem::of(&error).to_json());
                text.extend_from_slice(b"\n\n");
                self.send(text.into()).await
            }
        }
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

fn render(form: Form, event: &Event) -> Bytes {
    use std::io::Write;
    let mut line = Vec::with_capacity(384);
    if form == Form::Sse {
        // Writing into a vector cannot fail. A kind is made of letters and dots: it needs no escaping.
        let _ = write!(line, "id: {}\nevent: {}\ndata: ", event.position, event.kind);
    }
    if serde_json::to_writer(&mut line, event).is_err() {
        tracing::error!(position = event.position, "write an event as JSON");
    }
    line.extend_from_slice(if form == Form::Sse { b"\n\n" } else { b"\n" });
    line.into()
}
