//! The server: connections, their limits, and their end.
//!
//! It has its own accept loop over hyper, because the limits of a connection are decided here and nowhere else: how long a
//! head may take, how large it may be, how many connections there are. A timer is installed, without which hyper's own
//! limits are silently inert. Two kinds of connection arrive:
//!
//! - [`Server::serve`]: clients, over TCP. Their requests may be for any node; [`crate::service::Service::locate`] says which.
//! - [`Server::serve_forwarded`]: other nodes, over a stream that is already authenticated. Their requests were sent here on
//!   purpose and are never sent on: one that is not for this node is answered with `not_leader`.
//!
//! Draining ([`Server::drain`]) has an order: `/readyz` turns to 503 while everything is still served, with replies that close
//! their connection so that busy clients go elsewhere before anything is refused; then no connection is accepted, those of
//! clients that are idle close, and what is left at the deadline is cut. Connections of other nodes are served as usual until all clients have gone or the deadline has come, and
//! only then close as those of clients do: a node that has not heard yet that this one leaves gets a `not_leader`, with which it
//! can try elsewhere, and not a broken connection, after which nobody knows what became of a write.
//!
//! Over TLS ([`Server::serve_tls`]) a client says in the handshake whether it speaks HTTP/2; without TLS the first bytes say so. Either
//! way the same limits hold (`http2`).

mod client;
mod connection;
mod http2;
mod phase;
mod progress;
mod refusal;
mod sniff;
mod streams;
mod tls;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::front::Front;
use crate::limits;
use crate::service::{BoxStream, Service};

pub(crate) use self::client::{ClientConnection, KNOWN};
pub(crate) use self::phase::{Phase, Phases};
pub use self::tls::{CertificateError, Certificates};

/// The times of live connections.
#[derive(Clone, Debug)]
pub struct LiveTimes {
    /// How often the client is asked for a sign of life, and its token is looked at.
    pub look: Duration,
    /// How long the client may be silent.
    pub silence: Duration,
    /// How long a write may wait before the client is told to resume.
    pub slow: Duration,
}

/// The server's limits and flags. The defaults are those of [`crate::limits`]; tests shorten the times.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Whether every origin may use the API from a browser: for `dev`.
    pub open_cors: bool,
    /// Most open connections, and most requests at a time over HTTP/2.
    pub connections: usize,
    /// Longest time for a TLS handshake.
    pub handshake: Duration,
    /// Longest time for a request's head to arrive, and longest time for which a client's connection may be idle.
    pub head: Duration,
    /// Longest time for a JSON body to arrive.
    pub body: Duration,
    /// Largest JSON body, in bytes.
    pub body_bytes: usize,
    /// Most bytes of request bodies that are kept before their senders have passed a gate.
    pub kept_bodies_bytes: usize,
    /// Longest pause inside a streamed body, and longest time for which a client takes nothing of what it is sent.
    pub stream_idle: Duration,
    /// How long a follower of events hears nothing before it gets a sign of life.
    pub sign_of_life: Duration,
    /// The times of live connections.
    pub live: LiveTimes,
    /// Longest time that a request without a stream may take.
    pub request: Duration,
    /// How long a request waits for a leader.
    pub leader_wait: Duration,
    /// How long a draining node still serves everything, so that whoever balances load can see that it is not ready.
    pub drain_notice: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            open_cors: false,
            connections: limits::CONNECTIONS,
            handshake: Duration::from_secs(limits::HANDSHAKE_SECONDS),
            head: Duration::from_secs(limits::HEAD_SECONDS),
            body: Duration::from_secs(limits::BODY_SECONDS),
            body_bytes: limits::BODY_BYTES,
            kept_bodies_bytes: limits::KEPT_BODIES_BYTES,
            stream_idle: Duration::from_secs(limits::STREAM_IDLE_SECONDS),
            sign_of_life: Duration::from_secs(limits::SIGN_OF_LIFE_SECONDS),
            live: LiveTimes {
                look: Duration::from_secs(limits::LIVE_LOOK_SECONDS),
                silence: Duration::from_secs(limits::LIVE_SILENCE_SECONDS),
                slow: Duration::from_secs(limits::LIVE_SLOW_SECONDS),
            },
            request: Duration::from_secs(limits::REQUEST_SECONDS),
            leader_wait: Duration::from_millis(limits::LEADER_WAIT_MILLIS),
            drain_notice: Duration::ZERO,
        }
    }
}

/// The HTTP front of a node. Cheap to clone; clones are the same server.
#[derive(Clone)]
pub struct Server {
    front: Arc<Front>,
    clients: TaskTracker,
    nodes: TaskTracker,
}

impl Server {
    /// A server in front of a service.
    pub fn new(service: Arc<dyn Service>, config: ServerConfig) -> Self {
        Self {
            front: Arc::new(Front::new(service, config)),
            clients: TaskTracker::new(),
            nodes: TaskTracker::new(),
        }
    }

    /// Accepts connections until the server drains. May be called for several listeners.
    ///
    /// An error of one connection is that connection's; a lack of descriptors makes it pause, not end.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        connection::accept(&self.front, &self.clients, listener, None).await
    }

    /// The same over TLS.
    pub async fn serve_tls(&self, listener: TcpListener, certificates: Arc<Certificates>) -> io::Result<()> {
        // Another listener with other certificates is served as well; the metrics show the first.
        let _ = self.front.certificates.set(Arc::clone(&certificates));
        connection::accept(&self.front, &self.clients, listener, Some(certificates)).await
    }

    /// Serves one connection of another node, until it closes or the server has drained.
    pub async fn serve_forwarded(&self, stream: BoxStream) {
        self.nodes
            .track_future(connection::serve_node(Arc::clone(&self.front), stream))
            .await;
    }

    /// Whether [`Server::drain`] has been called.
    pub fn is_draining(&self) -> bool {
        self.front.phases.now() != Phase::Serving
    }

    /// Turns readiness off, waits for [`ServerConfig::drain_notice`], stops accepting, finishes what is in flight, and cuts
    /// what is not finished `deadline` after that. Returns how many connections were cut.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.front.phases.advance(Phase::Notice);
        tokio::time::sleep(self.front.config.drain_notice).await;
        self.front.phases.advance(Phase::Draining);
        self.clients.close();
        self.front.sockets.close();
        self.nodes.close();
        let until = tokio::time::Instant::now() + deadline;
        let clients = async {
            self.clients.wait().await;
            self.front.sockets.wait().await;
        };
        let gone = tokio::time::timeout_at(until, clients).await.is_ok();
        self.front.phases.advance(Phase::Leaving);
        if gone && tokio::time::timeout_at(until, self.nodes.wait()).await.is_ok() {
            return 0;
        }
        self.front.phases.advance(Phase::Cut);
        self.clients.wait().await;
        self.nodes.wait().await;
        self.front.cut.load(Ordering::Relaxed)
    }
}
