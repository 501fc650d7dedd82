//! Stories of what is left.

use serde_json::json;

use super::*;
use crate::invariants::stories::{Story, claim, comment, number, once, release, remove_task, transaction, write};

const CHECKER: Durability = Durability;

fn everything() -> Story {
    let mut story = Story::new();
    story.ok(0, 10, write("r", "v1"));
    story.ok(5, 15, write("r", "v2"));
    story.unknown(12, 13, write("r", "v3"));
    story.failed(12, 13, write("r", "v4"));
    story.ok(20, 30, transaction(&[("l", &[])], &[("l", 1)]));
    story.ok(40, 50, transaction(&[("l", &[1])], &[("l", 2)]));
    story.unknown(40, 50, transaction(&[], &[("l", 3)]));
    story.ok(0, 10, claim("n1", "c1"));
    story.ok(0, 10, claim("n2", "c2"));
    story.ok(20, 30, release("c1"));
    story.unknown(0, 10, claim("n3", "c3"));
    story.ok(0, 10, number("p", "s1", 1));
    story.ok(0, 10, once("o1", &["x1"]));
    story.ok(0, 10, comment("m1", "t1"));
    story.ok(0, 10, comment("m2", "t2"));
    story.unknown(20, 30, remove_task("t2"));
    story.ok(20, 30, remove_task("t3"));
    story.holds("registers", "r", json!({ "value": "v1" }));
    story.lists("l", &[1, 2]);
    story.holds("claims", "c2", json!({ "name": "n2" }));
    story.holds("claims", "c3", json!({ "name": "n3" }));
    story.holds("numbered", "s1", json!({ "project": "p", "number": 1 }));
    story.holds("once", "x1", json!({ "key": "o1" }));
    story.holds("tasks", "t1", json!({ "title": "acme-t1" }));
    story.holds("comments", "m1", json!({ "task": "t1" }));
    story
}

/// The same without one record.
fn without(collection: &str, id: &str) -> Story {
    let mut story = everything();
    assert!(remove(&mut story.ending.tenants[0], collection, id));
    story
}

/// The same with one record more, or another.
fn with(collection: &str, id: &str, fields: serde_json::Value) -> Story {
    let mut story = everything();
    story.holds(collection, id, fields);
    story
}

#[test]
fn what_was_acknowledged_and_perhaps_more_is_green() {
    everything().assert_green(&CHECKER);
    with("registers", "r", json!({ "value": "v2" })).assert_green(&CHECKER);
    with("registers", "r", json!({ "value": "v3" })).assert_green(&CHECKER);
    with("lists", "l", json!({ "elements": [1, 3, 2] })).assert_green(&CHECKER);
    without("claims", "c3").assert_green(&CHECKER);
}

#[test]
fn what_is_gone_is_found() {
    for (collection, id) in [
        ("registers", "r"),
        ("lists", "l"),
        ("claims", "c2"),
        ("numbered", "s1"),
        ("once", "x1"),
        ("comments", "m1"),
    ] {
        without(collection, id).assert_finds(&CHECKER, &["lost: acme"]);
    }
    with("lists", "l", json!({ "elements": [1] })).assert_finds(&CHECKER, &["lost: acme: 2 of list l"]);
}

#[test]
fn an_overwritten_value_that_came_back_is_found() {
    let mut story = everything();
    story.ok(60, 70, write("r", "v5"));
    story.assert_finds(&CHECKER, &["lost: acme", "\"v1\"", "\"v5\" was acknowledged after it"]);
}

#[test]
fn lists_out_of_order_and_elements_twice_are_found() {
    with("lists", "l", json!({ "elements": [2, 1] })).assert_finds(&CHECKER, &["reordered", "process 5"]);
    with("lists", "l", json!({ "elements": [1, 2, 2] })).assert_finds(&CHECKER, &["twice", "2"]);
}

#[test]
fn deletions_that_did_not_last_are_found() {
    with("claims", "c1", json!({ "name": "n1" })).assert_finds(&CHECKER, &["undeleted", "c1"]);
    with("tasks", "t3", json!({ "title": "acme-t3" })).assert_finds(&CHECKER, &["undeleted", "t3"]);
}

#[test]
fn what_nobody_wrote_is_a_phantom() {
    with("registers", "r", json!({ "value": "v9" })).assert_finds(&CHECKER, &["phantom", "\"v9\"", "nobody"]);
    with("registers", "q", json!({ "value": "v1" })).assert_finds(&CHECKER, &["phantom", "q in registers"]);
    with("lists", "l", json!({ "elements": [1, 2, 7] })).assert_finds(&CHECKER, &["phantom", "\"7\""]);
    with("lists", "l", json!({ "elements": [1, 2, "x"] })).assert_finds(&CHECKER, &["phantom", "in lists"]);
    with("claims", "c9", json!({ "name": "n9" })).assert_finds(&CHECKER, &["phantom", "c9"]);
    with("numbered", "s1", json!({ "project": "q", "number": 1 })).assert_finds(&CHECKER, &["phantom", "s1"]);
    with("once", "x9", json!({ "key": "o9" })).assert_finds(&CHECKER, &["phantom", "o9"]);
    with("comments", "m9", json!({ "task": "t1" })).assert_finds(&CHECKER, &["phantom", "m9"]);
}

#[test]
fn what_failed_is_a_phantom() {
    with("registers", "r", json!({ "value": "v4" })).assert_finds(&CHECKER, &["phantom", "that failed (process 3"]);
    let mut story = everything();
    story.failed(0, 10, claim("n4", "c4"));
    story.holds("claims", "c4", json!({ "name": "n4" }));
    story.assert_finds(&CHECKER, &["phantom", "c4", "failed"]);
}

#[test]
fn another_number_of_tenants_is_invalid() {
    let mut story = everything();
    story.ending.tenants.pop();
    assert!(matches!(story.verdict(&CHECKER), Verdict::Invalid { .. }));
}

#[test]
fn its_damage_is_found() {
    Story::new().assert_no_damage(&CHECKER);
    everything().assert_damage_is_found(&CHECKER);
    for action in [number("p", "s1", 1), once("o1", &["x1"]), transaction(&[], &[("l", 1)])] {
        let mut story = Story::new();
        story.ok(0, 10, action);
        match &story.history.operations[0].action {
            Action::Number { .. } => story.holds("numbered", "s1", json!({ "project": "p", "number": 1 })),
            Action::Once { .. } => story.holds("once", "x1", json!({ "key": "o1" })),
            _ => story.lists("l", &[1]),
        }
        story.assert_damage_is_found(&CHECKER);
    }
}

#[test]
fn a_usage_that_counts_other_records_than_there_are_is_found() {
    let mut story = everything();
    let records: usize = story.ending.tenants[0]
        .records
        .values()
        .map(std::collections::BTreeMap::len)
        .sum();
    story.ending.tenants[0].counted = Some(records as u64);
    story.assert_green(&CHECKER);
    story.ending.tenants[0].counted = Some(records as u64 + 1);
    story.assert_finds(&CHECKER, &["usage counts", &(records + 1).to_string()]);
}
