use super::*;
use crate::machine::refusal::Refusal;

#[test]
fn a_batch_is_all_or_nothing_and_says_which_operation_failed() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[create("projects", 1, json!({"name": "a", "key": "A"}))])
        .result
        .expect("stored");
    let (keys, position) = (stage.keys(), stage.header().position);
    let batch = [task(1, "fine"), create("projects", 2, json!({"name": "b", "key": "A"}))];
    let Err(Refusal::At { operation: 1, refusal }) = run(&mut stage, &batch).result else {
        panic!("operation 1 is refused")
    };
    assert!(matches!(*refusal, Refusal::Unique { .. }));
    assert_eq!((stage.keys(), stage.header().position), (keys, position));
}

#[test]
fn a_later_operation_may_refer_to_and_patch_what_an_earlier_one_made() {
    let mut stage = Stage::with_template("workspace");
    let batch = [
        create("projects", 1, json!({"name": "a"})),
        create("tasks", 2, json!({"title": "t", "project": id(1).to_string()})),
        operation(BatchVerb::Patch, "tasks", 2, json!({"points": 5})),
        operation(BatchVerb::Check, "tasks", 2, Json::Null),
    ];
    let written = run(&mut stage, &batch).result.expect("stored");
    assert_eq!(written.len(), 4);
    let task = shown(&stage, "tasks", 2);
    assert_eq!((task["title"].as_str(), task["points"].as_f64()), (Some("t"), Some(5.0)));
    assert_eq!(read(&stage, "tasks", 2).expect("a record").version, 2);
}

#[test]
fn an_id_that_is_created_twice_in_a_batch_is_refused_by_its_place() {
    let stage = Stage::with_template("workspace");
    let error = decide_all(&stage, &[task(1, "a"), task(2, "b"), task(1, "c")]).expect_err("a duplicate");
    assert_eq!(error.errors[0].pointer, "/operations/2/id");
}

#[test]
fn a_wrong_field_of_a_batch_is_found_by_its_pointer() {
    let stage = Stage::with_template("workspace");
    let error = decide_all(&stage, &[task(1, "a"), create("tasks", 2, json!({"title": 3}))]).expect_err("a wrong type");
    assert_eq!(error.errors[0].pointer, "/operations/1/fields/title");
}

#[test]
fn a_thousand_creates_fit_into_one_batch() {
    let mut stage = Stage::with_template("workspace");
    let batch: Vec<_> = (1..=1_000).map(|number| task(number, "t")).collect();
    assert_eq!(run(&mut stage, &batch).result.expect("stored").len(), 1_000);
}

#[test]
fn if_match_on_a_record_that_the_batch_has_written_before_is_refused() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[task(1, "a")]).result.expect("stored");
    let mut delete = operation(BatchVerb::Delete, "tasks", 1, Json::Null);
    delete.if_match = Some(7);
    let patch = operation(BatchVerb::Patch, "tasks", 1, json!({"points": 1}));
    let error = decide_all(&stage, &[patch, delete]).expect_err("the precondition cannot be compared");
    assert_eq!(error.errors[0].pointer, "/operations/1");
    assert!(read(&stage, "tasks", 1).is_some());
}

#[test]
fn a_patch_of_what_an_earlier_deletion_changed_is_refused_for_good() {
    let mut stage = Stage::with_template("workspace");
    let child = create("tasks", 2, json!({"title": "child", "parent": id(1).to_string()}));
    run(&mut stage, &[task(1, "parent"), child]).result.expect("stored");
    let delete = operation(BatchVerb::Delete, "tasks", 1, Json::Null);
    let patch = operation(BatchVerb::Patch, "tasks", 2, json!({"points": 1}));
    let refused = run(&mut stage, &[delete, patch])
        .result
        .expect_err("the deletion has let go of the reference");
    let again = Refusal::VersionMismatch { current: 2 };
    assert_eq!(
        refused,
        Refusal::At {
            operation: 1,
            refusal: Box::new(again)
        },
        "deciding again would end the same way"
    );
}

#[test]
fn a_batch_that_would_store_too_much_is_refused_before_it_is_built() {
    let mut stage = Stage::with_template("workspace");
    run(
        &mut stage,
        &[create("tasks", 1, json!({"title": "t", "description": "x".repeat(90_000)}))],
    )
    .result
    .expect("stored");
    let patches: Vec<_> = (0..1_000)
        .map(|_| operation(BatchVerb::Patch, "tasks", 1, json!({})))
        .collect();
    assert_eq!(
        decide_all(&stage, &patches).expect_err("too large").code,
        api::error::Code::TooLarge
    );
}
