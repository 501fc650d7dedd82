//! The typed client: how a program in Rust speaks to a server. The command line, the rig and the benchmark use it too.
//!
//! ```no_run
//! use api::client::Client;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Task {
//!     title: String,
//!     #[serde(skip_serializing_if = "Option::is_none")]
//!     status: Option<String>,
//! }
//!
//! # async fn work(token: &str) -> Result<(), api::client::ClientError> {
//! let client = Client::new("http://127.0.0.1:7400", token)?.with_retries(5);
//! let tasks = client.tenant("acme").records("tasks").of::<Task>();
//!
//! let made = tasks.create(&Task { title: "Order the cake".into(), status: None }).send().await?;
//! tasks.patch(made.id, &serde_json::json!({ "status": "todo" })).if_version(made.version).send().await?;
//!
//! let mut todo = tasks.list().filter("status == \"todo\"").order("-created_at").stream();
//! while let Some(task) = todo.next().await? {
//!     println!("{} {}", task.id, task.fields.title);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `api/examples/tour.rs` shows the rest: batches, events, imports, what a refusal looks like. A test runs it against a server.
//!
//! Two layers. [`Client::tenant`] begins the builders of `typed/`: structs in and out, streams over pages and events. Under them is
//! one method a route, such as [`Client::record_create`]: it returns an [`Answer`] with its headers. Base URLs, token, timeout and
//! retries are set once; clones share the connections.
//!
//! # When a call is made again
//!
//! With [`Client::with_retries`] a call is made again when it is known to have had no effect and the cause may pass, and, where a
//! second effect is impossible, also when its effect is unknown. That is so for reads and for calls with an idempotency key, and a
//! POST or PATCH that has none gets one here, the same for all its attempts. PUT and DELETE have no such key: another client may
//! have written in between, so one whose effect is unknown is an error with that outcome. A [`ClientError`] says of the whole call
//! whether it may have had an effect. The server's `Retry-After` is obeyed.
//!
//! # Regions
//!
//! Where a server answers that a tenant is served in another region (421), the call goes there, and so do all further ones about
//! that tenant, until that place cannot be reached or sends them on in its turn.
//!
//! CAVEATS: HTTP/1.1 only. `https://` needs [`Client::with_authorities`] or [`Client::with_certificate`]. The reply of a retried call that makes a secret (a tenant, a token) may have none: the
//! server shows it once, and the attempt that got it may be the one whose answer was lost.

mod call;
mod control;
mod error;
mod files;
mod lines;
mod live;
mod operations;
mod payload;
mod pool;
mod regions;
mod retry;
mod search;
mod stream;
mod tenant;
mod tls;
mod typed;
mod upload;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
pub use http::{HeaderMap, Method, StatusCode};
use http::{HeaderValue, Request};
use serde::de::DeserializeOwned;

pub use self::call::{Answer, Call};
pub use self::error::ClientError;
pub use self::files::ContentStream;
pub use self::lines::Lines;
pub use self::live::{DocumentConnection, LiveConnection, LiveFeed};
use self::payload::Payload;
use self::pool::{Exchange, Place};
use self::regions::Regions;
pub use self::stream::{EventStream, EventsFrom, ExportStream, ImportOptions};
use self::tls::Trust;
pub use self::typed::*;
pub use self::upload::{ArchiveStream, FromArchive};

/// How calls choose among several base URLs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The first that works; the next one after a failure.
    #[default]
    Failover,
    /// Each call takes the next one.
    Spread,
}

/// A client of one server or of several nodes that serve the same tenants. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    places: Arc<[Arc<Place>]>,
    next: Arc<AtomicUsize>,
    balance: Balance,
    /// Tenants that other regions serve.
    regions: Arc<Regions>,
    token: Option<HeaderValue>,
    trust: Option<Trust>,
    timeout: Duration,
    deadline: Option<Duration>,
    retries: u32,
}

impl Client {
    /// A client of a base URL such as `http://127.0.0.1:7400`. An empty token sends none.
    pub fn new(base_url: &str, token: &str) -> Result<Self, ClientError> {
        let client = Self {
            places: Arc::from(vec![Arc::new(Place::parse(base_url, None)?)]),
            next: Arc::default(),
            balance: Balance::Failover,
            regions: Arc::default(),
            token: None,
            trust: None,
            timeout: Duration::from_secs(15),
            deadline: None,
            retries: 0,
        };
        client.with_token(token)
    }

