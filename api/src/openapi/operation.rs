//! What each route takes and answers, beyond what the route table says.

use serde_json::{Value, json};

use crate::limits;
use crate::routes::table::{Endpoint, Plane, Route};
use crate::service::Reach;

/// The description of one operation.
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) tag: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) replies: Vec<Answer>,
    /// Headers of good replies, beside those that every reply has.
    pub(super) headers: Vec<&'static str>,
    /// Whether an operator's token works in place of a tenant's.
    pub(super) operators_too: bool,
}

/// A parameter of the query or a header.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: &'static str,
    pub(super) description: String,
    pub(super) schema: Value,
}

/// A body: its media type, and its schema where it is not plain text.
pub(super) struct Body {
    pub(super) media_type: &'static str,
    pub(super) schema: Option<&'static str>,
}

/// A good reply.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) bodies: Vec<Body>,
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

fn query(name: &'static str, schema: Value, description: impl Into<String>) -> Parameter {
    Parameter {
        name,
        place: "query",
        description: description.into(),
        schema,
    }
}

fn header(name: &'static str, description: impl Into<String>) -> Parameter {
    Parameter {
        name,
        place: "header",
        description: description.into(),
        schema: json!({ "type": "string" }),
    }
}

fn body(media_type: &'static str, schema: &'static str) -> Body {
    Body {
        media_type,
        schema: Some(schema),
    }
}

fn text(media_type: &'static str) -> Body {
    Body {
        media_type,
        schema: None,
    }
}

fn answer(status: u16, description: &'static str, bodies: Vec<Body>) -> Answer {
    Answer {
        status,
        description,
        bodies,
    }
}

fn json_answer(status: u16, description: &'static str, schema: &'static str) -> Answer {
    answer(status, description, vec![body(JSON, schema)])
}

fn paging() -> Vec<Parameter> {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": limits::LIST_MAX, "default": limits::LIST_DEFAULT });
    vec![
        query("limit", limit, "Most items of the page."),
        query("cursor", json!({ "type": "string" }), "The `next_cursor` of the page before."),
    ]
}

fn count() -> Parameter {
    query(
        "count",
        json!({ "type": "boolean", "default": false }),
        "Whether to count all items.",
    )
}

fn listing() -> Vec<Parameter> {
    let mut parameters = paging();
    parameters.push(count());
    parameters
}

fn if_match() -> Parameter {
    header("If-Match", "The version that it must have, such as `\"7\"`; else 412.")
}

fn if_none_match() -> Parameter {
    header("If-None-Match", "A version that the client has; 304 if it is still this one.")
}

fn record_list() -> Vec<Parameter> {
    let mut parameters = listing();
    let text = || json!({ "type": "string" });
    parameters.push(query(
        "filter",
        json!({ "type": "string", "maxLength": crate::limits::FILTER_BYTES }),
        "A CEL expression over the names of fields, such as `status == \"todo\" && points >= 3`: only records of which it is true. What \
         no index serves is read and looked at, within limits; beyond them the answer is 400 `filter_too_broad`.",
    ));
    parameters.push(query(
        "order",
        text(),
        "Fields in order, `-` for descending: `-created_at,title`. By id where it is left out.",
    ));
    parameters.push(query(
        "fields",
        text(),
        "Fields to answer, separated by commas; all where it is left out.",
    ));
    parameters.push(query(
        "{field}",
        text(),
        "Any other parameter is the name of a field and the value that it must have.",
    ));
    parameters
}

fn events() -> Vec<Parameter> {
    let number = |least: u64| json!({ "type": "integer", "minimum": least });
    vec![
        query(
            "after",
            number(0),
            "The position after which to start; 0 where it is left out.",
        ),
        query("limit", number(1), "Most events; all where it is left out."),
        query(
            "wait",
            json!({ "type": "integer", "minimum": 0, "maximum": 60 }),
            "Seconds to wait for a first event.",
        ),
        query(
            "follow",
            json!({ "type": "boolean" }),
            "Whether to stay open; true for server-sent events, false for NDJSON.",
        ),
        header("Last-Event-ID", "In place of `after`."),
        header("Accept", "`application/x-ndjson` for NDJSON; else server-sent events."),
    ]
}

