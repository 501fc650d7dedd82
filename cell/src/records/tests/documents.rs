//! Documents: updates beside their record, and the text that it shows.

use super::schemas::{put, schema};
use super::*;
use crate::documents::rows;
use crate::documents::settle::{DocumentSettle, Merged};
use crate::documents::update::DocumentUpdate;
use crate::machine::refusal::Refusal;

fn stage() -> Stage {
    let mut stage = Stage::with_template("workspace");
    let pages = json!({ "fields": { "title": { "type": "text" }, "body": { "type": "document" } }, "search": ["title", "body"] });
    put(&mut stage, "pages", &schema(pages));
    run(&mut stage, &[create("pages", 1, json!({ "title": "one" }))])
        .result
        .expect("stored");
    stage
}

fn place(stage: &Stage) -> (Place, u16) {
    let catalog = stage.catalog();
    let pages = catalog.named("pages").expect("pages");
    let place = Place {
        space: SPACE,
        collection: pages.number,
        id: id(1),
    };
    (place, pages.field("body").expect("a field").number)
}

fn update(stage: &mut Stage, version: u64, bytes: &[u8]) -> Result<u64, Refusal> {
    let (place, field) = place(stage);
    let command = DocumentUpdate {
        collection: place.collection,
        id: place.id,
        field,
        version,
        update: bytes.to_vec(),
    };
    stage.apply(command).result
}

fn settle(stage: &mut Stage, text: &str, merged: Option<Merged>) -> Result<bool, Refusal> {
    let (place, field) = place(stage);
    let command = DocumentSettle {
        collection: place.collection,
        id: place.id,
        field,
        text: text.to_owned(),
        merged,
    };
    stage.apply(command).result
}

fn stored(stage: &Stage) -> Vec<(u64, Vec<u8>)> {
    let (place, field) = place(stage);
    rows::read(&stage.snapshot(), place, field).expect("no fault").updates
}

#[test]
fn updates_are_rows_and_the_text_is_a_change_of_the_record() {
    let mut stage = stage();
    let before = stage.header().position;
    assert_eq!(update(&mut stage, 1, b"first"), Ok(1));
    assert_eq!(update(&mut stage, 1, b"second"), Ok(2));
    assert_eq!(update(&mut stage, 2, b"of another version"), Err(Refusal::Stale));
    assert_eq!(stage.header().position, before, "no event");
    assert_eq!(stored(&stage), [(1, b"first".to_vec()), (2, b"second".to_vec())]);
    assert_eq!(settle(&mut stage, "what it says", None), Ok(true));
    assert_eq!(shown(&stage, "pages", 1)["body"], "what it says");
    assert_eq!(
        (read(&stage, "pages", 1).expect("a record").version, stage.header().position),
        (2, before + 1)
    );
    assert_eq!(settle(&mut stage, "what it says", None), Ok(false), "nothing new");
    assert_eq!(read(&stage, "pages", 1).expect("a record").version, 2);
    assert_eq!(settle(&mut stage, "", None), Ok(true));
    assert!(shown(&stage, "pages", 1).get("body").is_none());
}

#[test]
fn many_updates_become_one_unless_somebody_else_was_faster() {
    let mut stage = stage();
    for word in [b"1", b"2", b"3"] {
        update(&mut stage, 1, word).expect("stored");
    }
    let merged = |to| {
        Some(Merged {
            from: 1,
            to,
            update: b"12".to_vec(),
        })
    };
    assert_eq!(settle(&mut stage, "12", merged(2)), Ok(true));
    assert_eq!(stored(&stage), [(2, b"12".to_vec()), (3, b"3".to_vec())]);
    assert_eq!(
        settle(&mut stage, "123", merged(2)),
        Err(Refusal::Stale),
        "the first is 2 by now"
    );
    assert_eq!(stored(&stage).len(), 2);
    assert_eq!(update(&mut stage, 2, b"4"), Ok(4), "numbers go on");
}

#[test]
fn writes_of_the_record_leave_the_text_alone_and_cannot_set_it() {
    let mut stage = stage();
    update(&mut stage, 1, b"first").expect("stored");
    settle(&mut stage, "kept", None).expect("stored");
    run(
        &mut stage,
        &[operation(BatchVerb::Put, "pages", 1, json!({ "title": "two" }))],
    )
    .result
    .expect("stored");
    assert_eq!(shown(&stage, "pages", 1), json!({ "title": "two", "body": "kept" }));
    run(
        &mut stage,
        &[operation(BatchVerb::Patch, "pages", 1, json!({ "body": null }))],
    )
    .result
    .expect("stored");
    assert_eq!(shown(&stage, "pages", 1)["body"], "kept");
    let by_hand = [operation(BatchVerb::Patch, "pages", 1, json!({ "body": "by hand" }))];
    let error = decide_all(&stage, &by_hand).expect_err("refused");
    assert!(
        error.errors.iter().any(|wrong| wrong.message.contains("documents")),
        "{error:?}"
    );
}

#[test]
fn a_document_goes_with_its_record() {
    let mut stage = stage();
    update(&mut stage, 1, b"first").expect("stored");
    run(&mut stage, &[operation(BatchVerb::Delete, "pages", 1, Json::Null)])
        .result
        .expect("deleted");
    assert!(stored(&stage).is_empty());
    assert_eq!(update(&mut stage, 1, b"late"), Err(Refusal::Stale));
    assert!(matches!(settle(&mut stage, "late", None), Err(Refusal::NotFound { .. })));
}