    /// The same with several base URLs in place of the one.
    pub fn with_base_urls<S: AsRef<str>>(mut self, urls: &[S], balance: Balance) -> Result<Self, ClientError> {
        if urls.is_empty() {
            return Err(ClientError::unsent("a client needs at least one base URL"));
        }
        let places: Result<Vec<_>, _> = urls
            .iter()
            .map(|url| Place::parse(url.as_ref(), self.trust.clone()).map(Arc::new))
            .collect();
        self.places = places?.into();
        self.next = Arc::default();
        self.balance = balance;
        Ok(self)
    }

    /// The same connections with another token.
    pub fn with_token(mut self, token: &str) -> Result<Self, ClientError> {
        self.token = None;
        if !token.is_empty() {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| ClientError::unsent("the token has characters that no token has"))?;
            value.set_sensitive(true);
            self.token = Some(value);
        }
        Ok(self)
    }

    /// Longest time for one attempt of a call that is not a stream. Default: 15 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Longest time for a call that is not a stream, with all its attempts and the pauses between them. Default: none.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Most times that a failed call is made again. Default: 0, and then no call gets an idempotency key by itself.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Makes any call, with this client's retries, and returns its reply whatever its status.
    pub async fn call(&self, call: Call) -> Result<Answer<Bytes>, ClientError> {
        Box::pin(self.retrying(&call, false)).await
    }

    /// Makes a call; replies that are not 2xx are errors.
    async fn checked(&self, call: Call) -> Result<Answer<Bytes>, ClientError> {
        self.retrying(&call, true).await
    }

    /// Makes a call and reads its reply as JSON.
    async fn typed<T: DeserializeOwned>(&self, call: Call) -> Result<Answer<T>, ClientError> {
        self.checked(call).await?.parse()
    }

    /// Where the next attempt goes.
    fn place(&self, path: &str) -> Arc<Place> {
        if let Some(place) = self.regions.place(path) {
            return place;
        }
        let turn = match self.balance {
            Balance::Spread => self.next.fetch_add(1, Ordering::Relaxed),
            Balance::Failover => self.next.load(Ordering::Relaxed),
        };
        Arc::clone(&self.places[turn % self.places.len()])
    }

    /// Turns to the next base URL after a failure.
    fn fail_over(&self) {
        if self.balance == Balance::Failover && self.places.len() > 1 {
            self.next.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Where an attempt went there was no answer: the next one goes elsewhere, be it this call's or another's.
    fn missed(&self, path: &str) {
        if !self.regions.forget(path) {
            self.fail_over();
        }
    }

    /// The request of a call to a place.
    fn request(&self, place: &Place, call: &Call, payload: Payload) -> Result<Request<Payload>, ClientError> {
        let mut request = Request::new(payload);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call
            .path
            .parse()
            .map_err(|_| ClientError::unsent(format!("{:?} is not a path", call.path)))?;
        *request.headers_mut() = call.headers.clone();
        let host = HeaderValue::from_str(&place.authority)
            .map_err(|_| ClientError::unsent("the host has characters that no host has"))?;
        request.headers_mut().entry(HOST).or_insert(host);
        if let Some(token) = &self.token {
            request.headers_mut().entry(AUTHORIZATION).or_insert_with(|| token.clone());
        }
        Ok(request)
    }

    /// One attempt, up to the head of the reply.
    async fn open(&self, call: &Call, payload: Payload) -> Result<Exchange, ClientError> {
        let place = self.place(&call.path);
        let request = self.request(&place, call, payload)?;
        place.send(request).await
    }

    /// One attempt at a stream: bounded in time only up to its head; replies that are not 2xx are errors.
    async fn open_stream(&self, call: &Call, payload: Payload) -> Result<Exchange, ClientError> {
        let mut exchange = self.open(call, payload).await?;
        if exchange.response.status().is_success() {
            return Ok(exchange);
        }
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        let body = tokio::time::timeout(self.timeout, exchange.whole())
            .await
            .map_err(|_| ClientError::unanswered("the problem did not arrive in time"))??;
        Err(call::problem_of(status, &headers, &body))
    }
}
