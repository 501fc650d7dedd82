//! The OpenAPI document, made of what the server itself works with: the route table, the types of the bodies, and the table of
//! errors. It is checked in as `openapi.json`, so that a change of the contract is seen in review; a test compares the two.
//!
//! What the table cannot know (parameters, bodies, replies) is in the module `operation`, one line a route.
mod files;
mod operation;
mod parameters;
mod records;
mod schemas;
mod streams;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::operation::{Body, describe};
use self::parameters::Parameter;
use crate::error::Code;
use crate::limits;
use crate::problem::MEDIA_TYPE;
use crate::routes::table::{Endpoint, Plane, Route, TABLE};
use crate::service::Reach;

/// The document, as it is checked in.
pub const DOCUMENT: &str = include_str!("../../openapi.json");

/// The document, as the code describes itself.
pub fn document() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in &TABLE {
        paths
            .entry(route.path)
            .or_default()
            .insert(route.method.as_str().to_lowercase(), operation_of(route));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "CloudNest",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Records of many tenants. Bodies are JSON in UTF-8, times RFC 3339 in UTC, ids UUIDs. HEAD is GET \
                without the body. Errors are problems (RFC 9457): their `code` is stable, and their `outcome` says whether the \
                request may have had an effect. Any body may be sent with `Content-Encoding: gzip`, and replies are compressed for \
                who sends `Accept-Encoding: gzip`. A tenant's `cors_origins` names the origins whose pages may use its paths.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "tenant": { "type": "http", "scheme": "bearer", "description": "A tenant's token, `cnt_…`" },
                "operator": { "type": "http", "scheme": "bearer", "description": "An operator's token, `cno_…`" }
            },
            "schemas": schemas::schemas(),
            "responses": problems(),
            "headers": headers()
        }
    })
}

/// One reply for each status that a problem can have, with the codes that come with it.
fn problems() -> BTreeMap<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for code in Code::ALL.iter().filter(|code| **code != Code::NotLeader) {
        by_status
            .entry(code.status())
            .or_default()
            .push(format!("`{}`: {}", code.name(), code.title()));
    }
    let reply = |codes: Vec<String>| {
        json!({
            "description": codes.join(". "),
            "headers": { "X-Request-Id": reference("headers", "X-Request-Id") },
            "content": { MEDIA_TYPE: { "schema": reference("schemas", "Problem") } }
        })
    };
    by_status
        .into_iter()
        .map(|(status, codes)| (format!("Problem{status}"), reply(codes)))
        .collect()
}

fn headers() -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    json!({
        "X-Request-Id": text("The request's id: the client's own where it sent a sane one."),
        "traceparent": text("The client's trace with this request as parent, where it sent one (W3C Trace Context)."),
        "Server-Timing": text("Where the time went, by stage, in milliseconds."),
        "ETag": text("The version, such as `\"7\"`."),
        "Content-Disposition": text("The name of the file, and whether it is to be kept or may be shown."),
        "Content-Range": text("Which bytes these are, and of how many."),
        "Repr-Digest": text("SHA-256 of the whole content (RFC 9530)."),
        "Tus-Resumable": text("The version of the protocol: `1.0.0`."),
        "Upload-Offset": text("How much of the upload has come, in bytes."),
        "Upload-Length": text("How long the upload is as a whole, in bytes."),
        "Upload-Metadata": text("What the client said of the upload."),
        "Upload-Expires": text("Until when an upload is kept that does not get further."),
        "Location": text("The path of what is new, or of the operation."),
        "CloudNest-Position": {
            "description": "The number of the tenant's last event that the reply reflects.",
            "schema": { "type": "integer", "minimum": 0 }
        }
    })
}

