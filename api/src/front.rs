//! The way of a request through the front: route → ingress → gate → handler → reply.
//!
//! One future does all of it. It borrows what the request brought; nothing is spawned except for streams, whose producers
//! live beside their reply.

mod asked;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::header::{ALLOW, CONNECTION};
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode, Version};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::error::{Code, Error, Result};
use crate::forward::Pool;
use crate::forward::mux::Links;
use crate::live::presence::Presences;
use crate::live::rooms::Rooms;
use crate::metrics::Metrics;
use crate::query::Query;
use crate::read::RequestBody;
use crate::reply::{self, Reply};
use crate::routes::table::{self, Found, Missing, Plane};
use crate::routes::{control, files, probes};
use crate::server::{Certificates, ClientConnection, KNOWN, Phase, Phases, ServerConfig};
use crate::service::{Service, Timing};
use crate::trace::Trace;
use crate::{compress, cors, gate, headers, ingress, limits};

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client: its request may be for any node.
    Client,
    /// Another node: its request is for this node, or is answered with `not_leader`.
    Node,
}

/// Everything that requests share.
pub(crate) struct Front {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) config: ServerConfig,
    pub(crate) metrics: Metrics,
    pub(crate) phases: Phases,
    pub(crate) pool: Arc<Pool>,
    /// Streams to other nodes that many requests share.
    pub(crate) links: Links,
    /// What it proves itself with to clients, where it speaks TLS.
    pub(crate) certificates: OnceLock<Arc<Certificates>>,
    /// Live connections, of clients and of other nodes.
    pub(crate) sockets: TaskTracker,
    /// Who is where.
    pub(crate) presences: Arc<Presences>,
    /// Who has which document open.
    pub(crate) rooms: Arc<Rooms>,
    /// Connections that were cut at work.
    pub(crate) cut: AtomicUsize,
    pub(crate) waiters: Semaphore,
    /// Room for bodies that are kept before a gate, in bytes.
    pub(crate) kept_bodies: Semaphore,
}

/// One request, on its way.
pub(crate) struct Asked<'a> {
    pub(crate) front: &'a Front,
    pub(crate) origin: Origin,
    /// The connection that it came over, where that is a client's.
    pub(crate) client: Option<&'a Arc<ClientConnection>>,
    /// A gate has let it through, here or where it was sent.
    pub(crate) is_known: &'a AtomicBool,
    pub(crate) head: &'a Parts,
    pub(crate) found: Found<'a>,
    pub(crate) trace: &'a Trace,
    pub(crate) timing: &'a Arc<Timing>,
    pub(crate) query: Query,
    pub(crate) body: RequestBody,
    /// The room that the body takes, if it was read before the gate.
    room: Option<SemaphorePermit<'a>>,
    /// The body came compressed, and is not any more.
    pub(crate) inflated: bool,
    pub(crate) started: Instant,
    /// When it has taken too long; the time that its body took is added.
    deadline: Instant,
}

impl Front {
    pub(crate) fn new(service: Arc<dyn Service>, config: ServerConfig) -> Self {
        Self {
            kept_bodies: Semaphore::new(config.kept_bodies_bytes.min(Semaphore::MAX_PERMITS)),
            service,
            config,
            metrics: Metrics::new(),
            phases: Phases::new(),
            pool: Arc::default(),
            links: Links::default(),
            certificates: OnceLock::new(),
            sockets: TaskTracker::new(),
            presences: Arc::default(),
            rooms: Arc::default(),
            cut: AtomicUsize::new(0),
            waiters: Semaphore::new(limits::LEADER_WAITERS),
        }
    }

