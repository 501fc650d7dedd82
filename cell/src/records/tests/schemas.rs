use api::body::collection::CollectionSchema;

use super::*;
use crate::machine::refusal::Refusal;
use crate::records::collection_define::CollectionDefine;
use crate::records::collection_delete::CollectionDelete;
use crate::records::collection_put::CollectionPut;
use crate::records::schema_check::{Checked, check};

/// Checks a schema as the front does.
fn checked(stage: &Stage, name: &str, schema: &CollectionSchema) -> Result<Checked, Error> {
    let catalog = stage.catalog();
    let old = catalog.named(name);
    let number = old.map_or(u32::try_from(stage.header().next).expect("few collections"), |old| old.number);
    check(
        &name.parse().expect("a name"),
        schema,
        old.map(AsRef::as_ref),
        &catalog,
        number,
    )
}

/// Stores a schema.
pub(super) fn put(stage: &mut Stage, name: &str, schema: &CollectionSchema) {
    let done = checked(stage, name, schema).expect("a good schema");
    let created = stage.catalog().named(name).is_none();
    let put = CollectionPut {
        collection: done.collection,
        created,
        needs_empty: false,
    };
    let policy = done.policy;
    stage.apply(CollectionDefine { put, policy }).result.expect("stored");
}

pub(super) fn schema(json: Json) -> CollectionSchema {
    serde_json::from_value(json).expect("a schema")
}

#[test]
fn every_wrong_schema_is_named_by_its_place() {
    let stage = Stage::with_template("workspace");
    let wrong = [
        (json!({"fields": {"a": {"type": "select"}}}), "/fields/a/options"),
        (
            json!({"fields": {"a": {"type": "select", "options": ["x", "x"]}}}),
            "/fields/a/options",
        ),
        (
            json!({"fields": {"a": {"type": "text", "options": ["x"]}}}),
            "/fields/a/options",
        ),
        (json!({"fields": {"a": {"type": "reference"}}}), "/fields/a/collection"),
        (
            json!({"fields": {"a": {"type": "reference", "collection": "nothing"}}}),
            "/fields/a/collection",
        ),
        (
            json!({"fields": {"a": {"type": "reference", "collection": "tasks", "on_delete": "set_null", "required": true}}}),
            "/fields/a/on_delete",
        ),
        (json!({"fields": {"a": {"type": "text", "per": "b"}}}), "/fields/a/per"),
        (json!({"fields": {"a": {"type": "sequence", "per": "b"}}}), "/fields/a/per"),
        (json!({"fields": {"a": {"type": "text", "min": 1}}}), "/fields/a/min"),
        (
            json!({"fields": {"a": {"type": "number", "min": 2, "max": 1}}}),
            "/fields/a/min",
        ),
        (
            json!({"fields": {"a": {"type": "integer", "default": "x"}}}),
            "/fields/a/default",
        ),
        (json!({"fields": {"created_at": {"type": "timestamp"}}}), "/fields/created_at"),
        (json!({"fields": {"limit": {"type": "integer"}}}), "/fields/limit"),
        (
            json!({"fields": {"a": {"type": "text"}}, "indexes": {"i": {"fields": []}}}),
            "/indexes/i/fields",
        ),
        (
            json!({"fields": {"a": {"type": "tags"}}, "indexes": {"i": {"fields": ["a"]}}}),
            "/indexes/i/fields",
        ),
        (
            json!({"fields": {}, "indexes": {"i": {"fields": ["a"]}}}),
            "/indexes/i/fields",
        ),
        (json!({"fields": {"a": {"type": "bool"}}, "search": ["a"]}), "/search/0"),
    ];
    for (json, pointer) in wrong {
        let text = json.to_string();
        let error = checked(&stage, "new", &schema(json)).map(|_| ()).expect_err(&text);
        assert!(
            error.errors.iter().any(|error| error.pointer == pointer),
            "{text}: {:?}",
            error.errors
        );
    }
}

#[test]
fn what_was_sent_comes_back() {
    let mut stage = Stage::with_template("workspace");
    let sent = schema(json!({
        "fields": {
            "name": {"type": "text", "required": true, "unique": true, "max_length": 50},
            "task": {"type": "reference", "collection": "tasks", "on_delete": "cascade"},
            "number": {"type": "sequence", "per": "task"},
            "state": {"type": "select", "options": ["x", "y"], "default": "x"}
        },
        "indexes": {"by_state": {"fields": ["state", "created_at"]}, "pair": {"fields": ["state", "name"], "unique": true}},
        "search": ["name"]
    }));
    put(&mut stage, "things", &sent);
    assert_eq!(stage.catalog().named("things").expect("things").to_api(None).schema, sent);
}

#[test]
fn a_collection_is_deleted_empty_and_its_number_is_never_used_again() {
    let mut stage = Stage::with_template("workspace");
    put(&mut stage, "things", &schema(json!({"fields": {"name": {"type": "text"}}})));
    let number = stage.catalog().named("things").expect("things").number;
    run(&mut stage, &[create("things", 1, json!({"name": "a"}))])
        .result
        .expect("stored");
    let delete = CollectionDelete { number, if_match: None };
    assert!(matches!(stage.apply(delete.clone()).result, Err(Refusal::NotEmpty { .. })));
    run(&mut stage, &[operation(BatchVerb::Delete, "things", 1, Json::Null)])
        .result
        .expect("deleted");
    stage.apply(delete).result.expect("deleted");
    assert!(stage.catalog().named("things").is_none());
    put(&mut stage, "things", &schema(json!({"fields": {}})));
    assert!(stage.catalog().named("things").expect("things").number > number);
    let tasks = stage.catalog().named("tasks").expect("tasks").number;
    let referred = stage
        .apply(CollectionDelete {
            number: tasks,
            if_match: None,
        })
        .result;
    assert!(
        matches!(referred, Err(Refusal::AlreadyExists { .. })),
        "comments refer to tasks: {referred:?}"
    );
}