fn operation_of(route: &Route) -> Value {
    let about = describe(route);
    let mut operation = json!({
        "operationId": about.id,
        "summary": route.summary,
        "tags": [about.tag],
        "responses": replies(route, &about.replies, &about.headers)
    });
    let security = match route.plane {
        Plane::Open => json!([]),
        Plane::Control | Plane::ControlLeader => json!([{ "operator": [] }]),
        Plane::Tenant(_, role) => {
            operation["description"] = format!("Needs the role `{}` or a higher one.", role.name()).into();
            json!([{ "tenant": [] }])
        }
    };
    operation["security"] = security;
    if about.operators_too {
        operation["security"] = json!([{ "tenant": [] }, { "operator": [] }]);
    }
    let parameters: Vec<Value> = path_parameters(route).chain(about.parameters.iter().map(parameter)).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if !about.bodies.is_empty() {
        operation["requestBody"] = json!({ "required": true, "content": content(&about.bodies) });
    }
    operation
}

fn path_parameters(route: &Route) -> impl Iterator<Item = Value> {
    let names = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        let schema = match name {
            "tenant" => json!({ "type": "string", "pattern": "^[a-z][a-z0-9-]{0,38}[a-z0-9]$" }),
            "collection" => json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$" }),
            "version" => json!({ "type": "integer", "minimum": 1 }),
            "id" => json!({ "type": "string", "format": "uuid" }),
            _ => json!({ "type": "string" }),
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    })
}

fn parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.is_required,
        "description": parameter.description,
        "schema": parameter.schema
    })
}

fn content(bodies: &[Body]) -> Value {
    let one = |body: &Body| {
        let schema = match body.schema {
            Some(name) => json!({ "schema": reference("schemas", name) }),
            None if body.media_type == operation::JSON => json!({ "schema": { "type": "object" } }),
            None => json!({ "schema": { "type": "string" } }),
        };
        (body.media_type.to_owned(), schema)
    };
    Value::Object(bodies.iter().map(one).collect())
}

fn replies(route: &Route, good: &[operation::Answer], named: &[&str]) -> Value {
    let mut replies = Map::new();
    for answer in good {
        let mut headers = Map::new();
        for name in ["X-Request-Id", "traceparent", "Server-Timing"].iter().chain(named) {
            let only_new = *name == "Location" && !matches!(answer.status, 201 | 202);
            if !only_new {
                headers.insert((*name).to_owned(), reference("headers", name));
            }
        }
        let mut reply = json!({ "description": answer.description, "headers": headers });
        if !answer.bodies.is_empty() {
            reply["content"] = content(&answer.bodies);
        }
        replies.insert(answer.status.to_string(), reply);
    }
    let heads = format!(
        "The head of the request is larger than {} KiB or has more than {} headers. There is no body.",
        limits::HEAD_BYTES / 1024,
        limits::HEADERS
    );
    replies.insert("431".to_owned(), json!({ "description": heads }));
    for status in problem_statuses(route) {
        replies.insert(status.to_string(), reference("responses", &format!("Problem{status}")));
    }
    Value::Object(replies)
}

/// The statuses of the problems that a route may answer with.
fn problem_statuses(route: &Route) -> Vec<u16> {
    let mut statuses = vec![500, 503];
    let tenant = matches!(route.plane, Plane::Tenant(..));
    if route.plane != Plane::Open {
        statuses.extend([400, 401, 403, 404, 429, 504]);
    }
    if tenant {
        statuses.push(421);
    }
    let makes = matches!(
        route.endpoint,
        Endpoint::TenantReceive | Endpoint::TenantRestore | Endpoint::CellRestore
    );
    let at_leader = matches!(route.plane, Plane::ControlLeader | Plane::Tenant(Reach::Leader, _));
    if makes || (at_leader && route.method != http::Method::GET) {
        statuses.extend([408, 409, 412, 413, 415, 422, 507]);
    }
    match route.endpoint {
        Endpoint::FileContent => statuses.extend([412, 416]),
        Endpoint::Upload => statuses.push(412),
        Endpoint::UploadCreate | Endpoint::UploadWrite => statuses.push(460),
        _ => {}
    }
    if route.path.ends_with("/events") || route.path.ends_with("/export") {
        statuses.push(410);
    }
    statuses.sort_unstable();
    statuses
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}