/// Describes a route.
pub(super) fn describe(route: &Route) -> Operation {
    let (parameters, body, replies, named) = match route.plane {
        Plane::Open => open(route.endpoint),
        Plane::Control | Plane::ControlLeader => control(route.endpoint),
        Plane::Tenant(..) => tenant(route.endpoint),
    };
    let mut operation = Operation {
        id: snake(&format!("{:?}", route.endpoint)),
        tag: tag(route),
        parameters,
        body,
        replies,
        headers: named,
        operators_too: route.endpoint == Endpoint::TokenCreate,
    };
    if let Plane::Tenant(reach, _) = route.plane {
        if route.endpoint != Endpoint::Import {
            operation.headers.push("CloudNest-Position");
        }
        if reach == Reach::Replica {
            let schema = json!({ "type": "string", "pattern": "^(strong|local|at-least:[0-9]+)$", "default": "strong" });
            let description = "`strong` sees every write that was answered before; `local` what this replica has; `at-least:N` \
                               at least the tenant's position N.";
            operation.parameters.push(query("consistency", schema, description));
        }
    }
    if route.keyed {
        let description = format!(
            "At most {} characters. The same key and body answer the first reply again; the same key with another body is 422.",
            limits::IDEMPOTENCY_KEY_CHARS
        );
        operation.parameters.push(header("Idempotency-Key", description));
    }
    operation
}

