use super::*;
use crate::machine::limits::CASCADE_DEPTH;
use crate::machine::refusal::Refusal;

fn delete(collection: &str, number: u128) -> BatchOperation {
    operation(BatchVerb::Delete, collection, number, Json::Null)
}

#[test]
fn a_reference_to_nothing_is_refused() {
    let mut stage = Stage::with_template("workspace");
    let comment = create("comments", 1, json!({"task": id(9).to_string(), "body": "hello"}));
    let missing = Refusal::ReferenceMissing {
        field: "task".into(),
        collection: "tasks".into(),
        id: id(9),
    };
    assert_eq!(run(&mut stage, &[comment]).result, Err(missing));
}

#[test]
fn restrict_refuses_the_deletion_of_what_is_referred_to() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[create("projects", 1, json!({"name": "a"}))])
        .result
        .expect("stored");
    run(
        &mut stage,
        &[create("tasks", 2, json!({"title": "t", "project": id(1).to_string()}))],
    )
    .result
    .expect("stored");
    let keys = stage.keys();
    let referenced = Refusal::Referenced {
        collection: "tasks".into(),
        id: id(2),
    };
    assert_eq!(run(&mut stage, &[delete("projects", 1)]).result, Err(referenced));
    assert_eq!(stage.keys(), keys, "a refused deletion leaves every entry where it was");
    run(&mut stage, &[delete("tasks", 2), delete("projects", 1)])
        .result
        .expect("deleted in order");
}

#[test]
fn cascade_deletes_and_set_null_lets_go() {
    let mut stage = Stage::with_template("workspace");
    let child = create("tasks", 2, json!({"title": "child", "parent": id(1).to_string()}));
    let comment = create("comments", 3, json!({"task": id(1).to_string(), "body": "hello"}));
    run(&mut stage, &[task(1, "parent"), child, comment]).result.expect("stored");
    let position = stage.header().position;
    run(&mut stage, &[delete("tasks", 1)]).result.expect("deleted");
    assert_eq!(read(&stage, "tasks", 1), None);
    assert_eq!(read(&stage, "comments", 3), None);
    let child = read(&stage, "tasks", 2).expect("the child stays");
    assert_eq!((child.version, shown(&stage, "tasks", 2).get("parent").cloned()), (2, None));
    assert_eq!(stage.header().position, position + 3, "each change has its event");
    assert!(
        !stage.keys().iter().any(|key| key.to_lowercase().contains("reference")),
        "no reference entry is left"
    );
}

#[test]
fn a_cascade_in_a_circle_ends() {
    let mut stage = Stage::with_template("workspace");
    let schema = serde_json::from_value(json!({
        "fields": {"next": {"type": "reference", "collection": "rings", "on_delete": "cascade"}}
    }))
    .expect("a schema");
    super::schemas::put(&mut stage, "rings", &schema);
    run(&mut stage, &[create("rings", 1, json!({}))]).result.expect("stored");
    run(&mut stage, &[create("rings", 2, json!({"next": id(1).to_string()}))])
        .result
        .expect("stored");
    run(
        &mut stage,
        &[operation(BatchVerb::Patch, "rings", 1, json!({"next": id(2).to_string()}))],
    )
    .result
    .expect("stored");
    run(&mut stage, &[delete("rings", 1)]).result.expect("deleted");
    assert_eq!((read(&stage, "rings", 1), read(&stage, "rings", 2)), (None, None));
    run(&mut stage, &[create("rings", 3, json!({"next": id(3).to_string()}))])
        .result
        .expect("it may refer to itself");
    run(&mut stage, &[delete("rings", 3)]).result.expect("deleted");
}

#[test]
fn a_cascade_that_is_too_deep_is_refused_whole() {
    let mut stage = Stage::with_template("workspace");
    let schema = serde_json::from_value(json!({
        "fields": {"next": {"type": "reference", "collection": "chain", "on_delete": "cascade"}}
    }))
    .expect("a schema");
    super::schemas::put(&mut stage, "chain", &schema);
    run(&mut stage, &[create("chain", 1, json!({}))]).result.expect("stored");
    let last = CASCADE_DEPTH as u128 + 3;
    for number in 2..=last {
        run(
            &mut stage,
            &[create("chain", number, json!({"next": id(number - 1).to_string()}))],
        )
        .result
        .expect("stored");
    }
    assert!(matches!(
        run(&mut stage, &[delete("chain", 1)]).result,
        Err(Refusal::TooLarge { .. })
    ));
    assert!(read(&stage, "chain", last).is_some());
}
