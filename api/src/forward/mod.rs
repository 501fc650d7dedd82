//! Forwarding: a request goes to another node as it came, and the reply comes back as it was made.
//!
//! What is left out are headers that belong to a connection, and `cloudnest-…` headers that a client made up. A body that is
//! not a stream has been read before, so that the request can be sent again; a stream passes through piece by piece, and so do
//! replies, unless they are small enough to be sent on in one write with their head. Requests without a stream whose body is small share one stream to their
//! node (`mux`); all others take a connection each. A WebSocket is turned over on both sides (`splice`).

mod body;
mod head;
pub(crate) mod mux;
mod pool;
mod splice;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;

use self::head::request;
pub(crate) use self::head::strip;
use self::mux::Answer;
pub(crate) use self::pool::Pool;
use crate::error::Result;
use crate::front::Asked;
use crate::ids::NodeNumber;
use crate::read::RequestBody;
use crate::reply::{DOUBT, LEADER, Reply, ReplyBody};
use crate::routes::events::wanted::follows;
use crate::routes::table::Endpoint;
use crate::server::{KNOWN, Phase};

/// Largest reply that is read before it is sent on, in bytes.
const WHOLE_BYTES: u64 = 64 * 1024;

/// How an attempt to have a request served by another node ended.
pub(crate) enum Attempt {
    /// With its reply.
    Answered(Box<Reply>),
    /// The node is not the one.
    NotLeader {
        /// The one that it should be, where the node knows.
        leader: Option<NodeNumber>,
        /// The node was the one when it began: the request may have had an effect. It is one that may be repeated.
        unknown: bool,
    },
    /// Nothing was sent; it had no effect.
    Unsent,
    /// The connection broke after something was sent.
    Broken,
}

/// Sends a request to a node. A body that is not kept is gone afterwards, unless nothing was sent.
pub(crate) async fn send(asked: &mut Asked<'_>, node: NodeNumber) -> Result<Attempt> {
    if let Some(attempt) = send_together(asked, node).await? {
        return Ok(attempt);
    }
    let mut body = match &asked.body {
        RequestBody::Kept(bytes) => RequestBody::Kept(bytes.clone()),
        _ => asked.body.stream(),
    };
    let exchange = async {
        loop {
            let Some((mut sender, reused)) = asked.front.pool.take(node, asked.front.service.as_ref()).await else {
                return (Attempt::Unsent, Some(body));
            };
            match sender.try_send_request(request(asked, body)).await {
                Ok(response) => return (received(asked, node, sender, response).await, None),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => {
                        body = unsent.into_body();
                        if !reused {
                            return (Attempt::Unsent, Some(body));
                        }
                    }
                    None => {
                        tracing::debug!(error = %error.error(), "forward a request to node {node}");
                        return (Attempt::Broken, None);
                    }
                },
            }
        }
    };
    let (attempt, unsent) = asked.limited(asked.is_write(), async { Ok(exchange.await) }).await?;
    if let Some(body) = unsent {
        asked.body = body;
    }
    Ok(attempt)
}

/// Sends a request over the stream that all share; none: it goes another way.
async fn send_together(asked: &Asked<'_>, node: NodeNumber) -> Result<Option<Attempt>> {
    let RequestBody::Kept(bytes) = &asked.body else {
        return Ok(None);
    };
    if asked.found.route.streams || bytes.len() > mux::BODY_BYTES {
        return Ok(None);
    }
    let head = request(asked, ());
    let sending = asked.front.links.send(node, asked.front.service.as_ref(), &head, bytes);
    let answer = asked.limited(asked.is_write(), async { Ok(sending.await) }).await?;
    Ok(match answer {
        Answer::Replied(mut head, body) => {
            let (leader, unknown) = leader_of(asked, &mut head.headers);
            strip(&mut head.headers);
            Some(judged(asked, *head, body, leader, unknown))
        }
        Answer::Unsent => Some(Attempt::Unsent),
        Answer::Broken => Some(Attempt::Broken),
        Answer::Otherwise => None,
    })
}

