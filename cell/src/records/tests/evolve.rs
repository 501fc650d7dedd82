//! Changes of a schema that has records: whatever happens in between, what is stored is right in the end.

use std::collections::BTreeSet;

use rig::random::Random;
use storage::table::{self, CollectionPending};
use storage::{Direction, KeyRange, Table};

use super::schemas::schema;
use super::*;
use crate::machine::reader::decode;
use crate::machine::refusal::Refusal;
use crate::records::collection_define::CollectionDefine;
use crate::records::collection_put::CollectionPut;
use crate::records::evolve::cancel::OperationCancel;
use crate::records::evolve::change::{Changed, CollectionChange};
use crate::records::evolve::drop::CollectionDrop;
use crate::records::evolve::step::OperationStep;
use crate::records::evolve::work::{self, Phase, Status, Work};
use crate::records::schema_check::check;
use crate::records::value::RecordRow;

/// Asks for another schema of `things`.
fn change(stage: &mut Stage, operation: u128, json: Json) -> Result<Changed, Error> {
    let catalog = stage.catalog();
    let old = catalog.named("things");
    let number = old.map_or(u32::try_from(stage.header().next).expect("few collections"), |old| old.number);
    let name = "things".parse().expect("a name");
    let checked = check(&name, &schema(json), old.map(AsRef::as_ref), &catalog, number)?;
    let put = CollectionPut {
        collection: checked.collection,
        created: old.is_none(),
        needs_empty: false,
    };
    let command = CollectionChange {
        define: CollectionDefine {
            put,
            policy: checked.policy,
        },
        moved: checked.moved,
        operation: id(operation),
    };
    let schema = Some(stage.header().schema);
    let answer = stage.apply_as(command, None, schema);
    answer.result.map_err(|refusal| crate::service::error::refused(&refusal))
}

fn begun(stage: &mut Stage, operation: u128, json: Json) -> Work {
    match change(stage, operation, json).expect("a good schema") {
        Changed::Begun(work) => *work,
        Changed::Stored(stored) => panic!("it was stored at once: {stored:?}"),
    }
}

fn step(stage: &mut Stage, operation: u128) -> bool {
    stage.apply(OperationStep { id: id(operation) }).result.expect("a step").ended
}

/// Takes an operation to its end.
fn finish(stage: &mut Stage, operation: u128) -> Work {
    for _ in 0..1_000 {
        if step(stage, operation) {
            return work::read(&stage.snapshot(), SPACE, id(operation))
                .expect("no fault")
                .expect("it is remembered");
        }
    }
    panic!("the operation does not end");
}

fn thing(number: u128, fields: Json) -> BatchOperation {
    create("things", number, fields)
}

/// A stage with a collection `things`, and records.
fn things(fields: Json, records: impl IntoIterator<Item = Json>) -> Stage {
    let mut stage = Stage::with_template("workspace");
    assert!(matches!(change(&mut stage, 1, fields), Ok(Changed::Stored(_))));
    for (number, record) in (1..).zip(records) {
        run(&mut stage, &[thing(number, record)]).result.expect("stored");
    }
    stage
}

/// Every entry of every record is there, and no other; no record has a value of a field that is not there.
fn assert_consistent(stage: &Stage) {
    let (snapshot, catalog) = (stage.snapshot(), stage.catalog());
    let mut expected = BTreeSet::new();
    for collection in catalog.iter() {
        for row in snapshot.scan(table::Record::range(SPACE, collection.number), Direction::Forward) {
            let (raw, bytes) = row.expect("a row");
            let key = table::Record::parse(raw.as_bytes()).expect("a key");
            let RecordRow::V1(record) = decode(&key, &bytes).expect("a record");
            let place = Place {
                space: SPACE,
                collection: collection.number,
                id: Uuid::from_bytes(key.id),
            };
            let entries = crate::records::entries::all(collection, place, &record);
            expected.extend(entries.iter().map(ToString::to_string));
            let unknown = record
                .doc
                .iter()
                .find(|(number, _)| collection.field_numbered(*number).is_none());
            assert_eq!(unknown, None, "{raw} has a value of a field that is not there");
        }
    }
    let of = |tag: u8| {
        let rows = snapshot.scan(KeyRange::space(SPACE), Direction::Forward);
        rows.map(|row| row.expect("a row").0).filter(move |key| key.tag() == tag)
    };
    let entries = of(table::IndexEntry::TAG)
        .chain(of(table::UniqueEntry::TAG))
        .chain(of(table::ReferenceEntry::TAG));
    let stored: BTreeSet<String> = entries.map(|key| key.to_string()).collect();
    assert_eq!(stored, expected);
    assert_eq!(of(CollectionPending::TAG).count(), 0);
}

