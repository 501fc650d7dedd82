//! What needs no token: health, metrics, the OpenAPI document, and the page at the root.

use http::header::ACCEPT;
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
        return reply::full(StatusCode::OK, HTML, page(&node, &region));
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

fn page(node: &str, region: &str) -> String {
    let (node, region) = (escaped(node), escaped(region));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>CloudNest</title>\n\
         <style>body{{font:16px/1.5 system-ui;max-width:46rem;margin:3rem auto;padding:0 1rem}}pre{{background:#f4f4f4;padding:1rem;\
         overflow:auto}}</style></head><body>\n<h1>CloudNest</h1>\n<p>Node <b>{node}</b> in region <b>{region}</b>.</p>\n\
         <ul><li><a href=\"/openapi.json\">API reference (OpenAPI 3.1)</a></li><li><a href=\"/readyz\">Ready?</a></li>\
         <li><a href=\"/metrics\">Metrics</a></li></ul>\n<h2>Quick start</h2>\n<pre>\
         export CLOUDNEST_URL=http://HOST:PORT CLOUDNEST_TOKEN=TOKEN\n\
         curl -H \"Authorization: Bearer $CLOUDNEST_TOKEN\" $CLOUDNEST_URL/v1/tenants/demo/records/tasks\n\
         curl -H \"Authorization: Bearer $CLOUDNEST_TOKEN\" -H 'Content-Type: application/json' \\\n\
         \x20    -d '{{\"fields\":{{\"title\":\"My first task\"}}}}' $CLOUDNEST_URL/v1/tenants/demo/records/tasks</pre>\n\
         </body></html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
