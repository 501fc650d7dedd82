use super::*;
use crate::machine::idempotency::IdempotencyKey;
use crate::machine::refusal::Refusal;
use crate::records::write::RecordsWrite;
use crate::records::write::{Expect, Operation};

#[test]
fn a_record_its_index_entries_and_its_event_are_one_commit() {
    let mut stage = Stage::with_template("workspace");
    let before = (stage.keys().len(), stage.header().position);
    let answer = run(&mut stage, &[task(1, "write it")]);
    assert_eq!(answer.position, before.1 + 1);
    let written = &answer.result.expect("stored")[0];
    assert!(written.created);
    // The record, four index entries, the counter of the sequence and the event.
    assert_eq!(stage.keys().len(), before.0 + 7);
    assert_eq!(
        shown(&stage, "tasks", 1),
        json!({"number": 1, "title": "write it", "status": "backlog", "priority": "none"})
    );
}

#[test]
fn deleting_a_record_leaves_only_its_events_and_its_history() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[task(1, "first")]).result.expect("stored");
    let before = stage.keys();
    run(&mut stage, &[task(2, "second")]).result.expect("stored");
    run(&mut stage, &[operation(BatchVerb::Delete, "tasks", 2, Json::Null)])
        .result
        .expect("deleted");
    let mut left: Vec<_> = stage.keys().into_iter().filter(|key| !before.contains(key)).collect();
    left.retain(|key| !key.starts_with("history"));
    assert_eq!(left.len(), 2, "the events of the creation and of the deletion: {left:?}");
    assert_eq!(read(&stage, "tasks", 2), None);
}

#[test]
fn numbers_of_a_sequence_are_never_used_again_and_an_imported_one_raises_the_counter() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[task(1, "a"), task(2, "b")]).result.expect("stored");
    run(&mut stage, &[operation(BatchVerb::Delete, "tasks", 2, Json::Null)])
        .result
        .expect("deleted");
    run(&mut stage, &[create("tasks", 3, json!({"title": "c"}))])
        .result
        .expect("stored");
    assert_eq!(shown(&stage, "tasks", 3)["number"], 3);
    run(
        &mut stage,
        &[create("tasks", 4, json!({"title": "d", "number": 40})), task(5, "e")],
    )
    .result
    .expect("stored");
    assert_eq!(shown(&stage, "tasks", 5)["number"], 41);
    run(
        &mut stage,
        &[create("tasks", 6, json!({"title": "f", "number": 10})), task(7, "g")],
    )
    .result
    .expect("stored");
    assert_eq!(
        shown(&stage, "tasks", 7)["number"],
        42,
        "a smaller number does not lower the counter"
    );
}

#[test]
fn a_sequence_counts_within_its_reference() {
    let mut stage = Stage::with_template("workspace");
    let projects = [
        create("projects", 1, json!({"name": "a"})),
        create("projects", 2, json!({"name": "b"})),
    ];
    run(&mut stage, &projects).result.expect("stored");
    for (number, project) in [(11, 1), (12, 2), (13, 1)] {
        let fields = json!({"title": "t", "project": id(project).to_string()});
        run(&mut stage, &[create("tasks", number, fields)]).result.expect("stored");
    }
    let numbers: Vec<_> = [11, 12, 13]
        .iter()
        .map(|number| shown(&stage, "tasks", *number)["number"].clone())
        .collect();
    assert_eq!(numbers, [1, 1, 2]);
}

#[test]
fn put_replaces_the_record_but_keeps_its_number_and_its_creation() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[create("tasks", 1, json!({"title": "a", "points": 3}))])
        .result
        .expect("stored");
    let first = read(&stage, "tasks", 1).expect("a record");
    run(&mut stage, &[operation(BatchVerb::Put, "tasks", 1, json!({"title": "b"}))])
        .result
        .expect("stored");
    let second = read(&stage, "tasks", 1).expect("a record");
    assert_eq!((second.version, second.created), (2, first.created));
    assert!(second.updated > first.updated);
    assert_eq!(
        shown(&stage, "tasks", 1),
        json!({"number": 1, "title": "b", "status": "backlog", "priority": "none"})
    );
}

#[test]
fn a_patch_that_was_decided_on_an_older_version_is_decided_again() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[task(1, "a")]).result.expect("stored");
    let late = decide_all(&stage, &[operation(BatchVerb::Patch, "tasks", 1, json!({"points": 1}))]).expect("a decision");
    run(&mut stage, &[operation(BatchVerb::Patch, "tasks", 1, json!({"points": 2}))])
        .result
        .expect("stored");
    let before = stage.keys();
    assert_eq!(stage.apply(late).result, Err(Refusal::Stale));
    assert_eq!(stage.keys(), before, "a refusal changes nothing");
    assert_eq!(shown(&stage, "tasks", 1)["points"], 2);
}

