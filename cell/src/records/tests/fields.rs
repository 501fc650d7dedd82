use super::*;

/// A schema with a field of every type.
fn every_type() -> Stage {
    let mut stage = Stage::with_template("workspace");
    let schema = serde_json::from_value(json!({
        "fields": {
            "text": {"type": "text", "max_length": 5},
            "number": {"type": "number", "min": 0, "max": 10},
            "integer": {"type": "integer"},
            "flag": {"type": "bool"},
            "day": {"type": "date"},
            "moment": {"type": "timestamp"},
            "choice": {"type": "select", "options": ["a", "b"]},
            "choices": {"type": "multi_select", "options": ["a", "b"]},
            "tags": {"type": "tags", "max_length": 2},
            "task": {"type": "reference", "collection": "tasks"},
            "person": {"type": "user"},
            "anything": {"type": "json", "max_length": 40},
            "counter": {"type": "sequence"}
        }
    }))
    .expect("a schema");
    super::schemas::put(&mut stage, "all", &schema);
    stage
}

#[test]
fn every_type_takes_its_values_and_gives_them_back() {
    let mut stage = every_type();
    run(&mut stage, &[task(9, "target")]).result.expect("stored");
    let fields = json!({
        "text": "héé🎈", "number": 1.5, "integer": -9_007_199_254_740_993_i64, "flag": false, "day": "2024-02-29",
        "moment": "2026-11-22T21:17:00.5Z", "choice": "b", "choices": ["b", "a", "b"], "tags": ["x"],
        "task": id(9).to_string(), "person": "u-1", "anything": {"a": [1, null, "x"]}, "counter": 7
    });
    run(&mut stage, &[create("all", 1, fields)]).result.expect("stored");
    let expected = json!({
        "text": "héé🎈", "number": 1.5, "integer": -9_007_199_254_740_993_i64, "flag": false, "day": "2024-02-29",
        "moment": "2026-11-22T21:17:00.5Z", "choice": "b", "choices": ["b", "a"], "tags": ["x"],
        "task": id(9).to_string(), "person": "u-1", "anything": {"a": [1, null, "x"]}, "counter": 7
    });
    assert_eq!(shown(&stage, "all", 1), expected);
    let next = json!({"text": "\"\\\n", "day": "0001-01-01", "moment": "9999-12-30T21:00:00Z", "number": 3, "tags": []});
    run(&mut stage, &[create("all", 2, next)]).result.expect("stored");
    a_page_says_what_its_records_say(&stage);
}

/// A list writes records straight from their rows: to the byte what others make of them.
fn a_page_says_what_its_records_say(stage: &Stage) {
    let (catalog, snapshot) = (stage.catalog(), stage.snapshot());
    let all = catalog.named("all").expect("all");
    let tasks = |_: &str| true;
    let asker = super::guard::Asker {
        auth: crate::expr::Auth {
            id: "token:ada",
            name: "ada",
            role: api::body::token::Role::Member,
        },
        now: 1,
    };
    let expand = Expand::read(&catalog, all, &["task".to_owned()], asker, tasks).expect("a reference");
    let one = |number| {
        let id = api::ids::Id(id(number));
        crate::records::query::get(&snapshot, SPACE, all, id, Sight::default(), &expand).expect("a record")
    };
    for (limit, items, count) in [(10, vec![one(1), one(2)], None), (1, vec![one(1)], Some(2))] {
        let query = api::body::record::ListQuery {
            limit,
            count: count.is_some(),
            ..Default::default()
        };
        let mut budget = crate::records::budget::Budget::whole();
        let list = crate::records::query::list_within;
        let page = list(&snapshot, SPACE, all, &query, Sight::default(), &expand, &mut budget);
        let page = page.expect("a list").expect("a page");
        let next_cursor = page.read().expect("JSON").next_cursor;
        assert_eq!(next_cursor.is_some(), limit == 1);
        let wanted = api::body::record::Page {
            items,
            next_cursor,
            count,
        };
        assert_eq!(*page.json(), serde_json::to_vec(&wanted).expect("JSON"));
    }
}

