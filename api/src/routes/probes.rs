//! What needs no token: health, metrics, the OpenAPI document, and the page at the root.

use http::header::{ACCEPT, CONTENT_SECURITY_POLICY};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::table::Endpoint;
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::reply::{self, Reply};
use crate::server::Phase;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Serves an open route.
pub(crate) fn answer(asked: &mut Asked<'_>) -> Result<Reply> {
    match asked.found.route.endpoint {
        Endpoint::Livez => Ok(reply::full(StatusCode::OK, TEXT, "ok\n")),
        Endpoint::Readyz => ready(asked),
        Endpoint::Metrics => metrics(asked),
        Endpoint::Openapi => Ok(reply::full(StatusCode::OK, reply::JSON, crate::openapi::DOCUMENT)),
        _ => Ok(root(asked)),
    }
}

fn ready(asked: &Asked<'_>) -> Result<Reply> {
    if asked.front.phases.now() != Phase::Serving {
        return Err(Error::new(Code::Unavailable, "the node is draining"));
    }
    match asked.front.service.ready() {
        Ok(()) => Ok(reply::full(StatusCode::OK, TEXT, "ready\n")),
        Err(why) => Err(Error::new(Code::Unavailable, why)),
    }
}

fn metrics(asked: &Asked<'_>) -> Result<Reply> {
    let mut text = String::with_capacity(16 * 1024);
    let written = asked
        .front
        .metrics
        .write(&mut text)
        .and_then(|()| asked.front.service.metrics(&mut text));
    match written {
        Ok(()) => Ok(reply::full(StatusCode::OK, PROMETHEUS, text)),
        Err(_) => Err(Error::new(Code::Internal, "the metrics could not be written")),
    }
}

fn root(asked: &Asked<'_>) -> Reply {
    let (node, region) = asked.front.service.identity();
    let accept = asked
        .head
        .headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if accept.contains("text/html") {
        let nonce = uuid::Uuid::now_v7().simple().to_string();
        let mut page = reply::full(StatusCode::OK, HTML, page(&node, &region, &nonce));
        if let Ok(policy) = HeaderValue::from_str(&policy(&nonce)) {
            page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        }
        return page;
    }
    let links = json!({
        "name": "CloudNest",
        "version": env!("CARGO_PKG_VERSION"),
        "node": node,
        "region": region,
        "links": {
            "openapi": "/openapi.json",
            "live": "/livez",
            "ready": "/readyz",
            "metrics": "/metrics",
            "tenants": "/v1/tenants",
            "tenant": "/v1/tenants/{tenant}"
        },
        "quick_start": "curl -H 'Authorization: Bearer TOKEN' http://HOST:PORT/v1/tenants/TENANT/records/tasks"
    });
    reply::full(StatusCode::OK, reply::JSON, links.to_string())
}

/// Links, a quick start, and the API reference, which reads this node's own document.
fn page(node: &str, region: &str, nonce: &str) -> String {
    include_str!("page.html")
        .replace("{NODE}", &escaped(node))
        .replace("{REGION}", &escaped(region))
        .replace("{VERSION}", env!("CARGO_PKG_VERSION"))
        .replace("{NONCE}", nonce)
        .replace("{SCRIPT}", include_str!("page.js"))
}

/// The page loads nothing but this node's own document, runs nothing but its own script, and is shown in nobody's frame.
fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; connect-src 'self'; img-src data:; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
