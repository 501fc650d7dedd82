//! What each route takes and answers, beyond what the route table says.

use super::parameters::{self, Parameter};
use super::records::{begun_or, gone, records, stored, unchanged};
use super::streams;
use crate::limits;
use crate::routes::table::{Endpoint, Plane, Route};
use crate::service::Reach;

/// The description of one operation.
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) tag: &'static str,
    pub(super) parameters: Vec<Parameter>,
    /// Any of these.
    pub(super) bodies: Vec<Body>,
    pub(super) replies: Vec<Answer>,
    /// Headers of good replies, beside those that every reply has.
    pub(super) headers: Vec<&'static str>,
    /// Whether an operator's token works in place of a tenant's.
    pub(super) operators_too: bool,
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

pub(super) const JSON: &str = "application/json";
pub(super) const NDJSON: &str = "application/x-ndjson";

pub(super) fn body(media_type: &'static str, schema: &'static str) -> Body {
    Body {
        media_type,
        schema: Some(schema),
    }
}

pub(super) fn text(media_type: &'static str) -> Body {
    Body {
        media_type,
        schema: None,
    }
}

pub(super) fn answer(status: u16, description: &'static str, bodies: Vec<Body>) -> Answer {
    Answer {
        status,
        description,
        bodies,
    }
}

pub(super) fn json_answer(status: u16, description: &'static str, schema: &'static str) -> Answer {
    answer(status, description, vec![body(JSON, schema)])
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
        bodies: body.into_iter().collect(),
        replies,
        headers: named,
        operators_too: matches!(route.endpoint, Endpoint::TokenCreate | Endpoint::Archive),
    };
    if let Plane::Tenant(reach, _) = route.plane {
        if route.endpoint == Endpoint::Import {
            operation.bodies.push(text("text/csv"));
        } else if !matches!(route.endpoint, Endpoint::Live | Endpoint::Presence | Endpoint::Document) {
            operation.headers.push("CloudNest-Position");
        }
        if reach == Reach::Replica {
            operation.parameters.push(parameters::consistency(route.endpoint));
        }
    }
    if route.keyed {
        let description = format!(
            "At most {} characters. The same key and body answer the first reply again; the same key with another body is 422.",
            limits::IDEMPOTENCY_KEY_CHARS
        );
        let schema = parameters::printable(limits::IDEMPOTENCY_KEY_CHARS);
        operation
            .parameters
            .push(parameters::header("Idempotency-Key", schema, description));
    }
    operation
}

pub(super) type Described = (Vec<Parameter>, Option<Body>, Vec<Answer>, Vec<&'static str>);

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
    let list = |schema| {
        (
            parameters::listing(),
            None,
            vec![json_answer(200, "One page.", schema)],
            vec![],
        )
    };
    let begun = |what, schema| (vec![], None, vec![json_answer(202, what, schema)], vec!["Location"]);
    match endpoint {
        E::Tenants => (
            parameters::paging(),
            None,
            vec![json_answer(200, "One page.", "TenantPage")],
            vec![],
        ),
        E::TenantCreate => {
            let made = json_answer(201, "Created; `admin_token` is shown once.", "Tenant");
            (vec![], Some(body(JSON, "NewTenant")), vec![made], vec!["Location"])
        }
        E::TenantPatch => {
            let changed = json_answer(200, "Changed.", "Tenant");
            (vec![], Some(body(JSON, "TenantPatch")), vec![changed], vec![])
        }
        E::TenantDelete => begun("It is being erased.", "Operation"),
        E::TenantMove => {
            let moving = json_answer(
                202,
                "It is being moved; the move that is under way, where there is one.",
                "Operation",
            );
            (vec![], Some(body(JSON, "TenantMove")), vec![moving], vec!["Location"])
        }
        E::TenantRestore => restored("It is being restored; `admin_token` is shown once.", "TenantRestore"),
        E::CellRestore => restored("It is being restored.", "CellRestore"),
        E::TenantReceive => streams::received(),
        E::Operation => ok("Operation"),
        E::OperationCallOff => begun("It is called off: what it has copied is erased.", "Operation"),
        E::Regions => list("RegionPage"),
        E::Cells => list("CellPage"),
        E::CellHash => ok("CellHash"),
        E::CellScrub => ok("Scrub"),
        E::ScrubBegin => begun("It is under way.", "Scrub"),
        E::Nodes => list("NodePage"),
        E::NodeDrain | E::NodeUndrain | E::NodeRestart => {
            (vec![], None, vec![answer(202, "It is asked of the node.", vec![])], vec![])
        }
        E::Balance => ok("Balance"),
        E::Cluster => ok("Cluster"),
        E::ClusterApply => {
            let replies = vec![
                json_answer(200, "There is nothing to do.", "Cluster"),
                json_answer(202, "It is under way.", "Operation"),
            ];
            (vec![], Some(body(JSON, "NewTopology")), replies, vec!["Location"])
        }
        E::ClusterCancel => begun("It is called off.", "Operation"),
        E::Initialize => {
            let done = json_answer(200, "Whether it was done now.", "Initialized");
            (vec![parameters::alone()], None, vec![done], vec![])
        }
        _ => ok("Tenant"),
    }
}