type Described = (Vec<Parameter>, Option<Body>, Vec<Answer>, Vec<&'static str>);

fn open(endpoint: Endpoint) -> Described {
    let bodies = match endpoint {
        Endpoint::Root => vec![
            text("text/html"),
            Body {
                media_type: JSON,
                schema: None,
            },
        ],
        Endpoint::Openapi => vec![Body {
            media_type: JSON,
            schema: None,
        }],
        _ => vec![text("text/plain")],
    };
    (vec![], None, vec![answer(200, "As asked.", bodies)], vec![])
}

fn control(endpoint: Endpoint) -> Described {
    use Endpoint as E;
    let ok = |schema| (vec![], None, vec![json_answer(200, "As it is now.", schema)], vec![]);
    let list = |schema| (listing(), None, vec![json_answer(200, "One page.", schema)], vec![]);
    let begun = |what, schema| (vec![], None, vec![json_answer(202, what, schema)], vec!["Location"]);
    match endpoint {
        E::Tenants => (paging(), None, vec![json_answer(200, "One page.", "TenantPage")], vec![]),
        E::TenantCreate => {
            let made = json_answer(201, "Created; `admin_token` is shown once.", "Tenant");
            (vec![], Some(body(JSON, "NewTenant")), vec![made], vec!["Location"])
        }
        E::TenantPatch => {
            let changed = json_answer(200, "Changed.", "Tenant");
            (vec![], Some(body(JSON, "TenantPatch")), vec![changed], vec![])
        }
        E::TenantDelete => begun("It is being erased.", "Operation"),
        E::Operation => ok("Operation"),
        E::Regions => list("RegionPage"),
        E::Cells => list("CellPage"),
        E::CellHash => ok("CellHash"),
        E::CellScrub => ok("Scrub"),
        E::ScrubBegin => begun("It is under way.", "Scrub"),
        E::Nodes => list("NodePage"),
        E::Initialize => ok("Initialized"),
        _ => ok("Tenant"),
    }
}

fn unchanged() -> Answer {
    answer(304, "It is still the version that the client has.", vec![])
}

fn gone() -> Vec<Answer> {
    vec![answer(204, "Deleted.", vec![])]
}

fn stored(schema: &'static str) -> Vec<Answer> {
    vec![json_answer(200, "Replaced.", schema), json_answer(201, "Created.", schema)]
}

fn tenant(endpoint: Endpoint) -> Described {
    use Endpoint as E;
    let ok = |parameters, description, schema, named| (parameters, None, vec![json_answer(200, description, schema)], named);
    match endpoint {
        E::Me => ok(vec![], "Who this token is.", "Me", vec![]),
        E::Tokens => ok(listing(), "One page.", "TokenPage", vec![]),
        E::TokenCreate => {
            let made = json_answer(201, "Created; `secret` is shown once.", "Token");
            (vec![], Some(body(JSON, "NewToken")), vec![made], vec![])
        }
        E::TokenDelete => (vec![], None, gone(), vec![]),
        E::Collections => ok(listing(), "One page.", "CollectionPage", vec![]),
        E::Collection => {
            let found = json_answer(200, "The collection.", "Collection");
            (vec![if_none_match()], None, vec![found, unchanged()], vec!["ETag"])
        }
        E::CollectionPut => (
            vec![if_match()],
            Some(body(JSON, "CollectionSchema")),
            stored("Collection"),
            vec!["ETag", "Location"],
        ),
        E::CollectionDelete => (vec![if_match()], None, gone(), vec![]),
        _ => records(endpoint),
    }
}

fn records(endpoint: Endpoint) -> Described {
    use Endpoint as E;
    match endpoint {
        E::Records => (record_list(), None, vec![json_answer(200, "One page.", "RecordPage")], vec![]),
        E::RecordCreate => {
            let made = json_answer(201, "Created.", "Record");
            (vec![], Some(body(JSON, "NewRecord")), vec![made], vec!["ETag", "Location"])
        }
        E::RecordPut => (
            vec![if_match()],
            Some(body(JSON, "FieldsBody")),
            stored("Record"),
            vec!["ETag", "Location"],
        ),
        E::RecordPatch => {
            let merged = json_answer(200, "Merged.", "Record");
            (vec![if_match()], Some(body(JSON, "FieldsBody")), vec![merged], vec!["ETag"])
        }
        E::RecordDelete => (vec![if_match()], None, gone(), vec![]),
        E::Batch => (
            vec![],
            Some(body(JSON, "Batch")),
            vec![json_answer(200, "All of it is done.", "BatchReply")],
            vec![],
        ),
        E::Import => {
            let id = header(
                "Import-Id",
                "Names the import: a second one with the same id goes on after the last stored line.",
            );
            let description =
                "A line for each step, and at last the summary. What fails on the way is a last line that is a problem.";
            (
                vec![id],
                Some(text(NDJSON)),
                vec![answer(200, description, vec![body(NDJSON, "ImportLine")])],
                vec![],
            )
        }
        E::Export => {
            let description = "One object a line, from the header to the trailer; without its trailer it is not whole.";
            (
                vec![],
                None,
                vec![answer(200, description, vec![body(NDJSON, "ExportLine")])],
                vec![],
            )
        }
        E::Events => {
            let bodies = vec![text("text/event-stream"), body(NDJSON, "Event")];
            (
                events(),
                None,
                vec![answer(200, "Events as CloudEvents 1.0, in order and without gaps.", bodies)],
                vec![],
            )
        }
        _ => (
            vec![if_none_match()],
            None,
            vec![json_answer(200, "The record.", "Record"), unchanged()],
            vec!["ETag"],
        ),
    }
}

fn tag(route: &Route) -> &'static str {
    match route.plane {
        Plane::Open => "node",
        Plane::Control | Plane::ControlLeader => "control",
        Plane::Tenant(..) if route.path.contains("/tokens") || route.path.ends_with("/me") => "tokens",
        Plane::Tenant(..) if route.path.contains("/collections") => "collections",
        Plane::Tenant(..) if route.path.ends_with("/events") || route.path.ends_with("/export") => "streams",
        Plane::Tenant(..) => "records",
    }
}

/// `RecordCreate` as `record_create`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
