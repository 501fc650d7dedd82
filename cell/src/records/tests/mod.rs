//! Stories about records: what is given, the request, and what it does to the tables.

mod batches;
mod documents;
mod evolve;
mod expands;
mod fields;
mod filters;
mod follow;
mod growth;
mod guards;
mod history;
mod imports;
mod lists;
mod references;
mod schemas;
mod totals;
mod writes;

use api::body::record::{BatchOperation, BatchVerb};
use api::error::Error;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::change::RecordsChange;
use super::decide::{self, View};
use super::entries::Place;
use super::expand::Expand;
use super::guard::{self, Sight};
use super::value::Record;
use super::write::Written;
use crate::machine::dispatch::Answer;
use crate::machine::stage::{SPACE, Stage};

/// The id that stands for a number in a story.
fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn operation(op: BatchVerb, collection: &str, number: u128, fields: Json) -> BatchOperation {
    BatchOperation {
        op,
        collection: collection.parse().expect("a name"),
        id: Some(api::ids::Id(id(number))),
        if_match: None,
        fields: fields.as_object().cloned(),
    }
}

fn create(collection: &str, number: u128, fields: Json) -> BatchOperation {
    operation(BatchVerb::Create, collection, number, fields)
}

fn decide_all(stage: &Stage, operations: &[BatchOperation]) -> Result<RecordsChange, Error> {
    decide_as(stage, None, operations)
}

fn decide_as(stage: &Stage, asker: Option<guard::Asker<'_>>, operations: &[BatchOperation]) -> Result<RecordsChange, Error> {
    let (snapshot, catalog) = (stage.snapshot(), stage.catalog());
    decide::batch(
        &View {
            snapshot: &snapshot,
            catalog: &catalog,
            space: SPACE,
            asker,
        },
        operations,
    )
}

/// Decides and applies.
fn run(stage: &mut Stage, operations: &[BatchOperation]) -> Answer<Vec<Written>> {
    let command = decide_all(stage, operations).expect("a decision");
    let schema = Some(stage.header().schema);
    stage.apply_as(command, None, schema)
}

fn read(stage: &Stage, collection: &str, number: u128) -> Option<Record> {
    let collection = stage.catalog().named(collection).expect("a collection").number;
    Place {
        space: SPACE,
        collection,
        id: id(number),
    }
    .read(&stage.snapshot())
    .expect("no fault")
}

/// A record's fields as users see them.
fn shown(stage: &Stage, collection: &str, number: u128) -> Json {
    let found = stage.catalog().named(collection).expect("a collection").clone();
    let record = read(stage, collection, number).expect("a record");
    let body = super::render::record(&found, id(number), &record, None).expect("a body");
    serde_json::from_str(body.fields.get()).expect("JSON")
}

fn task(number: u128, title: &str) -> BatchOperation {
    create("tasks", number, json!({ "title": title }))
}
