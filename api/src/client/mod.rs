//! The typed client: what the command line, the rig and the benchmark speak to a server with.
//!
//! One method a route. A method returns an [`Answer`], or a [`ClientError`] that says whether the call may have had an effect.
//! Base URLs, token, timeout and retries are set once; clones share the connections.
//!
//! With [`Client::with_retries`] a call is made again when it is known to have had no effect and the cause may pass, and, where
//! a second effect is impossible (reads, calls with an idempotency key), also when its effect is unknown.
//!
//! CAVEATS: HTTP/1.1 only. `https://` needs [`Client::with_authorities`] or [`Client::with_certificate`]. A 421 is returned, not followed: who asks for a tenant should know its region.

mod control;
mod error;
mod lines;
mod payload;
mod pool;
mod retry;
mod stream;
mod tenant;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
pub use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderName};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use serde::de::DeserializeOwned;

pub use self::error::ClientError;
use self::error::problem_of;
pub use self::lines::Lines;
use self::payload::Payload;
use self::pool::{Exchange, Place};
pub use self::stream::{EventStream, EventsFrom, ExportStream, ImportOptions};
use self::tls::Trust;

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
    token: Option<HeaderValue>,
    trust: Option<Trust>,
    timeout: Duration,
    retries: u32,
}

/// A successful reply.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// The status: 2xx.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: T,
}

/// One call, for those who need more than the typed methods: bad requests, odd headers.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query, such as `/v1/regions`.
    pub path: String,
    /// Headers; `Authorization` and `Host` are added where they are left out.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Client {
    /// A client of a base URL such as `http://127.0.0.1:7400`. An empty token sends none.
    pub fn new(base_url: &str, token: &str) -> Result<Self, ClientError> {
        let client = Self {
            places: Arc::from(vec![Arc::new(Place::parse(base_url, None)?)]),
            next: Arc::default(),
            balance: Balance::Failover,
            token: None,
            trust: None,
            timeout: Duration::from_secs(15),
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

    /// Most times that a failed call is made again. Default: 0.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Makes any call, with this client's retries, and returns its reply whatever its status.
    pub async fn call(&self, call: Call) -> Result<Answer<Bytes>, ClientError> {
        self.retrying(&call, false).await
    }

    /// Makes a call; replies that are not 2xx are errors.
    async fn checked(&self, call: Call) -> Result<Answer<Bytes>, ClientError> {
        self.retrying(&call, true).await
    }

    /// Makes a call and reads its reply as JSON.
    async fn typed<T: DeserializeOwned>(&self, call: Call) -> Result<Answer<T>, ClientError> {
        self.checked(call).await?.parse()
    }

    /// The base URL of the next attempt.
    fn place(&self) -> &Arc<Place> {
        let turn = match self.balance {
            Balance::Spread => self.next.fetch_add(1, Ordering::Relaxed),
            Balance::Failover => self.next.load(Ordering::Relaxed),
        };
        &self.places[turn % self.places.len()]
    }

    /// Turns to the next base URL after a failure.
    fn fail_over(&self) {
        if self.balance == Balance::Failover && self.places.len() > 1 {
            self.next.fetch_add(1, Ordering::Relaxed);
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
        let place = self.place();
        let request = self.request(place, call, payload)?;
        let result = place.send(request).await;
        if result.is_err() {
            self.fail_over();
        }
        result
    }

    /// Opens a stream: bounded in time only up to its head; replies that are not 2xx are errors.
    async fn open_stream(&self, call: &Call, payload: Payload) -> Result<Exchange, ClientError> {
        let mut exchange = self.open(call, payload).await?;
        if exchange.response.status().is_success() {
            return Ok(exchange);
        }
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        let body = tokio::time::timeout(self.timeout, exchange.whole())
            .await
            .map_err(|_| ClientError::unanswered("the problem did not arrive in time"))??;
        Err(problem_of(status, &headers, &body))
    }
}

impl Call {
    /// A call without headers and body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// With a header. A value with characters that no header has is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// With a body of a media type.
    #[must_use]
    pub fn body(mut self, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        self.body = body.into();
        self
    }

    /// Whether a second attempt cannot have a second effect.
    fn is_repeatable(&self) -> bool {
        let keyed = self.headers.contains_key("idempotency-key");
        matches!(self.method, Method::GET | Method::HEAD) || keyed
    }
}

impl<T> Answer<T> {
    /// The number of the tenant's last event that the reply reflects.
    pub fn position(&self) -> Option<u64> {
        self.text("cloudnest-position")?.parse().ok()
    }

    /// The version that the reply's `ETag` names.
    pub fn version(&self) -> Option<u64> {
        self.text(ETAG.as_str())?.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
    }

    /// The request's id.
    pub fn request_id(&self) -> Option<&str> {
        self.text("x-request-id")
    }

    /// Where the time went: the `Server-Timing` header.
    pub fn server_timing(&self) -> Option<&str> {
        self.text("server-timing")
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn with<U>(self, body: U) -> Answer<U> {
        Answer {
            status: self.status,
            headers: self.headers,
            body,
        }
    }
}

impl Answer<Bytes> {
    /// The body as JSON.
    pub fn parse<T: DeserializeOwned>(self) -> Result<Answer<T>, ClientError> {
        match serde_json::from_slice(&self.body) {
            Ok(body) => Ok(self.with(body)),
            Err(error) => Err(ClientError::unanswered(format!("read the reply as JSON: {error}"))),
        }
    }
}
