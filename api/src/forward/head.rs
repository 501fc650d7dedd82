//! The head of a request on its way to another node, and what no head takes along.

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request};

use super::splice;
use crate::front::Asked;
use crate::trace::{REQUEST_ID, TRACEPARENT};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The request as another node gets it.
pub(super) fn request<B>(asked: &Asked<'_>, body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.method_mut() = asked.head.method.clone();
    if let Some(path) = asked.head.uri.path_and_query() {
        *request.uri_mut() = path.clone().into();
    }
    let headers = request.headers_mut();
    *headers = asked.head.headers.clone();
    strip(headers);
    let made_up: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("cloudnest-"))
        .cloned()
        .collect();
    for name in made_up {
        headers.remove(name);
    }
    headers.remove(EXPECT);
    if asked.inflated {
        headers.remove(CONTENT_ENCODING);
    }
    if asked.body.is_kept() {
        // The length of what is sent says it; a chunked body has been put together.
        headers.remove(CONTENT_LENGTH);
    }
    // HTTP/2 says it with the path.
    let host = asked
        .head
        .uri
        .authority()
        .map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(host)) = host {
        headers.entry(HOST).or_insert(host);
    }
    if splice::is_wanted(asked) {
        splice::ask(headers);
    }
    headers.insert(REQUEST_ID, asked.trace.request_id.clone());
    if let Some(parent) = &asked.trace.parent {
        headers.insert(TRACEPARENT, parent.clone());
    }
    request
}

/// Takes out what belongs to one connection (RFC 9110, 7.6.1).
pub(crate) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}