#[test]
fn an_index_is_built_while_records_change() {
    let names = (1..=600).map(|number| json!({ "name": format!("n{}", number % 7), "size": number }));
    let fields = json!({"name": {"type": "text"}, "size": {"type": "integer"}});
    let mut stage = things(json!({ "fields": fields }), names);
    let work = begun(
        &mut stage,
        50,
        json!({ "fields": fields, "indexes": {"by_name": {"fields": ["name", "size"]}} }),
    );
    assert_eq!((work.status, &work.phase), (Status::Running, &Phase::Fit(None)));
    let number = stage.catalog().named("things").expect("things").number;
    assert!(
        stage.catalog().named("things").expect("things").indexes.is_empty(),
        "nobody reads it yet"
    );
    assert!(!step(&mut stage, 50));
    // Behind the place that the step has reached, and before it.
    for number in [3, 500] {
        run(
            &mut stage,
            &[operation(BatchVerb::Patch, "things", number, json!({"name": "changed"}))],
        )
        .result
        .expect("stored");
        run(&mut stage, &[operation(BatchVerb::Delete, "things", number + 1, Json::Null)])
            .result
            .expect("deleted");
    }
    run(&mut stage, &[thing(9_999, json!({"name": "new"}))])
        .result
        .expect("stored");
    let position = stage.header().position;
    let done = finish(&mut stage, 50);
    assert_eq!((done.status, done.failed), (Status::Done, 0));
    assert_eq!(stage.catalog().named("things").expect("things").indexes.len(), 1);
    assert_eq!(
        stage.header().position,
        position + 1,
        "one event for the switch, none for the records"
    );
    assert_consistent(&stage);
    assert!(stage.catalog().pending(number).is_none());
}

#[test]
fn duplicates_are_listed_and_the_schema_stays() {
    let fields = json!({"name": {"type": "text"}});
    let mut stage = things(
        json!({ "fields": fields }),
        ["a", "b", "a", "c", "b"].map(|name| json!({ "name": name })),
    );
    begun(&mut stage, 50, json!({"fields": {"name": {"type": "text", "unique": true}}}));
    // It has been a duplicate all along: that another of its fields changes is nobody's fault.
    run(&mut stage, &[operation(BatchVerb::Patch, "things", 3, json!({}))])
        .result
        .expect("stored");
    let refused = run(&mut stage, &[thing(7, json!({"name": "x"})), thing(8, json!({"name": "x"}))]).result;
    assert!(
        matches!(refused, Err(Refusal::At { operation: 1, .. })),
        "new duplicates are: {refused:?}"
    );
    let done = finish(&mut stage, 50);
    assert_eq!((done.status, done.failed), (Status::Failed, 2));
    let failed: Vec<Uuid> = done.failures.iter().map(|(record, _)| *record).collect();
    assert_eq!(failed, [id(1), id(5)], "the third came first, because it was written");
    assert!(
        matches!(&done.failures[0].1, Refusal::Unique { holder, .. } if *holder == id(3)),
        "{:?}",
        done.failures
    );
    assert_consistent(&stage);
    run(&mut stage, &[thing(9, json!({"name": "a"}))])
        .result
        .expect("no constraint is left");
    // Mended, it goes through.
    for number in [3, 5, 9] {
        run(&mut stage, &[operation(BatchVerb::Delete, "things", number, Json::Null)])
            .result
            .expect("deleted");
    }
    begun(&mut stage, 51, json!({"fields": {"name": {"type": "text", "unique": true}}}));
    assert_eq!(finish(&mut stage, 51).status, Status::Done);
    assert_consistent(&stage);
    let refused = run(&mut stage, &[thing(10, json!({"name": "a"}))]).result;
    assert!(matches!(refused, Err(Refusal::Unique { .. })), "{refused:?}");
}

