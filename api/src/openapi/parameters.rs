//! Parameters of the query and headers that routes take.

use serde_json::{Value, json};

use crate::limits;
use crate::routes::table::Endpoint;

/// A parameter of the query or a header.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: &'static str,
    pub(super) description: String,
    pub(super) schema: Value,
    pub(super) is_required: bool,
}

pub(super) fn query(name: &'static str, schema: Value, description: impl Into<String>) -> Parameter {
    Parameter {
        name,
        place: "query",
        description: description.into(),
        schema,
        is_required: false,
    }
}

pub(super) fn header(name: &'static str, schema: Value, description: impl Into<String>) -> Parameter {
    Parameter {
        name,
        place: "header",
        description: description.into(),
        schema,
        is_required: false,
    }
}

/// The same, and no call goes without it.
pub(super) fn required(parameter: Parameter) -> Parameter {
    Parameter {
        is_required: true,
        ..parameter
    }
}

/// A text of printable ASCII. HTTP takes spaces off both ends of a header, so that it has none there.
pub(super) fn printable(most: usize) -> Value {
    json!({ "type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$", "minLength": 1, "maxLength": most })
}

/// An entity tag: a version in quotes.
pub(super) fn version() -> Value {
    json!({ "type": "string", "pattern": "^\"[0-9]{1,19}\"$", "minLength": 3, "maxLength": 21 })
}

pub(super) fn paging() -> Vec<Parameter> {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": limits::LIST_MAX, "default": limits::LIST_DEFAULT });
    vec![
        query("limit", limit, "Most items of the page."),
        query(
            "cursor",
            json!({ "type": "string", "minLength": 1, "maxLength": limits::CURSOR_BYTES }),
            "The `next_cursor` of the page before.",
        ),
    ]
}

pub(super) fn count() -> Parameter {
    query(
        "count",
        json!({ "type": "boolean", "default": false }),
        "Whether to count all items.",
    )
}

pub(super) fn alone() -> Parameter {
    query(
        "alone",
        json!({ "type": "boolean", "default": false }),
        "Whether the directory gets the voters of this region only, because no other region runs yet.",
    )
}

pub(super) fn listing() -> Vec<Parameter> {
    let mut parameters = paging();
    parameters.push(count());
    parameters
}

pub(super) fn if_match() -> Parameter {
    header(
        "If-Match",
        version(),
        "The version that it must have, such as `\"7\"`, or `*` for any, so that nothing new is made; else 412.",
    )
}

pub(super) fn if_none_match() -> Parameter {
    header(
        "If-None-Match",
        json!({ "type": "string" }),
        "Versions that the client has, such as `\"7\"`; 304 if it is still one of these.",
    )
}

pub(super) fn record_list() -> Vec<Parameter> {
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
    parameters.push(expand());
    parameters.push(query(
        "{field}",
        text(),
        "Any other parameter is the name of a field and the value that it must have.",
    ));
    parameters
}

/// How fresh a read must be.
pub(super) fn consistency(endpoint: Endpoint) -> Parameter {
    let mut schema = json!({ "type": "string", "pattern": "^(strong|local|at-least:[0-9]+)$" });
    if endpoint == Endpoint::Search {
        let description = "What the index must show: `strong` every write that was answered before, `at-least:N` the tenant's position N. \
                           Where it is left out, it shows what was written two seconds ago. Records are answered as they are now in any case.";
        return query("consistency", schema, description);
    }
    schema["default"] = json!("strong");
    let description = "`strong` sees every write that was answered before; `local` what this replica has; `at-least:N` at least the \
                       tenant's position N.";
    query("consistency", schema, description)
}

pub(super) fn search() -> Vec<Parameter> {
    let text = || json!({ "type": "string" });
    let question = json!({ "type": "string", "minLength": 1, "maxLength": limits::SEARCH_BYTES });
    let mut parameters = vec![required(query(
        "q",
        question,
        "Words, all of which a record must have: also in other forms, or with a typo. `\"words in quotes\"` stand one after the other, \
         `-word` and `-\"words\"` must not be there, `word*` and the last word may be a beginning.",
    ))];
    parameters.extend(paging());
    parameters.push(query(
        "collections",
        text(),
        "Collections to look into, separated by commas; all that have fields to search where it is left out.",
    ));
    parameters.push(query(
        "filter",
        json!({ "type": "string", "maxLength": limits::FILTER_BYTES }),
        "A CEL expression over the names of fields, as in lists. Where `collections` is left out, it leaves out collections without its fields.",
    ));
    parameters.push(query(
        "facets",
        text(),
        "What to count the values of, separated by commas: `collection`, or fields of choices, tags, users or bools.",
    ));
    parameters.push(query(
        "highlight",
        json!({ "type": "boolean", "default": false }),
        "Whether to show where the words are.",
    ));
    parameters
}

/// What a read of a record takes beside its path.
pub(super) fn expand() -> Parameter {
    query(
        "expand",
        json!({ "type": "string" }),
        "Fields that refer to records, separated by commas: those records come in `expand`, by the name of the field. What a rule hides \
         is left out.",
    )
}

pub(super) fn events() -> Vec<Parameter> {
    let number = |least: u64| json!({ "type": "integer", "minimum": least, "maximum": u64::MAX });
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
        query(
            "collections",
            json!({ "type": "string" }),
            "Only what is about these collections and their records, separated by commas.",
        ),
        query(
            "record",
            json!({ "type": "string" }),
            "Only what is about this record: `COLLECTION/ID`.",
        ),
        query(
            "filter",
            json!({ "type": "string", "maxLength": limits::FILTER_BYTES }),
            "A CEL expression over the names of fields, as in lists: only changes that left a record of which it is true (of what was \
             deleted: as it was at last).",
        ),
        query(
            "include",
            json!({ "type": "string", "enum": ["fields"] }),
            "`fields` adds the record's fields as the change left them, where that version is kept and may be read.",
        ),
        header(
            "Last-Event-ID",
            json!({ "type": "string", "pattern": "^[0-9]{1,19}$" }),
            "In place of `after`.",
        ),
        header(
            "Accept",
            json!({ "type": "string" }),
            "`application/x-ndjson` for NDJSON; else server-sent events.",
        ),
    ]
}
