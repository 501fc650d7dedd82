//! What the routes that stream take and answer.

use super::operation::{Answer, Described, NDJSON, answer, body, text};
use super::parameters::{self, Parameter};
use crate::routes::table::Endpoint;

/// A route of streams.
pub(super) fn describe(endpoint: Endpoint) -> Described {
    use Endpoint as E;
    match endpoint {
        E::Import => {
            let upsert = parameters::query(
                "upsert",
                serde_json::json!({ "type": "string" }),
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
