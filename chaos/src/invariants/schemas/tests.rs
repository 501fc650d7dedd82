//! Runs that the checker must accept, and runs that it must refuse.

use serde_json::{Value, json};

use super::*;
use crate::ending::Work;
use crate::history::Act;
use crate::invariants::stories::{Story, craft, reshape, shaped};

const CHECKER: Schemas = Schemas;

fn with(field: &str, is: Value) -> Value {
    let mut schema = names::first_schema();
    schema["fields"][field] = is;
    schema
}

fn unique() -> Value {
    with("code", json!({ "type": "text", "unique": true }))
}

fn integer() -> Value {
    with("amount", json!({ "type": "integer" }))
}

/// A run in which one record was written, before anything else.
fn story() -> Story {
    let mut story = Story::new();
    story.shapes();
    story
}

/// A change whose operation ended so, as everybody says at the end.
fn changed(story: &mut Story, (from, to): (u64, u64), what: &str, schema: Value, status: &str, listed: &[&str]) {
    let id = format!("o{from}");
    let mut action = reshape("shaped", what, schema.clone(), Some(&id), status);
    if let Action::Reshape { listed: all, .. } = &mut action {
        all.extend(listed.iter().map(|id| (*id).to_owned()));
    }
    story.ok(from, to, action);
    let ending = &mut story.ending.tenants[0];
    if status == "done" {
        ending.left = Some(schema.clone());
    }
    let status = if status.is_empty() { "done" } else { status }.to_owned();
    let mut operations = ending.shapes.pop().map(|shape| shape.operations).unwrap_or_default();
    operations.push(Work { id, status, phase: None });
    ending.shapes = vec![Shape {
        node: "n1".to_owned(),
        schema,
        operations,
        lists: Vec::new(),
    }];
}

fn make(story: &mut Story, (from, to): (u64, u64), id: &str, fields: serde_json::Map<String, Value>) {
    story.ok(from, to, craft(id, Act::Create(fields.clone()), 1));
    story.holds("shaped", id, Value::Object(fields));
}

fn held<'a>(story: &'a mut Story, id: &str) -> &'a mut crate::ending::Record {
    story.ending.tenants[0]
        .records
        .get_mut("shaped")
        .unwrap()
        .get_mut(id)
        .unwrap()
}

/// Everything that is there has an amount of the other type.
fn retype(story: &mut Story) {
    for record in story.ending.tenants[0].records.get_mut("shaped").unwrap().values_mut() {
        let number: u64 = record.fields["amount"].as_str().unwrap().parse().unwrap();
        record.fields.insert("amount".to_owned(), json!(number));
    }
}

#[test]
fn a_run_with_changes_is_green() {
    let mut story = story();
    story.assert_damage_is_found(&CHECKER);
    Story::new().assert_no_damage(&CHECKER);
    changed(&mut story, (300, 310), "add-unique", unique(), "done", &[]);
    changed(&mut story, (320, 330), "drop-unique", names::first_schema(), "done", &[]);
    changed(&mut story, (340, 350), "to-integer", integer(), "done", &[]);
    retype(&mut story);
    story.assert_damage_is_found(&CHECKER);
}

#[test]
fn what_is_stuck_forgotten_or_told_in_two_ways_is_found() {
    let mut stuck = story();
    changed(&mut stuck, (300, 310), "to-integer", integer(), "failed", &["s"]);
    stuck.ending.tenants[0].shapes[0].operations[0].phase = Some("cleaning".to_owned());
    stuck.assert_finds(&CHECKER, &["n1: operation o300 is still failed"]);
    let mut forgotten = story();
    changed(&mut forgotten, (300, 310), "add-unique", unique(), "done", &[]);
    forgotten.ending.tenants[0].shapes[0].operations.clear();
    forgotten.assert_finds(&CHECKER, &["n1 does not know operation o300"]);
    let mut other = story();
    changed(&mut other, (300, 310), "add-unique", unique(), "done", &[]);
    other.ending.tenants[0].shapes[0].operations[0].status = "failed".to_owned();
    other.assert_finds(&CHECKER, &["o300 (add-unique", "is failed, and was Some(\"done\")"]);
    let mut nodes = story();
    changed(&mut nodes, (300, 310), "add-unique", unique(), "done", &[]);
    let mut second = nodes.ending.tenants[0].shapes[0].clone();
    (second.node, second.schema) = ("n2".to_owned(), names::first_schema());
    nodes.ending.tenants[0].shapes.push(second);
    nodes.assert_finds(&CHECKER, &["n1 has the schema", "n2 has"]);
}