fn restored(description: &'static str, schema: &'static str) -> Described {
    let restoring = json_answer(202, description, "Operation");
    (vec![], Some(body(JSON, schema)), vec![restoring], vec!["Location"])
}

fn tenant(endpoint: Endpoint) -> Described {
    use Endpoint as E;
    let ok = |parameters, description, schema, named| (parameters, None, vec![json_answer(200, description, schema)], named);
    match endpoint {
        E::Me => ok(vec![], "Who this token is.", "Me", vec![]),
        E::Usage => ok(
            vec![],
            "What the tenant may use, and has used, as the node knows it.",
            "Usage",
            vec![],
        ),
        E::Tokens => ok(parameters::listing(), "One page.", "TokenPage", vec![]),
        E::TokenCreate => {
            let made = json_answer(201, "Created; `secret` is shown once.", "Token");
            (vec![], Some(body(JSON, "NewToken")), vec![made], vec![])
        }
        E::TokenDelete => (vec![], None, gone(), vec![]),
        E::Collections => ok(parameters::listing(), "One page.", "CollectionPage", vec![]),
        E::Collection => {
            let found = json_answer(200, "The collection.", "Collection");
            (
                vec![parameters::if_none_match()],
                None,
                vec![found, unchanged()],
                vec!["ETag"],
            )
        }
        E::CollectionPut => (
            vec![parameters::if_match()],
            Some(body(JSON, "CollectionSchema")),
            begun_or(stored("Collection")),
            vec!["ETag", "Location"],
        ),
        E::CollectionDelete => (vec![parameters::if_match()], None, begun_or(gone()), vec!["Location"]),
        E::TenantOperations => ok(parameters::listing(), "One page.", "OperationPage", vec![]),
        E::TenantOperation => ok(vec![], "As it is now.", "Operation", vec![]),
        E::OperationCancel => {
            let back = json_answer(202, "It is called back: what it has made is taken away.", "Operation");
            (vec![], None, vec![back], vec!["Location"])
        }
        _ => super::files::describe(endpoint).unwrap_or_else(|| records(endpoint)),
    }
}

fn tag(route: &Route) -> &'static str {
    match route.plane {
        Plane::Open => "node",
        Plane::Control | Plane::ControlLeader => "control",
        Plane::Tenant(..) if route.path.contains("/tokens") || route.path.ends_with("/me") => "tokens",
        Plane::Tenant(..) if route.path.contains("/collections") || route.path.contains("/operations") => "collections",
        Plane::Tenant(..)
            if route.path.ends_with("/events")
                || matches!(route.endpoint, Endpoint::Live | Endpoint::Document)
                || route.path.ends_with("/presence")
                || route.path.ends_with("/export")
                || route.path.ends_with("/archive")
                || route.path == "/v1/tenants/{tenant}/import" =>
        {
            "streams"
        }
        Plane::Tenant(..) if route.path.contains("/search") => "search",
        Plane::Tenant(..) if route.path.contains("/files") => "files",
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
