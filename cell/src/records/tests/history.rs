//! History: what is superseded is kept, can be had again, and is forgotten in the end.

use std::sync::Arc;

use api::error::Code;

use super::*;
use crate::machine::reader::Reader;
use crate::records::history;
use crate::records::restore::restore;
use crate::records::trim::{SpaceTrim, Trimmed, is_due, trimmed_to};
use crate::records::versions;

const DAY: u64 = 24 * 3_600 * 1_000_000;

fn patch(number: u128, fields: Json) -> BatchOperation {
    operation(BatchVerb::Patch, "tasks", number, fields)
}

fn delete(number: u128) -> BatchOperation {
    operation(BatchVerb::Delete, "tasks", number, Json::Null)
}

fn place(stage: &Stage, number: u128) -> Place {
    let collection = stage.catalog().named("tasks").expect("tasks").number;
    Place {
        space: SPACE,
        collection,
        id: id(number),
    }
}

/// Number, whether it is a deletion, and the title of each version, as users see them.
fn listed(stage: &Stage, number: u128, limit: usize) -> Vec<(u64, bool, Option<String>)> {
    let tasks = Arc::clone(stage.catalog().named("tasks").expect("tasks"));
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let id = api::ids::Id(id(number));
        let page = versions::list(&stage.snapshot(), SPACE, &tasks, id, Sight::default(), limit, cursor).expect("a page");
        assert!(page.items.len() <= limit);
        for item in page.items {
            let fields: Option<Json> = item.fields.map(|fields| serde_json::from_str(fields.get()).expect("JSON"));
            let title = fields.map(|fields| fields["title"].as_str().expect("a title").to_owned());
            all.push((item.version, item.deleted, title));
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next.parse().expect("a version")),
            None => return all,
        }
    }
}

fn bring_back(stage: &mut Stage, number: u128, version: u64) -> Result<Answer<Vec<Written>>, Error> {
    let (snapshot, catalog) = (stage.snapshot(), stage.catalog());
    let view = View {
        snapshot: &snapshot,
        catalog: &catalog,
        space: SPACE,
        asker: None,
    };
    let command = restore(&view, "tasks", id(number), version, None)?;
    let schema = Some(stage.header().schema);
    Ok(stage.apply_as(command, None, schema))
}

#[test]
fn every_version_is_kept_also_across_a_deletion() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[task(1, "one")]).result.expect("stored");
    run(&mut stage, &[patch(1, json!({"title": "two"}))]).result.expect("stored");
    run(&mut stage, &[delete(1)]).result.expect("deleted");
    run(&mut stage, &[task(1, "four")]).result.expect("stored");
    let title = |text: &str| Some(text.to_owned());
    let expected = vec![
        (4, false, title("four")),
        (3, true, None),
        (2, false, title("two")),
        (1, false, title("one")),
    ];
    for limit in 1..=5 {
        assert_eq!(listed(&stage, 1, limit), expected, "by {limit}");
    }
    let events = stage.header().position;
    run(&mut stage, &[task(2, "other")]).result.expect("stored");
    assert_eq!(stage.header().position, events + 1, "a version is no event of its own");
    assert_eq!(listed(&stage, 2, 50).len(), 1);
}

#[test]
fn commands_of_before_there_was_a_history_keep_nothing() {
    let mut stage = Stage::with_template("workspace");
    for operation in [task(1, "one"), patch(1, json!({"title": "two"})), delete(1), task(1, "again")] {
        let command = decide_all(&stage, &[operation]).expect("a decision").0;
        stage.apply(command).result.expect("stored");
    }
    assert_eq!(history::last(&stage.snapshot(), place(&stage, 1)).expect("no fault"), None);
    assert_eq!(read(&stage, "tasks", 1).expect("a record").version, 1, "as they counted");
}

#[test]
fn a_restore_makes_a_new_version_of_an_old_one() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[task(1, "one")]).result.expect("stored");
    run(&mut stage, &[patch(1, json!({"title": "two", "points": 3}))])
        .result
        .expect("stored");
    bring_back(&mut stage, 1, 1).expect("a decision").result.expect("restored");
    let record = read(&stage, "tasks", 1).expect("a record");
    assert_eq!(record.version, 3);
    let fields = shown(&stage, "tasks", 1);
    assert_eq!((&fields["title"], fields.get("points")), (&json!("one"), None));

    let created = record.created;
    run(&mut stage, &[delete(1)]).result.expect("deleted");
    bring_back(&mut stage, 1, 2).expect("a decision").result.expect("restored");
    let record = read(&stage, "tasks", 1).expect("a record");
    assert_eq!((record.version, record.created), (5, created), "it is the record that it was");
    assert_eq!(shown(&stage, "tasks", 1)["points"], json!(3));

    let code = |result: Result<Answer<Vec<Written>>, Error>| result.expect_err("refused").code;
    assert_eq!(code(bring_back(&mut stage, 1, 5)), Code::InvalidFields);
    assert_eq!(code(bring_back(&mut stage, 1, 9)), Code::NotFound);
    assert_eq!(code(bring_back(&mut stage, 9, 1)), Code::NotFound);
}

#[test]
fn what_is_deleted_comes_back_in_the_state_that_it_had() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[create("tasks", 1, json!({"title": "t", "status": "done"}))])
        .result
        .expect("stored");
    run(&mut stage, &[delete(1)]).result.expect("deleted");
    bring_back(&mut stage, 1, 1).expect("a decision").result.expect("restored");
    assert_eq!(shown(&stage, "tasks", 1)["status"], json!("done"));
}

#[test]
fn trims_forget_what_is_old_and_nothing_else() {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[task(1, "one")]).result.expect("stored");
    run(&mut stage, &[patch(1, json!({"title": "two"}))]).result.expect("stored");
    let old = stage.header();
    stage.pass(10 * DAY);
    run(&mut stage, &[patch(1, json!({"title": "three"}))])
        .result
        .expect("stored");
    let header = stage.header();
    let cut = SpaceTrim {
        events_before: header.stamp - DAY,
        history_before: header.stamp - DAY,
    };
    let due = |stage: &Stage| is_due(&stage.snapshot(), SPACE, &cut).expect("no fault");
    assert!(due(&stage));
    assert_eq!(trimmed_to(&stage.snapshot(), SPACE, &header).expect("no fault"), 0);
    let trimmed = stage.apply(cut.clone()).result.expect("trimmed");
    assert_eq!(
        trimmed,
        Trimmed {
            events: old.position,
            versions: 1,
            done: true
        }
    );
    assert!(!due(&stage));
    assert_eq!(trimmed_to(&stage.snapshot(), SPACE, &header).expect("no fault"), old.position);
    let kept: Vec<u64> = listed(&stage, 1, 50).into_iter().map(|(version, ..)| version).collect();
    assert_eq!(kept, [3, 2], "version 2 was superseded a moment ago");
    assert_eq!(stage.header().position, header.position, "a trim is no event");
    assert!(stage.snapshot().header(SPACE).expect("no fault").is_some());

    let all = SpaceTrim {
        events_before: u64::MAX,
        history_before: u64::MAX,
    };
    stage.apply(all).result.expect("trimmed");
    assert_eq!(
        trimmed_to(&stage.snapshot(), SPACE, &header).expect("no fault"),
        header.position
    );
    assert_eq!(listed(&stage, 1, 50).len(), 1, "the record itself stays");
}