#[test]
fn the_schema_is_that_of_the_last_change_that_was_done() {
    let mut older = story();
    changed(&mut older, (300, 310), "add-unique", unique(), "done", &[]);
    older.ending.tenants[0].left = Some(names::first_schema());
    older.assert_finds(&CHECKER, &["the schema is", "add-unique"]);
    // Of one that nobody had an answer to, nobody knows.
    let mut unsure = story();
    unsure.unknown(300, 310, reshape("shaped", "add-unique", unique(), None, ""));
    unsure.assert_green(&CHECKER);
    unsure.ending.tenants[0].left = Some(unique());
    unsure.assert_green(&CHECKER);
    let mut failed = story();
    failed.failed(300, 310, reshape("shaped", "add-unique", unique(), None, ""));
    failed.ending.tenants[0].left = Some(unique());
    failed.assert_finds(&CHECKER, &["the schema is", "none"]);
}

#[test]
fn a_change_that_no_record_minds_does_not_fail() {
    let mut story = story();
    let schema = with("level", json!({ "type": "integer", "required": true, "default": 5 }));
    changed(&mut story, (300, 310), "require", schema, "failed", &["s"]);
    story.assert_finds(&CHECKER, &["require", "failed at s, which fitted"]);
}

#[test]
fn nobody_cancels_unasked() {
    let mut story = story();
    changed(&mut story, (300, 310), "add-unique", unique(), "cancelled", &[]);
    story.assert_finds(&CHECKER, &["is cancelled, and nobody asked"]);
    let Action::Reshape { cancelled, .. } = &mut story.history.operations.last_mut().unwrap().action else {
        panic!()
    };
    *cancelled = true;
    story.assert_green(&CHECKER);
}

#[test]
fn duplicates_are_listed_and_nothing_else() {
    for (listed, status, words) in [
        (&["t"][..], "failed", ""),
        (&["b0007"], "failed", ""),
        (&[], "done", "is done although {\"b0007\", \"t\"} did not fit all along"),
        (&["t", "s"], "failed", "failed at s, which fitted"),
        (&[], "failed", "failed without a record"),
        (&["u"], "failed", "does not list {\"b0007\", \"t\"}"),
        (&["t"], "done", "lists [\"t\"], and is Some(\"done\")"),
    ] {
        let mut story = story();
        make(&mut story, (240, 250), "t", shaped(2, "acme--code-7"));
        // One that was a duplicate for a moment.
        make(&mut story, (240, 250), "u", shaped(3, "acme--code-8"));
        let own = shaped(4, "acme-c4");
        story.ok(300, 320, craft("u", Act::Patch(own.clone()), 2));
        let record = held(&mut story, "u");
        (record.version, record.fields) = (2, own);
        changed(&mut story, (290, 350), "add-unique", unique(), status, listed);
        if words.is_empty() {
            story.assert_green(&CHECKER);
        } else {
            story.assert_finds(&CHECKER, &[words]);
        }
    }
}

#[test]
fn what_is_no_integer_is_listed() {
    for (listed, status, words) in [
        (&["t"][..], "failed", ""),
        (&[], "done", "is done although {\"t\"}"),
        (&["b0001"], "failed", "failed at b0001, which fitted"),
    ] {
        let mut story = story();
        let mut odd = shaped(2, "acme-c2");
        odd.insert("amount".to_owned(), json!("many"));
        make(&mut story, (240, 250), "t", odd);
        changed(&mut story, (290, 350), "to-integer", integer(), status, listed);
        if words.is_empty() {
            story.assert_green(&CHECKER);
        } else {
            story.assert_finds(&CHECKER, &[words]);
        }
    }
}