#[test]
fn a_timestamp_may_be_epoch_seconds() {
    let mut stage = every_type();
    run(&mut stage, &[create("all", 1, json!({"moment": 1_370_565_812}))])
        .result
        .expect("stored");
    assert_eq!(shown(&stage, "all", 1)["moment"], "2013-06-07T00:43:32Z");
}

#[test]
fn every_wrong_value_is_named_by_its_field() {
    let stage = every_type();
    let wrong = [
        ("text", json!(5)),
        ("text", json!("sixsix")),
        ("text", json!("a\u{0}b")),
        ("number", json!("1")),
        ("number", json!(-1)),
        ("number", json!(10.5)),
        ("integer", json!(1.5)),
        ("integer", json!(1e300)),
        ("flag", json!("true")),
        ("day", json!("2026-02-30")),
        ("day", json!("22.11.2026")),
        ("moment", json!("noon")),
        ("moment", json!(1e18)),
        ("choice", json!("c")),
        ("choices", json!(["a", "c"])),
        ("choices", json!("a")),
        ("tags", json!(["a", "b", "c"])),
        ("tags", json!([""])),
        ("task", json!("not-an-id")),
        ("person", json!({})),
        ("anything", json!("x".repeat(41))),
        ("counter", json!(0)),
        ("nonsense", json!(1)),
    ];
    for (field, value) in wrong {
        let shown = value.to_string();
        let error = decide_all(&stage, &[create("all", 1, json!({ field: value }))]).expect_err(&shown);
        assert_eq!(error.errors.len(), 1, "{field} = {shown}");
        assert_eq!(error.errors[0].pointer, format!("/operations/0/fields/{field}"));
        assert!(error.errors[0].message.len() > 5, "{field} = {shown} needs a message");
    }
}

#[test]
fn all_wrong_fields_are_told_at_once() {
    let stage = Stage::with_template("workspace");
    let error = decide_all(
        &stage,
        &[create("tasks", 1, json!({"points": "x", "status": "gone", "tilte": "x"}))],
    )
    .expect_err("wrong");
    let pointers: Vec<_> = error
        .errors
        .iter()
        .map(|error| error.pointer.rsplit('/').next().unwrap_or(""))
        .collect();
    assert_eq!(pointers, ["points", "status", "tilte", "title"], "title is required");
}

#[test]
fn a_patch_merges_json_and_null_removes() {
    let mut stage = every_type();
    run(
        &mut stage,
        &[create("all", 1, json!({"anything": {"a": 1, "b": 2}, "text": "x"}))],
    )
    .result
    .expect("stored");
    let patch = json!({"anything": {"a": null, "c": 3}, "text": null});
    run(&mut stage, &[operation(BatchVerb::Patch, "all", 1, patch)])
        .result
        .expect("stored");
    assert_eq!(shown(&stage, "all", 1), json!({"anything": {"b": 2, "c": 3}, "counter": 1}));
}

#[test]
fn a_required_field_cannot_be_patched_away() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[task(1, "a")]).result.expect("stored");
    let error = decide_all(&stage, &[operation(BatchVerb::Patch, "tasks", 1, json!({"title": null}))]).expect_err("required");
    assert_eq!(error.errors[0].message, "is required");
}

#[test]
fn a_text_that_is_too_long_for_an_index_is_refused_before_the_log() {
    let mut stage = Stage::with_template("workspace");
    let schema = serde_json::from_value(json!({
        "fields": {"a": {"type": "text"}, "b": {"type": "text"}, "c": {"type": "text"}, "d": {"type": "text", "unique": true}},
        "indexes": {"all": {"fields": ["a", "b", "c", "d"]}}
    }))
    .expect("a schema");
    super::schemas::put(&mut stage, "wide", &schema);
    let text = |bytes: usize| "\u{1}".repeat(bytes);
    let error = decide_all(&stage, &[create("wide", 1, json!({"a": text(1_025), "b": "b"}))]).expect_err("too long");
    assert_eq!(error.errors[0].pointer, "/operations/0/fields/a");
    let longest = json!({"a": text(1_024), "b": text(1_024), "c": text(1_024), "d": text(1_024)});
    run(&mut stage, &[create("wide", 1, longest)])
        .result
        .expect("the longest key fits");
}