#[test]
fn a_field_has_another_type_only_once_every_value_has() {
    let mut stage = things(
        json!({"fields": {"size": {"type": "text"}}, "indexes": {"by_size": {"fields": ["size"]}}}),
        [
            json!({"size": "12"}),
            json!({}),
            json!({"size": " 7 "}),
            json!({"size": "many"}),
        ],
    );
    let wanted = json!({"fields": {"size": {"type": "integer"}}, "indexes": {"by_size": {"fields": ["size"]}}});
    begun(&mut stage, 50, wanted.clone());
    run(&mut stage, &[operation(BatchVerb::Patch, "things", 1, json!({"size": "13"}))])
        .result
        .expect("stored");
    assert_eq!(shown(&stage, "things", 1), json!({"size": "13"}), "it is a text still");
    let refused = run(&mut stage, &[thing(5, json!({"size": "none"}))]).result;
    assert!(
        matches!(&refused, Err(Refusal::Unfit { field, .. }) if field == "size"),
        "{refused:?}"
    );
    let done = finish(&mut stage, 50);
    assert_eq!(
        (done.status, done.failures.len(), done.failures[0].0),
        (Status::Failed, 1, id(4))
    );
    assert_consistent(&stage);

    run(&mut stage, &[operation(BatchVerb::Patch, "things", 4, json!({"size": "0"}))])
        .result
        .expect("stored");
    begun(&mut stage, 51, wanted);
    assert_eq!(finish(&mut stage, 51).status, Status::Done);
    assert_eq!(shown(&stage, "things", 1), json!({"size": 13}));
    assert_eq!(shown(&stage, "things", 2), json!({}));
    assert_eq!(shown(&stage, "things", 3), json!({"size": 7}));
    assert_eq!(
        read(&stage, "things", 3).expect("a record").version,
        1,
        "nobody has changed it"
    );
    assert_consistent(&stage);
}

#[test]
fn fields_are_renamed_at_once_and_dropped_with_their_values() {
    let project = json!({"type": "reference", "collection": "tasks"});
    let mut stage = things(
        json!({"fields": {"name": {"type": "text", "unique": true}, "task": project, "note": {"type": "text"}}}),
        [json!({"name": "a", "note": "x"})],
    );
    run(
        &mut stage,
        &[
            task(70, "t"),
            thing(2, json!({"name": "b", "task": id(70).to_string(), "note": "y"})),
        ],
    )
    .result
    .expect("stored");
    let renamed = json!({"fields": {
        "title": {"type": "text", "unique": true, "renamed_from": "name"}, "task": project, "note": {"type": "text"}}});
    assert!(matches!(change(&mut stage, 50, renamed.clone()), Ok(Changed::Stored(_))));
    assert_eq!(shown(&stage, "things", 1), json!({"title": "a", "note": "x"}));
    assert!(
        matches!(change(&mut stage, 51, renamed), Ok(Changed::Stored(_))),
        "once more changes nothing"
    );
    assert_eq!(shown(&stage, "things", 1), json!({"title": "a", "note": "x"}));

    let work = begun(&mut stage, 52, json!({"fields": {"title": {"type": "text"}}}));
    assert_eq!(work.status, Status::Done, "it is done; cleaning up is left");
    assert_eq!(shown(&stage, "things", 1), json!({"title": "a"}));
    run(&mut stage, &[thing(3, json!({"title": "a"}))])
        .result
        .expect("no constraint is left");
    finish(&mut stage, 52);
    assert_consistent(&stage);
    run(&mut stage, &[operation(BatchVerb::Delete, "tasks", 70, Json::Null)])
        .result
        .expect("nothing refers to it");
    // The name stands for a new field now.
    assert!(matches!(
        change(
            &mut stage,
            53,
            json!({"fields": {"title": {"type": "text"}, "note": {"type": "text"}}})
        ),
        Ok(Changed::Stored(_))
    ));
    assert_eq!(shown(&stage, "things", 2), json!({"title": "b"}));
    let error = change(
        &mut stage,
        54,
        json!({"fields": {"a": {"type": "text", "renamed_from": "nothing"}}}),
    )
    .expect_err("refused");
    assert_eq!(error.errors[0].pointer, "/fields/a/renamed_from");
}

