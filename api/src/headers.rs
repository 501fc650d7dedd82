//! Headers that every reply carries: whose request it was, where its time went, and what a browser may do with it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, ETAG, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Body;

use crate::reply::{Reply, ReplyBody};
use crate::service::{Budget, Stage, Timing};
use crate::trace::{REQUEST_ID, TRACEPARENT, Trace};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Puts them on a reply.
pub(crate) fn mark(headers: &mut HeaderMap, trace: Trace, timing: &Timing, took: Duration) {
    secure(headers);
    headers.insert(REQUEST_ID, trace.request_id);
    if let Some(parent) = trace.parent {
        headers.insert(TRACEPARENT, parent);
    }
    let mut text = String::with_capacity(96);
    for stage in Stage::ALL {
        push_stage(&mut text, stage.name(), timing.micros(stage));
    }
    push_stage(&mut text, "total", u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1));
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
        // Another node's stages are already there when the request was forwarded.
        headers.append(SERVER_TIMING, value);
    }
}

/// Nothing is guessed about a reply, kept by caches, or told to where a link leads. What has a version may be kept and asked about.
fn secure(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let keeping = if headers.contains_key(ETAG) {
        "private, no-cache"
    } else {
        "no-store"
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keeping));
}

/// What a tenant may use, in request units, as draft-ietf-httpapi-ratelimit-headers-10 has it.
pub(crate) fn budget(headers: &mut HeaderMap, budget: &Budget) {
    let (window, full_in) = (budget.window.as_secs().max(1), budget.full_in.as_secs());
    let policy = format!("\"units\";q={};w={window}", budget.quota);
    let limit = format!("\"units\";r={};t={full_in}", budget.left);
    for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, limit)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
            headers.insert(name, value);
        }
    }
}

/// Takes out what HTTP/2 does not have: a connection is not a matter of one reply there.
pub(crate) fn fit_http2(headers: &mut HeaderMap) {
    headers.remove(CONNECTION);
}

/// Tells browsers to come over TLS from now on.
pub(crate) fn secure_transport(headers: &mut HeaderMap) {
    headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
}

/// Adds `name;dur=MILLISECONDS`, with three decimals.
fn push_stage(text: &mut String, name: &str, micros: u32) {
    use std::fmt::Write;
    if micros == 0 {
        return;
    }
    if !text.is_empty() {
        text.push_str(", ");
    }
    text.push_str(name);
    // Writing into a String cannot fail.
    let _ = write!(text, ";dur={}.{:03}", micros / 1_000, micros % 1_000);
}

/// What HEAD is answered with where hyper does not see to it, as it does over HTTP/1: the length that GET would have, and nothing of it. What has no body
/// for GET either says no length (RFC 9110, 8.6).
pub(crate) fn without_body(reply: Reply) -> Reply {
    let (mut head, body) = reply.into_parts();
    let is_bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(size) = body.size_hint().exact().filter(|_| !is_bodiless) {
        head.headers.entry(CONTENT_LENGTH).or_insert(size.into());
    }
    Reply::from_parts(head, ReplyBody::Empty)
}