#[test]
fn a_command_that_was_decided_under_another_schema_is_stale() {
    let mut stage = Stage::with_template("workspace");
    let command = decide_all(&stage, &[task(1, "a")]).expect("a decision");
    let other = stage.header().schema + 1;
    assert_eq!(stage.apply_as(command, None, Some(other)).result, Err(Refusal::Stale));
}

#[test]
fn if_match_refuses_another_version_with_the_current_one() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[task(1, "a")]).result.expect("stored");
    let mut put = operation(BatchVerb::Put, "tasks", 1, json!({"title": "b"}));
    put.if_match = Some(9);
    assert_eq!(run(&mut stage, &[put]).result, Err(Refusal::VersionMismatch { current: 1 }));
    let mut delete = operation(BatchVerb::Delete, "tasks", 1, Json::Null);
    delete.if_match = Some(1);
    run(&mut stage, &[delete]).result.expect("deleted");
}

#[test]
fn a_unique_value_is_taken_until_its_record_lets_go_of_it() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[create("projects", 1, json!({"name": "a", "key": "A"}))])
        .result
        .expect("stored");
    let second = [create("projects", 2, json!({"name": "b", "key": "A"}))];
    let taken = Refusal::Unique {
        collection: "projects".into(),
        fields: vec!["key".into()],
        holder: id(1),
    };
    assert_eq!(run(&mut stage, &second).result, Err(taken));
    run(&mut stage, &[operation(BatchVerb::Patch, "projects", 1, json!({"key": "B"}))])
        .result
        .expect("stored");
    run(&mut stage, &second).result.expect("the value is free");
    run(
        &mut stage,
        &[
            create("projects", 3, json!({"name": "c"})),
            create("projects", 4, json!({"name": "d"})),
        ],
    )
    .result
    .expect("nulls are not compared");
}

#[test]
fn the_same_key_is_answered_with_the_first_reply_and_applied_once() {
    let mut stage = Stage::with_template("workspace");
    let key = IdempotencyKey {
        scope: [1; 32],
        body: [2; 32],
    };
    let command = decide_all(&stage, &[task(1, "a")]).expect("a decision");
    let first = stage.apply_as(command, Some(key), None);
    let (position, keys) = (stage.header().position, stage.keys());
    let again = decide_all(&stage, &[task(2, "a")]).expect("a decision");
    let second = stage.apply_as(again.clone(), Some(key), None);
    assert_eq!(second, first);
    assert_eq!((stage.header().position, stage.keys()), (position, keys));
    let other = IdempotencyKey { body: [3; 32], ..key };
    assert_eq!(
        stage.apply_as(again, Some(other), None).result,
        Err(Refusal::IdempotencyMismatch)
    );
}

#[test]
fn a_refused_request_may_be_sent_again_with_the_same_key() {
    let mut stage = Stage::with_template("workspace");
    let key = IdempotencyKey {
        scope: [1; 32],
        body: [2; 32],
    };
    let tasks = stage.catalog().named("tasks").expect("tasks").number;
    let check = RecordsWrite {
        operations: vec![Operation::Check {
            collection: tasks,
            id: id(1),
            expect: Expect::Present,
        }],
    };
    assert!(stage.apply_as(check.clone(), Some(key), None).result.is_err());
    run(&mut stage, &[task(1, "a")]).result.expect("stored");
    assert!(stage.apply_as(check, Some(key), None).result.is_ok());
}

#[test]
fn idempotency_keys_are_kept_for_a_day_and_then_swept() {
    let mut stage = Stage::with_template("workspace");
    let key = |number: u8| IdempotencyKey {
        scope: [number; 32],
        body: [0; 32],
    };
    let stored = |stage: &Stage| {
        stage
            .keys()
            .iter()
            .filter(|key| key.to_lowercase().contains("idempotency"))
            .count()
    };
    for number in 1..=3u8 {
        let command = decide_all(&stage, &[task(u128::from(number), "a")]).expect("a decision");
        stage.apply_as(command, Some(key(number)), None).result.expect("stored");
    }
    assert_eq!(stored(&stage), 6);
    stage.pass(crate::machine::limits::IDEMPOTENCY_MICROS + 1_000);
    let command = decide_all(&stage, &[task(9, "a")]).expect("a decision");
    stage.apply_as(command, Some(key(9)), None).result.expect("stored");
    assert_eq!(stored(&stage), 8, "it was not the turn of this one to sweep");
    let command = decide_all(&stage, &[task(10, "a")]).expect("a decision");
    stage.apply_as(command, Some(key(64)), None).result.expect("stored");
    assert_eq!(stored(&stage), 4, "the three expired keys went");
}