#[test]
fn a_required_field_fills_in_its_default_and_a_cancelled_change_leaves_nothing() {
    let fields = json!({"name": {"type": "text"}, "level": {"type": "integer"}});
    let mut stage = things(
        json!({ "fields": fields }),
        [json!({"name": "a"}), json!({"name": "b", "level": 5})],
    );
    let wanted = json!({"fields": {
        "name": {"type": "text", "required": true}, "level": {"type": "integer", "required": true, "default": 1},
        "kind": {"type": "select", "options": ["x", "y"], "required": true, "default": "x"}, "number": {"type": "sequence"}}});
    begun(&mut stage, 50, wanted.clone());
    assert!(!step(&mut stage, 50));
    let cancelled = stage.apply(OperationCancel { id: id(50) }).result.expect("cancelled");
    assert_eq!(cancelled.status, Status::Cancelled);
    finish(&mut stage, 50);
    assert_consistent(&stage);
    assert_eq!(shown(&stage, "things", 1), json!({"name": "a"}));
    stage
        .apply(OperationCancel { id: id(50) })
        .result
        .expect("it is cancelled already");

    begun(&mut stage, 51, wanted);
    let done = finish(&mut stage, 51);
    assert_eq!(done.status, Status::Done);
    assert_consistent(&stage);
    assert_eq!(
        shown(&stage, "things", 1),
        json!({"name": "a", "level": 1, "kind": "x", "number": 1})
    );
    assert_eq!(
        shown(&stage, "things", 2),
        json!({"name": "b", "level": 5, "kind": "x", "number": 2})
    );
    let late = stage.apply(OperationCancel { id: id(51) }).result;
    assert!(matches!(late, Err(Refusal::AlreadyExists { .. })), "{late:?}");
}

#[test]
fn a_collection_goes_with_its_records() {
    let fields = json!({"fields": {"name": {"type": "text", "unique": true}, "number": {"type": "sequence"},
        "task": {"type": "reference", "collection": "tasks"}}, "indexes": {"i": {"fields": ["number"]}}});
    let mut stage = things(
        fields.clone(),
        (1..=600).map(|number| json!({ "name": format!("n{number}") })),
    );
    run(
        &mut stage,
        &[
            task(5_000, "t"),
            thing(5_001, json!({"name": "t", "task": id(5_000).to_string()})),
        ],
    )
    .result
    .expect("stored");
    run(&mut stage, &[operation(BatchVerb::Patch, "things", 1, json!({"name": "x"}))])
        .result
        .expect("stored");
    let number = stage.catalog().named("things").expect("things").number;
    let drop = CollectionDrop {
        number,
        if_match: None,
        operation: id(50),
    };
    assert!(stage.apply(drop).result.expect("begun").is_some());
    assert!(stage.catalog().named("things").is_none());
    // The name is free at once.
    assert!(matches!(change(&mut stage, 51, fields), Ok(Changed::Stored(_))));
    run(&mut stage, &[thing(1, json!({"name": "n2"}))])
        .result
        .expect("another collection");
    assert!(!step(&mut stage, 50));
    let done = finish(&mut stage, 50);
    assert_eq!((done.status, done.done), (Status::Done, 601));
    assert_consistent(&stage);
    let left: Vec<String> = stage
        .keys()
        .into_iter()
        .filter(|key| key.contains(&format!("collection={number} ")))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    let shown = stage
        .keys()
        .into_iter()
        .filter(|key| key.ends_with(&format!("collection={number}")))
        .count();
    assert_eq!(shown, 1, "its schema's row keeps its name");
}

