//! Growth: what is said of operations before they are proposed is what they do to the totals.

use super::*;
use crate::records::growth::of_operations;
use crate::records::totals::{self, Growth, Totals};
use crate::records::trim::SpaceTrim;
use crate::records::value::{Doc, Value};
use crate::records::write::{Expect, Operation, RecordsWrite};

/// A task, with a title of so many bytes.
fn put(stage: &Stage, number: u128, title: usize) -> Operation {
    let catalog = stage.catalog();
    let tasks = catalog.named("tasks").expect("tasks");
    let mut doc = Doc::default();
    for (name, text) in [("title", "x".repeat(title)), ("status", "todo".to_owned())] {
        doc.set(tasks.field(name).expect("a field").number, Some(Value::Text(text)));
    }
    Operation::Store {
        collection: tasks.number,
        id: id(number),
        expect: Expect::Any,
        doc,
        created: None,
    }
}

fn gone(stage: &Stage, number: u128) -> Operation {
    Operation::Delete {
        collection: stage.catalog().named("tasks").expect("tasks").number,
        id: id(number),
        expect: Expect::Any,
    }
}

fn counted(stage: &Stage) -> Totals {
    let read = totals::read(&stage.snapshot(), SPACE);
    read.expect("no fault").expect("they are counted")
}

fn apply(stage: &mut Stage, operations: Vec<Operation>) {
    let schema = Some(stage.header().schema);
    let change = RecordsChange(RecordsWrite { operations });
    stage.apply_as(change, None, schema).result.expect("changed");
}

/// What is said that operations add: within a few bytes what they have added then.
fn grown(stage: &mut Stage, operations: Vec<Operation>) -> Growth {
    let said = of_operations(&stage.snapshot(), SPACE, &operations).expect("no fault");
    let before = counted(stage);
    apply(stage, operations);
    let after = counted(stage);
    let more = |after: u64, before: u64| after as i64 - before as i64;
    assert_eq!(said.records, more(after.records, before.records));
    for (said, is) in [
        (said.bytes, more(after.bytes, before.bytes)),
        (said.versions, more(after.versions, before.versions)),
    ] {
        // What the machine fills in, such as the number of a task, is not in the operation.
        assert!((-16..300).contains(&(said - is)), "{said} is said, {is} it is");
    }
    said
}

#[test]
fn each_operation_is_looked_at_as_those_before_it_leave_the_record() {
    let mut stage = Stage::with_template("workspace");
    let first = vec![put(&stage, 1, 1_000), put(&stage, 2, 10)];
    assert_eq!(grown(&mut stage, first).records, 2);

    let evades = vec![gone(&stage, 1), put(&stage, 1, 1_000), put(&stage, 3, 10)];
    assert_eq!(
        grown(&mut stage, evades).records,
        1,
        "deleted and made again it is one as before"
    );
    let fits = vec![put(&stage, 4, 5_000), put(&stage, 4, 10)];
    let growth = grown(&mut stage, fits);
    assert!(growth.records == 1 && growth.bytes < 1_000, "{growth:?}");
    let no_credit = vec![gone(&stage, 77), gone(&stage, 78), put(&stage, 5, 10)];
    assert_eq!(grown(&mut stage, no_credit).records, 1, "nobody was there");
    let twice = vec![gone(&stage, 5), gone(&stage, 5), put(&stage, 6, 10)];
    assert_eq!(grown(&mut stage, twice).records, 0, "gone once");
}

#[test]
fn what_is_deleted_frees_its_bytes_at_once_and_is_a_version() {
    let mut stage = Stage::with_template("workspace");
    let made = vec![put(&stage, 1, 10_000)];
    let growth = grown(&mut stage, made);
    assert!(growth.bytes > 10_000 && growth.versions == 0, "{growth:?}");
    let same = vec![put(&stage, 1, 10_000)];
    let growth = grown(&mut stage, same);
    assert!(growth.bytes < 100 && growth.versions > 10_000, "{growth:?}");
    let deleted = vec![gone(&stage, 1)];
    let growth = grown(&mut stage, deleted);
    assert!(growth.bytes < -10_000 && growth.versions > 10_000, "{growth:?}");
    let left = counted(&stage);
    assert!(left.records == 0 && left.bytes == 0 && left.versions > 20_000, "{left:?}");
}

#[test]
fn a_step_of_a_trim_reads_a_bounded_part_of_long_versions() {
    let mut stage = Stage::with_template("workspace");
    for _ in 0..91 {
        let change = put(&stage, 1, 100_000);
        apply(&mut stage, vec![change]);
    }
    let all = SpaceTrim {
        events_before: 0,
        history_before: u64::MAX,
    };
    let mut steps = Vec::new();
    loop {
        let trimmed = stage.apply(all.clone()).result.expect("trimmed");
        steps.push(trimmed.versions);
        if trimmed.done {
            break;
        }
    }
    assert_eq!(steps, [42, 42, 6], "4 MiB a step");
    assert_eq!(counted(&stage).versions, 0);
}
