//! What the routes of records take and answer, and answers that several routes have.

use super::operation::{Answer, Described, JSON, answer, body, json_answer};
use super::{parameters, streams};
use crate::routes::table::Endpoint;

pub(super) fn unchanged() -> Answer {
    answer(304, "It is still the version that the client has.", vec![])
}

pub(super) fn gone() -> Vec<Answer> {
    vec![answer(204, "Deleted.", vec![])]
}

pub(super) fn stored(schema: &'static str) -> Vec<Answer> {
    vec![json_answer(200, "Replaced.", schema), json_answer(201, "Created.", schema)]
}

/// Or an operation does it, where there are records.
pub(super) fn begun_or(mut done: Vec<Answer>) -> Vec<Answer> {
    let what = "An operation brings the records along; `Location` is where it can be asked after.";
    done.push(json_answer(202, what, "Operation"));
    done
}

/// Describes a route of records.
pub(super) fn records(endpoint: Endpoint) -> Described {
    use Endpoint as E;
    match endpoint {
        E::Records => (
            parameters::record_list(),
            None,
            vec![json_answer(200, "One page.", "RecordPage")],
            vec![],
        ),
        E::RecordCreate => {
            let made = json_answer(201, "Created.", "Record");
            (vec![], Some(body(JSON, "NewRecord")), vec![made], vec!["ETag", "Location"])
        }
        E::RecordPut => (
            vec![parameters::if_match()],
            Some(body(JSON, "FieldsBody")),
            stored("Record"),
            vec!["ETag", "Location"],
        ),
        E::RecordPatch => {
            let merged = json_answer(200, "Merged.", "Record");
            (
                vec![parameters::if_match()],
                Some(body(JSON, "FieldsBody")),
                vec![merged],
                vec!["ETag"],
            )
        }
        E::History => {
            let page = json_answer(200, "One page.", "RecordVersionPage");
            (parameters::paging(), None, vec![page], vec![])
        }
        E::Restore => {
            let back = vec![
                json_answer(200, "Its fields are those of that version.", "Record"),
                json_answer(201, "It was deleted and is there again.", "Record"),
            ];
            (
                vec![parameters::if_match()],
                Some(body(JSON, "Restore")),
                back,
                vec!["ETag", "Location"],
            )
        }
        E::Search | E::SearchSettings | E::SearchSet => search(endpoint),
        E::RecordDelete => (vec![parameters::if_match()], None, gone(), vec![]),
        E::Batch => (
            vec![],
            Some(body(JSON, "Batch")),
            vec![json_answer(200, "All of it is done.", "BatchReply")],
            vec![],
        ),
        E::Import | E::TenantImport | E::Export | E::Archive | E::Events | E::Live | E::Presence | E::Document => {
            streams::describe(endpoint)
        }
        _ => (
            vec![parameters::if_none_match(), parameters::expand()],
            None,
            vec![json_answer(200, "The record.", "Record"), unchanged()],
            vec!["ETag"],
        ),
    }
}

fn search(endpoint: Endpoint) -> Described {
    let settings = |description| vec![json_answer(200, description, "SearchSettings")];
    match endpoint {
        Endpoint::SearchSettings => (vec![], None, settings("As it is now."), vec![]),
        Endpoint::SearchSet => {
            let stored = settings("It is so now; the index follows.");
            (vec![], Some(body(JSON, "SearchSettings")), stored, vec![])
        }
        _ => {
            let page = json_answer(200, "One page, the best first.", "SearchReply");
            (parameters::search(), None, vec![page], vec![])
        }
    }
}