/// Who leads, where the other node does not serve the request, and whether that may have had an effect all the same.
fn leader_of(asked: &Asked<'_>, headers: &mut HeaderMap) -> (Option<HeaderValue>, bool) {
    if headers.remove(KNOWN).is_some() {
        asked.is_known.store(true, Ordering::Relaxed);
    }
    (headers.remove(LEADER), headers.remove(DOUBT).is_some())
}

async fn received(
    asked: &Asked<'_>,
    node: NodeNumber,
    sender: SendRequest<RequestBody>,
    mut response: Response<Incoming>,
) -> Attempt {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        leader_of(asked, response.headers_mut());
        return splice::join(asked, response);
    }
    let (mut head, incoming) = response.into_parts();
    let (leader, unknown) = leader_of(asked, &mut head.headers);
    strip(&mut head.headers);
    let size = incoming.size_hint();
    let mut body = ForwardedBody {
        incoming,
        node,
        sender: Some(sender),
        pool: Arc::clone(&asked.front.pool),
        drained: None,
        at_line_end: true,
    };
    // A list that ends by itself is finished, as any other reply: an early end would be taken for the end of what there is.
    if asked.found.route.endpoint == Endpoint::Events && follows(asked.head) {
        body.drained = Some(Box::pin(asked.front.phases.reached(Phase::Draining)));
    }
    if leader.is_none() && size.exact().is_none_or(|size| size > WHOLE_BYTES) {
        return Attempt::Answered(Box::new(Response::from_parts(head, ReplyBody::Forwarded(Box::new(body)))));
    }
    let mut whole = Bytes::new();
    if size.exact() != Some(0) && asked.head.method != http::Method::HEAD {
        match (&mut body).collect().await {
            Ok(collected) => whole = collected.to_bytes(),
            Err(_) => return Attempt::Broken,
        }
    }
    body.release();
    judged(asked, head, whole, leader, unknown)
}

/// What a reply that has come whole means.
fn judged(asked: &Asked<'_>, head: response::Parts, whole: Bytes, leader: Option<HeaderValue>, unknown: bool) -> Attempt {
    match leader {
        Some(leader) => {
            let leader = leader.to_str().ok().and_then(|text| text.parse().ok()).map(NodeNumber);
            Attempt::NotLeader { leader, unknown }
        }
        None if asked.head.method == http::Method::HEAD => {
            // The length that GET would have stays; hyper sends no body anyway.
            Attempt::Answered(Box::new(Response::from_parts(head, ReplyBody::Empty)))
        }
        None => Attempt::Answered(Box::new(Response::from_parts(head, ReplyBody::Full(whole)))),
    }
}

/// The body of another node's reply, on its way to the client. Its connection is used again once it has ended.
pub(crate) struct ForwardedBody {
    incoming: Incoming,
    node: NodeNumber,
    sender: Option<SendRequest<RequestBody>>,
    pool: Arc<Pool>,
    /// For streams that would not end by themselves: resolves when this node lets them go.
    drained: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whether what was sent so far ends with a line break: only there may the stream end early.
    at_line_end: bool,
}

impl ForwardedBody {
    fn release(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.pool.give_back(self.node, sender);
        }
    }
}

impl Body for ForwardedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.incoming).poll_frame(cx);
        if let Some(drained) = &mut this.drained {
            match &polled {
                Poll::Ready(Some(Ok(frame))) => {
                    let last = frame.data_ref().and_then(|data| data.last());
                    this.at_line_end = last.is_none_or(|last| *last == b'\n');
                }
                Poll::Pending if this.at_line_end && drained.as_mut().poll(cx).is_ready() => {
                    // Ended, not broken: the client comes back elsewhere, with its position.
                    this.drained = None;
                    this.sender = None;
                    return Poll::Ready(None);
                }
                _ => {}
            }
        }
        if matches!(polled, Poll::Ready(None)) || this.incoming.is_end_stream() {
            this.release();
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
