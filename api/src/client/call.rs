//! One call and its answer, as they are on the wire.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;

use super::ClientError;
use crate::problem::Problem;

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
    pub(super) fn is_repeatable(&self) -> bool {
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

    pub(super) fn with<U>(self, body: U) -> Answer<U> {
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

/// The error that a reply stands for.
pub(super) fn problem_of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClientError {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut problem: Problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("Not a CloudNest reply").to_owned(),
        status: status.as_u16(),
        detail: String::from_utf8_lossy(body).chars().take(200).collect(),
        code: "unrecognised".to_owned(),
        outcome: crate::error::Outcome::Unknown,
        errors: Vec::new(),
        region: None,
        endpoint: None,
        retry_after: None,
        request_id: None,
    });
    problem.retry_after = text(RETRY_AFTER.as_str())
        .and_then(|text| text.parse().ok())
        .map(Duration::from_secs);
    problem.request_id = text("x-request-id").map(str::to_owned);
    ClientError::Problem(Box::new(problem))
}
