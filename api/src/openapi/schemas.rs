//! The schemas of all bodies. They come from the types; what is added here is what a derived schema cannot say.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::reference;
use crate::body::{
    backup, balance, collection, control, event, file, import, live, node, record, search, token, topology, usage,
};
use crate::problem::Problem;

/// The schemas of all bodies, by name.
pub(super) fn schemas() -> BTreeMap<String, Value> {
    let mut schemas: BTreeMap<String, Value> = bodies()
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default()))
        .collect();
    flatten(&mut schemas, "Collection", "CollectionSchema");
    schemas.insert("ServerSentEvent".to_owned(), server_sent_event());
    for item in [
        "Record",
        "RecordVersion",
        "Token",
        "Collection",
        "Tenant",
        "Region",
        "Cell",
        "Node",
        "Operation",
        "File",
        "FileVersion",
    ] {
        schemas.insert(format!("{item}Page"), page_schema(item));
    }
    schemas
}

macro_rules! add_to {
    ($all:ident: $($body:ty),*) => {$(
        $all.push((<$body>::name().into_owned(), <$body as utoipa::PartialSchema>::schema()));
        <$body>::schemas(&mut $all);
    )*};
}

/// The bodies about files.
fn add_of_files(into: &mut Vec<(String, RefOr<Schema>)>) {
    let mut all = Vec::new();
    add_to!(all: file::File, file::FileVersion, file::FilePatch, file::NewLink, file::Link, file::Upload);
    into.append(&mut all);
}

/// Every body that is named, with what it is made of.
fn bodies() -> Vec<(String, RefOr<Schema>)> {
    let mut all: Vec<(String, RefOr<Schema>)> = Vec::new();
    macro_rules! add {
        ($($body:ty),* $(,)?) => { add_to!(all: $($body),*) };
    }
    add_of_files(&mut all);
    add![
        Problem,
        record::NewRecord,
        record::FieldsBody,
        record::Record,
        record::RecordVersion,
        record::Restore,
        record::Batch,
        record::BatchReply
    ];
    add![
        token::NewToken,
        token::Token,
        token::Me,
        collection::CollectionSchema,
        collection::Collection,
        event::Event,
        search::SearchReply,
        search::SearchSettings
    ];
    add![
        import::ImportLine,
        import::ExportLine,
        control::NewTenant,
        control::TenantPatch,
        control::TenantMove,
        backup::TenantRestore,
        backup::CellRestore,
        backup::CellBackup,
        control::Tenant
    ];
    add![
        control::Region,
        control::Cell,
        control::CellHash,
        control::Scrub,
        control::ScrubbedReplica,
        node::Node,
        balance::Balance,
        balance::CellLoad,
        balance::ProposedMove,
        live::Presence,
        live::Member,
        usage::Usage,
        usage::UsageLimits,
        usage::UsedUnits,
        control::Operation,
        control::OperationFailure,
        control::Initialized
    ];
    add![
        topology::Topology,
        topology::TopologyNode,
        topology::TopologyCell,
        topology::TopologyPlan,
        topology::Cluster,
        topology::Applying,
        topology::NewTopology
    ];
    all
}

fn page_schema(item: &str) -> Value {
    json!({
        "type": "object",
        "description": "One page of a list.",
        "required": ["items", "next_cursor"],
        "properties": {
            "items": { "type": "array", "items": reference("schemas", item) },
            "next_cursor": { "type": ["string", "null"], "description": "Pass it as `cursor` for the next page; null at the end." },
            "count": { "type": "integer", "minimum": 0, "description": "How many there are in all, where `count=true` asked for it." }
        }
    })
}

/// Makes one object of a schema and of the one that it is flattened into. They would exclude each other: what is sent allows no members
/// but its own.
fn flatten(schemas: &mut BTreeMap<String, Value>, outer: &str, inner: &str) {
    let Some(inner) = schemas.get(inner).cloned() else { return };
    let Some(all) = schemas.get_mut(outer) else { return };
    let mut object = all
        .pointer("/allOf/1")
        .cloned()
        .unwrap_or_else(|| json!({ "type": "object", "properties": {}, "required": [] }));
    if let (Some(own), Some(more)) = (object["properties"].as_object_mut(), inner["properties"].as_object()) {
        own.extend(more.clone());
    }
    if let (Some(own), Some(more)) = (object["required"].as_array_mut(), inner["required"].as_array()) {
        own.extend(more.iter().cloned());
    }
    object["description"] = all["description"].clone();
    *all = object;
}

/// One event of a stream of server-sent events, by the names of its lines.
fn server_sent_event() -> Value {
    json!({
        "type": "object",
        "description": "One event of a stream of server-sent events. `data` is an Event as JSON, or, in an event `problem`, the Problem \
            that ended the stream.",
        "required": ["data"],
        "properties": {
            "id": { "type": "string", "pattern": "^[0-9]{1,20}$", "description": "The event's position." },
            "event": { "type": "string", "description": "The event's type, or `problem`." },
            "data": { "type": "string", "contentMediaType": "application/json", "contentSchema": reference("schemas", "Event") }
        }
    })
}
