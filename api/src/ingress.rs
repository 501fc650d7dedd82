//! Ingress: finds the place of a request and brings it there.
//!
//! Routing comes before authentication, because tenants' names and regions are public: a request for another region is sent
//! away before its body is read. A request that is for another node of the region goes there as it came. While no leader is
//! known the request waits, in a bounded crowd and for a bounded time; what is known not to have been applied is tried again at
//! the new place. That goes for a node that has fallen silent too: what may be repeated is, as soon as another node is named; what
//! may not waits for its reply as long as a request may take. A request of another node is never sent on, so that two nodes with different views cannot play ball with it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http_body::Body;

mod waiting;

use self::waiting::{PAUSE_MAX, Waiting};
use crate::body::token::Role;
use crate::error::{Code, Error, Outcome, Result};
use crate::forward::{self, Attempt};
use crate::front::{Asked, Front, Origin};
use crate::gate;
use crate::headers;
use crate::ids::{NodeNumber, Slug};
use crate::reply::Reply;
use crate::routes::{self, control};
use crate::service::{Location, Placement, Reach, Stage};

/// How long a forwarded request is under way before ingress looks whether its place has changed: most are answered by then.
const PATIENCE: Duration = Duration::from_millis(100);

/// Serves a request about a tenant, here or elsewhere, over a connection that the tenant may have.
pub(crate) async fn tenant(asked: &mut Asked<'_>, reach: Reach, role: Role) -> Result<Reply> {
    let slug: Slug = asked
        .found
        .tenant
        .parse()
        .map_err(|_| gate::unknown_tenant(asked.found.tenant))?;
    let Some(client) = asked.client.filter(|client| !client.is_counted(&slug)) else {
        return served(asked, &slug, reach, role).await;
    };
    // Whoever can end it is served beyond the limit too.
    let is_spared = gate::is_operators(&asked.head.headers) || routes::is_remedy(asked);
    let may = asked.front.service.may_connect(&slug);
    if let Err(full) = may
        && !is_spared
        && !client.is_counted(&slug)
    {
        client.leave();
        return Err(full);
    }
    let result = served(asked, &slug, reach, role).await;
    if asked.is_known.load(Ordering::Relaxed) {
        let counted = client.count(&slug, || asked.front.service.connected(&slug));
        if let Err(full) = counted
            && !is_spared
        {
            // Others came at the same moment. What was written is answered all the same.
            client.leave();
            if !asked.is_write() {
                return Err(full);
            }
        }
    }
    result
}

async fn served(asked: &mut Asked<'_>, slug: &Slug, reach: Reach, role: Role) -> Result<Reply> {
    let mut waiting = Waiting::new(asked.front);
    let mut refreshed = false;
    let result = loop {
        let mut place = asked.front.service.locate(slug, reach);
        if matches!(place, Location::Nowhere) && !refreshed {
            // A tenant that another node has just created: this node's copy of the directory may lag behind.
            refreshed = true;
            let asking = tokio::time::timeout(asked.front.config.leader_wait, asked.front.service.refresh());
            let fresh = asking.await.unwrap_or(false);
            place = asked.front.service.locate(slug, reach);
            // A node that lost its data, or was never told, knows of no tenant at all: that is not for it to say.
            if matches!(place, Location::Nowhere) && !fresh {
                break Err(unavailable(
                    "the directory cannot be asked now whether there is such a tenant",
                ));
            }
        }
        let attempt = match place {
            Location::Here(placement) => {
                asked.clock(Stage::Ingress, asked.started);
                let result = tenant_here(asked, placement, reach, role).await;
                settle(asked, Some(slug), result, &mut waiting).await
            }
            place => elsewhere(asked, Some(slug), place, &mut waiting).await,
        };
        if let Some(result) = attempt.transpose() {
            break result;
        }
    };
    waiting.judge(result)
}

/// Serves a control request that writes, here or elsewhere.
pub(crate) async fn control(asked: &mut Asked<'_>) -> Result<Reply> {
    let mut waiting = Waiting::new(asked.front);
    let result = loop {
        let attempt = match asked.front.service.locate_control() {
            Location::Here(_) => {
                asked.clock(Stage::Ingress, asked.started);
                let result = control_here(asked).await;
                settle(asked, None, result, &mut waiting).await
            }
            place => elsewhere(asked, None, place, &mut waiting).await,
        };
        if let Some(result) = attempt.transpose() {
            break result;
        }
    };
    waiting.judge(result)
}

async fn tenant_here(asked: &mut Asked<'_>, placement: Placement, reach: Reach, role: Role) -> Result<Reply> {
    if routes::is_minting(asked) {
        let operator = gate::operator(asked).await?;
        asked.receive().await?;
        return routes::tokens::mint(asked, &operator, &placement).await;
    }
    if routes::archive::is_operators(asked) {
        gate::operator(asked).await?;
        asked.receive().await?;
        return routes::archive::for_operator(asked, &placement).await;
    }
    let ctx = gate::tenant(asked, placement, reach, role).await?;
    asked.receive().await?;
    let turn = Instant::now();
    let service = &asked.front.service;
    let mut admitted = asked.limited(false, service.admit(&ctx, routes::usage::kind(asked))).await?;
    asked.clock(Stage::Queue, turn);
    let mut reply = routes::answer(asked, &ctx).await?;
    admitted.answered(reply.body().size_hint().exact().unwrap_or(0));
    if let Some(budget) = admitted.budget() {
        headers::budget(reply.headers_mut(), &budget);
    }
    Ok(reply)
}