    /// Answers a request.
    pub(crate) async fn answer(
        &self,
        origin: Origin,
        client: Option<&Arc<ClientConnection>>,
        request: Request<RequestBody>,
    ) -> Reply {
        let started = Instant::now();
        let _in_flight = self.metrics.begin();
        let (head, body) = request.into_parts();
        let trace = Trace::of(&head.headers);
        let (timing, is_known) = (Arc::new(Timing::default()), AtomicBool::new(false));
        let found = table::find(&head.method, head.uri.path());
        let endpoint = found.as_ref().ok().map(|found| found.route.endpoint);
        let span = tracing::debug_span!(
            "request",
            id = trace.request_id(),
            trace = trace.trace_id(),
            method = head.method.as_str(),
            path = head.uri.path()
        );
        let result = match self.bounds(&head).map(|()| found) {
            Err(error) => Err(error),
            Ok(Ok(found)) => {
                let deadline = started + self.config.request;
                let query = Query::default();
                let (head, trace, timing) = (&head, &trace, &timing);
                let asked = Asked {
                    front: self,
                    origin,
                    client,
                    is_known: &is_known,
                    head,
                    found,
                    trace,
                    timing,
                    query,
                    body,
                    room: None,
                    inflated: false,
                    started,
                    deadline,
                };
                self.route(asked).instrument(span).await
            }
            Ok(Err(missing)) => cors::preflight(self, &head)
                .or_else(|| files::tus::options(&head.method, head.uri.path()).map(Ok))
                .unwrap_or_else(|| Err(self.missing(&head, missing))),
        };
        let mut reply = match result {
            Ok(reply) => reply,
            Err(error) => self.failed(&head, &trace, &error),
        };
        let took = started.elapsed();
        self.metrics.finish(endpoint, reply.status().as_u16(), took, &timing);
        headers::mark(reply.headers_mut(), trace, &timing, took);
        if origin == Origin::Node && is_known.into_inner() {
            reply.headers_mut().insert(KNOWN, HeaderValue::from_static("1"));
        }
        if origin == Origin::Client {
            cors::mark(self, &head, reply.headers_mut());
            reply = compress::fit(&head.method, &head.headers, endpoint, reply);
        }
        let is_turned_over = reply.status() == StatusCode::SWITCHING_PROTOCOLS;
        let leaves = self.phases.now() >= Phase::Notice || client.is_some_and(|client| client.leaves());
        if origin == Origin::Client && leaves && !is_turned_over {
            // The next request would find the connection closed while it is on its way: let the client go while all is well.
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }

    /// What a connection sees to over HTTP/1, and a stream does not: how many headers there are, and how many requests at a time.
    fn bounds(&self, head: &Parts) -> Result<()> {
        if head.version != Version::HTTP_2 {
            return Ok(());
        }
        if head.headers.len() > limits::HEADERS {
            let detail = format!("the request has more than {} headers", limits::HEADERS);
            return Err(Error::new(Code::HeadersTooLarge, detail));
        }
        if self.metrics.streams.load(Ordering::Relaxed) > self.config.connections {
            let full = Error::new(Code::Unavailable, "this node has too many requests at a time");
            return Err(full.retry_after(Duration::from_secs(1)));
        }
        Ok(())
    }

    async fn route(&self, mut asked: Asked<'_>) -> Result<Reply> {
        let result = match asked.found.route.plane {
            Plane::Open => probes::answer(&mut asked),
            Plane::Control => match gate::operator(&asked).await {
                Ok(operator) => control::answer(&mut asked, &operator).await,
                Err(refused) => Err(refused),
            },
            Plane::ControlLeader => ingress::control(&mut asked).await,
            Plane::Tenant(reach, role) => ingress::tenant(&mut asked, reach, role).await,
        };
        // What is for another region is not even read.
        if result.as_ref().is_err_and(|error| error.code != Code::WrongRegion) && asked.found.route.streams {
            asked.body.hear_out();
        }
        result
    }

    fn missing(&self, head: &Parts, missing: Missing) -> Error {
        match missing {
            Missing::Path => Error::new(Code::NotFound, "there is nothing at this path; GET / has links"),
            Missing::Method(methods) => Error::new(
                Code::MethodNotAllowed,
                format!("this path takes {methods}, not {}", head.method),
            ),
        }
    }

    fn failed(&self, head: &Parts, trace: &Trace, error: &Error) -> Reply {
        if error.code == Code::Internal {
            tracing::error!(request = trace.request_id(), detail = error.detail, "a request met a defect");
        }
        let mut reply = reply::problem(error);
        if error.code == Code::MethodNotAllowed
            && let Err(Missing::Method(methods)) = table::find(&head.method, head.uri.path())
            && let Ok(methods) = HeaderValue::from_str(&methods)
        {
            reply.headers_mut().insert(ALLOW, methods);
        }
        reply
    }
}
