//! What the routes that stream take and answer.

use serde_json::json;

use super::operation::{Answer, Described, NDJSON, answer, body, json_answer, text};
use super::parameters::{self, Parameter};
use crate::ARCHIVE;
use crate::routes::table::Endpoint;

/// A route of streams.
pub(super) fn describe(endpoint: Endpoint) -> Described {
    use Endpoint as E;
    match endpoint {
        E::Import => {
            let upsert = parameters::query(
                "upsert",
                json!({ "type": "string" }),
                "A unique field: a line changes the record that has its value there, and makes one where there is none. What a line leaves \
                 out stays.",
            );
            (vec![import_id(), upsert], Some(text(NDJSON)), vec![told()], vec![])
        }
        E::TenantImport => (vec![import_id()], Some(text(NDJSON)), vec![told()], vec![]),
        E::Export => {
            let description = "One object a line, from the header to the trailer; without its trailer it is not whole.";
            (
                vec![],
                None,
                vec![answer(200, description, vec![body(NDJSON, "ExportLine")])],
                vec![],
            )
        }
        E::Archive => {
            let description = "An archive, as docs/archive.md describes it; without its trailer it is not whole.";
            (vec![], None, vec![answer(200, description, vec![text(ARCHIVE)])], vec![])
        }
        E::Live | E::Document => {
            let description = "The connection is a WebSocket from now on, and speaks as docs/realtime.md describes it.";
            (vec![], None, vec![answer(101, description, vec![])], vec![])
        }
        E::Presence => {
            let topic = parameters::query("topic", json!({ "type": "string" }), "`COLLECTION` or `COLLECTION/ID`.");
            let there = json_answer(200, "Who is there now.", "Presence");
            (vec![parameters::required(topic)], None, vec![there], vec![])
        }
        _ => {
            let bodies = vec![body("text/event-stream", "ServerSentEvent"), body(NDJSON, "Event")];
            (
                parameters::events(),
                None,
                vec![answer(200, "Events as CloudEvents 1.0, in order and without gaps.", bodies)],
                vec![],
            )
        }
    }
}

/// The route that makes a tenant of an archive.
pub(super) fn received() -> Described {
    let text_schema = || json!({ "type": "string" });
    let tokens = json!({ "type": "string", "enum": ["keep", "drop"], "default": "keep" });
    let parameters = vec![
        parameters::required(parameters::query("region", text_schema(), "Where the tenant's data stays.")),
        parameters::query(
            "plan",
            text_schema(),
            "Its plan; the first of the configuration where it is left out.",
        ),
        parameters::query(
            "tokens",
            tokens,
            "Whether the tokens of the archive are the tenant's; else it gets one, which the reply shows once.",
        ),
    ];
    let made = json_answer(201, "Created, with all that the archive holds.", "Tenant");
    (parameters, Some(text(ARCHIVE)), vec![made], vec!["Location"])
}

fn import_id() -> Parameter {
    parameters::header(
        "Import-Id",
        parameters::printable(crate::limits::IMPORT_ID_CHARS),
        "Names the import: a second one with the same id goes on after the last stored line.",
    )
}

/// What an import answers.
fn told() -> Answer {
    let description = "A line for each step, and at last the summary. What fails on the way is a last line that is a problem.";
    answer(200, description, vec![body(NDJSON, "ImportLine")])
}