#[test]
fn nobody_gets_what_is_unique() {
    let mut during = story();
    changed(&mut during, (300, 310), "add-unique", unique(), "done", &[]);
    make(&mut during, (320, 330), "t", shaped(2, "acme-c1"));
    during.assert_finds(&CHECKER, &["t got acme-c1", "which s has"]);
    during.assert_finds(&CHECKER, &["s and t both have acme-c1"]);
    let mut first = story();
    changed(&mut first, (300, 310), "add-unique", unique(), "done", &[]);
    make(&mut first, (320, 330), "t", shaped(2, "acme--code-9"));
    first.assert_finds(&CHECKER, &["t got acme--code-9", "number 9 of the first has"]);
    // Neither before it is done, nor from when it is dropped.
    let mut allowed = story();
    make(&mut allowed, (305, 315), "u", shaped(3, "acme--code-9"));
    changed(&mut allowed, (300, 310), "add-unique", unique(), "done", &[]);
    changed(&mut allowed, (320, 330), "drop-unique", names::first_schema(), "done", &[]);
    make(&mut allowed, (322, 340), "t", shaped(2, "acme-c1"));
    allowed.assert_green(&CHECKER);
}

#[test]
fn lists_and_records_are_the_same() {
    let mut story = story();
    changed(&mut story, (300, 310), "add-unique", unique(), "done", &[]);
    let of_three: Vec<String> = (0..names::BALLAST)
        .filter(|number| number % 8 == 3)
        .map(|number| format!("b{number:04}"))
        .collect();
    let lists = vec![("group".to_owned(), json!(3), of_three)];
    story.ending.tenants[0].shapes[0].lists = lists;
    story.assert_green(&CHECKER);
    let mut lacks = story.clone();
    lacks.ending.tenants[0].shapes[0].lists[0].2.pop();
    lacks.assert_finds(&CHECKER, &["b1995 has group 3, and the list has it not"]);
    let mut more = story.clone();
    more.ending.tenants[0].shapes[0].lists[0].2.push("s".to_owned());
    more.assert_finds(&CHECKER, &["the list of group 3 has s, which has not"]);
    story.ending.tenants[0].shapes[0].lists[0].2.push("b0003".to_owned());
    story.assert_finds(&CHECKER, &["has records twice"]);
}

#[test]
fn values_and_versions_are_those_of_the_writers() {
    let mut raised = story();
    held(&mut raised, "s").version = 2;
    raised.assert_finds(&CHECKER, &["s is", "it was left as"]);
    let mut first = story();
    held(&mut first, "b0004").version = 2;
    first.assert_finds(&CHECKER, &["b0004 is", "nobody has changed it"]);
    let mut gone = story();
    gone.ending.tenants[0].records.get_mut("shaped").unwrap().remove("b0004");
    gone.assert_finds(&CHECKER, &["number 4 of the first records is gone"]);
    let mut phantom = story();
    phantom.holds("shaped", "x", Value::Object(shaped(9, "acme-c9")));
    phantom.assert_finds(&CHECKER, &["x is", "nobody made it"]);
    let mut skipped = story();
    changed(&mut skipped, (300, 310), "to-integer", integer(), "done", &[]);
    retype(&mut skipped);
    skipped.assert_green(&CHECKER);
    held(&mut skipped, "b0005").fields.remove("amount");
    skipped.assert_finds(&CHECKER, &["b0005 is"]);
    let mut other = story();
    held(&mut other, "s").fields.insert("amount".to_owned(), json!("7"));
    other.assert_finds(&CHECKER, &["s is", "it was left as"]);
    let mut level = story();
    let schema = with("level", json!({ "type": "integer", "required": true, "default": 5 }));
    changed(&mut level, (300, 310), "require", schema, "done", &[]);
    level.assert_finds(&CHECKER, &["s is"]);
}

#[test]
fn the_last_request_of_which_nobody_knows_may_have_been() {
    let mut story = story();
    story.unknown(300, 310, craft("s", Act::Patch(shaped(2, "acme-c2")), 0));
    story.assert_green(&CHECKER);
    let record = held(&mut story, "s");
    (record.version, record.fields) = (2, shaped(2, "acme-c2"));
    story.assert_green(&CHECKER);
    held(&mut story, "s").version = 3;
    story.assert_finds(&CHECKER, &["s is"]);
}