/// Schemas that the property test goes to and fro between.
fn schemas() -> Vec<Json> {
    vec![
        json!({"fields": {"a": {"type": "text"}, "b": {"type": "integer"}}}),
        json!({"fields": {"a": {"type": "text", "unique": true}, "b": {"type": "integer"}}}),
        json!({"fields": {"a": {"type": "text"}, "b": {"type": "number", "required": true, "default": 1}}, "indexes": {"i": {"fields": ["b", "a"]}}}),
        json!({"fields": {"a": {"type": "select", "options": ["1", "2", "3"]}, "b": {"type": "text"}}, "indexes": {"i": {"fields": ["a"]}}}),
        json!({"fields": {"a": {"type": "integer", "max": 2}, "n": {"type": "sequence"}}, "indexes": {"i": {"fields": ["a", "b"]}}}),
        json!({"fields": {"a": {"type": "tags"}, "b": {"type": "text", "unique": true}}}),
        json!({"fields": {"a": {"type": "text"}, "self": {"type": "reference", "collection": "things", "on_delete": "set_null"}, "b": {"type": "integer"}}}),
        json!({"fields": {"b": {"type": "text", "renamed_from": "a"}}}),
    ]
}

#[test]
fn whatever_happens_meanwhile_every_entry_is_right_in_the_end() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut stage = things(schemas()[0].clone(), []);
        let (mut operation, mut open) = (100, Vec::new());
        for _ in 0..120 {
            match random.below(10) {
                0 => {
                    let wanted = schemas()[random.below(8) as usize].clone();
                    operation += 1;
                    if matches!(change(&mut stage, operation, wanted), Ok(Changed::Begun(_))) {
                        open.push(operation);
                    }
                }
                1 if random.below(4) == 0 => {
                    let number = stage.catalog().named("things").expect("things").number;
                    operation += 1;
                    let drop = CollectionDrop {
                        number,
                        if_match: None,
                        operation: id(operation),
                    };
                    if let Ok(done) = stage.apply(drop).result {
                        open.extend(done.map(|_| operation));
                        operation += 1;
                        assert!(matches!(
                            change(&mut stage, operation, schemas()[0].clone()),
                            Ok(Changed::Stored(_))
                        ));
                    }
                }
                1 if !open.is_empty() => {
                    let which = open[random.below(open.len() as u64) as usize];
                    let _ = stage.apply(OperationCancel { id: id(which) });
                }
                2 | 3 if !open.is_empty() => {
                    let which = open[random.below(open.len() as u64) as usize];
                    if step(&mut stage, which) {
                        open.retain(|one| *one != which);
                    }
                }
                _ => write_something(&mut stage, &mut random),
            }
        }
        for operation in open {
            finish(&mut stage, operation);
        }
        assert_consistent(&stage);
    }
}

/// A write that may be refused.
fn write_something(stage: &mut Stage, random: &mut Random) {
    let number = u128::from(random.below(12) + 1);
    let mut fields = serde_json::Map::new();
    for field in &stage.catalog().named("things").expect("things").fields {
        let value = random.below(4);
        let value = match field.kind.to_api() {
            api::body::collection::FieldType::Tags => json!([value.to_string()]),
            api::body::collection::FieldType::Reference => json!(id(u128::from(random.below(12) + 1)).to_string()),
            api::body::collection::FieldType::Sequence | api::body::collection::FieldType::Document => continue,
            api::body::collection::FieldType::Integer | api::body::collection::FieldType::Number => json!(value),
            _ => json!(value.to_string()),
        };
        if random.below(5) > 0 {
            fields.insert(field.name.clone(), value);
        }
    }
    let verb = match random.below(3) {
        0 => BatchVerb::Put,
        1 => BatchVerb::Patch,
        _ => BatchVerb::Delete,
    };
    let fields = if verb == BatchVerb::Delete {
        Json::Null
    } else {
        Json::Object(fields)
    };
    if let Ok(command) = decide_all(stage, &[operation(verb, "things", number, fields)]) {
        let schema = Some(stage.header().schema);
        let _ = stage.apply_as(command, None, schema);
    }
}