async fn control_here(asked: &mut Asked<'_>) -> Result<Reply> {
    let operator = gate::operator(asked).await?;
    asked.receive().await?;
    control::answer(asked, &operator).await
}

/// What a result of this node means for a client: none, if the request is to be tried again.
async fn settle(
    asked: &Asked<'_>,
    slug: Option<&Slug>,
    result: Result<Reply>,
    waiting: &mut Waiting<'_>,
) -> Result<Option<Reply>> {
    let error = match result {
        Ok(reply) => return Ok(Some(reply)),
        Err(error) if error.code != Code::NotLeader => return Err(error),
        Err(error) => error,
    };
    let unknown = error.outcome == Outcome::Unknown && asked.is_write();
    if unknown && !is_repeatable(asked) {
        return Err(unavailable("the leader changed while the request was under way").unknown());
    }
    if asked.origin == Origin::Node {
        return Err(error);
    }
    asked.front.service.leader_hint(slug, error.leader);
    waiting.doubt |= unknown;
    again(asked, waiting).await
}

/// Waits, and lets the request be tried again if it still can be.
async fn again(asked: &Asked<'_>, waiting: &mut Waiting<'_>) -> Result<Option<Reply>> {
    if !asked.body.is_here() {
        return Err(unavailable("the leader changed; send the request again"));
    }
    waiting.pause().await?;
    waiting.look_again().await;
    Ok(None)
}

/// Brings a request to a place that is not here; none, if it is to be tried again.
async fn elsewhere(
    asked: &mut Asked<'_>,
    slug: Option<&Slug>,
    place: Location,
    waiting: &mut Waiting<'_>,
) -> Result<Option<Reply>> {
    if asked.origin == Origin::Node {
        // Whatever this node thinks, the one that sent the request looks again.
        let leader = if let Location::Node(node) = place { Some(node) } else { None };
        return Err(Error {
            leader,
            ..Error::new(Code::NotLeader, "this node does not serve the request")
        });
    }
    let node = match place {
        Location::Node(node) => node,
        Location::Region(place) => {
            let detail = format!("the tenant lives in {}; its API is at {}", place.region, place.endpoint);
            return Err(Error {
                elsewhere: Some(place),
                ..Error::new(Code::WrongRegion, detail)
            });
        }
        Location::Nowhere => {
            return Err(match slug {
                Some(slug) => gate::unknown_tenant(slug.as_str()),
                None => unavailable("the directory is not served in this region"),
            });
        }
        Location::NoLeader | Location::Here(_) => {
            waiting.pause().await?;
            return Ok(None);
        }
    };
    send_to(asked, slug, node, waiting).await
}

async fn send_to(
    asked: &mut Asked<'_>,
    slug: Option<&Slug>,
    node: NodeNumber,
    waiting: &mut Waiting<'_>,
) -> Result<Option<Reply>> {
    asked.receive_before_gate().await?;
    asked.front.metrics.forwarded();
    let front = asked.front;
    let reach = if asked.is_write() { Reach::Leader } else { Reach::Replica };
    let repeatable = is_repeatable(asked) && asked.body.is_kept();
    let attempt = tokio::select! {
        biased;
        attempt = forward::send(asked, node) => attempt?,
        () = moved(front, slug, reach, node), if repeatable => {
            // As good as broken, but what the directory knows by now is newer than the hint that led here.
            waiting.doubt |= asked.is_write();
            front.metrics.forwarded_again();
            return Ok(None);
        }
    };
    asked.clock(Stage::Ingress, asked.started);
    if matches!(attempt, Attempt::Unsent | Attempt::Broken) {
        // A hint that leads to a node that is gone would lead the next attempt there too.
        asked.front.service.leader_hint(slug, None);
    }
    match attempt {
        Attempt::Answered(reply) => return Ok(Some(*reply)),
        Attempt::NotLeader { leader, unknown } => {
            asked.front.service.leader_hint(slug, leader);
            waiting.doubt |= unknown && asked.is_write();
        }
        Attempt::Unsent => {}
        Attempt::Broken if is_repeatable(asked) => waiting.doubt |= asked.is_write(),
        Attempt::Broken => {
            return Err(unavailable("the connection to the tenant's node broke after the request was sent").unknown());
        }
    }
    asked.front.metrics.forwarded_again();
    again(asked, waiting).await
}

/// Resolves when a request that is under way at a node is, by now, for another.
async fn moved(front: &Front, slug: Option<&Slug>, reach: Reach, node: NodeNumber) {
    tokio::time::sleep(PATIENCE).await;
    loop {
        let place = match slug {
            Some(slug) => front.service.locate(slug, reach),
            None => front.service.locate_control(),
        };
        match place {
            Location::Here(_) => return,
            Location::Node(other) if other != node => return,
            _ => {}
        }
        // The change may have come between the look and the wait.
        let _ = tokio::time::timeout(PAUSE_MAX, front.service.leader_change()).await;
    }
}

/// Whether a second attempt of a request cannot have a second effect.
fn is_repeatable(asked: &Asked<'_>) -> bool {
    !asked.is_write() || (asked.found.route.keyed && asked.head.headers.contains_key("idempotency-key"))
}

fn unavailable(detail: &str) -> Error {
    Error::new(Code::Unavailable, detail).retry_after(Duration::from_secs(1))
}
