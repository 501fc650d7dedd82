//! Archives: bytes that are read as one, and spaces that are written as one and come back.

use std::io::Cursor as Bytes;
use std::path::Path;

use api::body::collection::CollectionSchema;
use serde::Deserialize;
use serde_json::json;
use storage::table::{Operation as OperationKey, SpaceHeader};
use storage::{Direction, KeyRange, Space, Table};
use uuid::Uuid;

use super::commands::{COMMANDS, OPENED, Stage, opening, sealed, sealed_with};
use super::dream::Dream;
use crate::archive::{Chunk, Owner, ReadError, Reader, forge, write};
use crate::machine::catalog::Catalog;
use crate::machine::dispatch::Payload;
use crate::machine::limits::{MOVE_CHUNK_BYTES, MOVE_KEYS};
use crate::machine::reader::Reader as _;
use crate::placement::arrive::SpaceArrive;
use crate::placement::clear::SpaceClear;
use crate::placement::turn::{SpaceTurn, Turn};
use crate::records::change::RecordsChange;
use crate::records::collection_define::CollectionDefine;
use crate::records::collection_put::CollectionPut;
use crate::records::evolve::change::CollectionChange;
use crate::records::evolve::step::OperationStep;
use crate::records::evolve::work::{self, Phase};
use crate::records::schema::{Collection, Kind};
use crate::records::schema_check;
use crate::records::value::{Doc, Value};
use crate::records::write::{Expect, Operation, RecordsWrite};

const SPACE: Space = Space(OPENED);
const ATTEMPT: u64 = 1;
/// Tables of what follows from records.
const DERIVED: [&str; 4] = ["index_entry", "unique_entry", "reference_entry", "history_age"];

fn owner() -> Owner {
    Owner {
        space: SPACE,
        tenant: Uuid::from_u128(1),
        slug: "acme".to_owned(),
        keeps_tokens: true,
    }
}

/// Reads the rest of an archive, each chunk as one command takes it; the last one has the header.
fn chunks(bytes: &[u8]) -> Result<Vec<Chunk>, ReadError> {
    let chunks: Vec<_> = Reader::new(Bytes::new(bytes), owner())?.collect::<Result<_, _>>()?;
    for chunk in &chunks {
        let size: usize = chunk.rows.iter().map(|row| row.key.len() + row.value.len()).sum();
        assert!(chunk.rows.len() <= MOVE_KEYS && size <= MOVE_CHUNK_BYTES + storage::MAX_KEY_BYTES);
    }
    assert!(
        chunks.last().is_some_and(|chunk| chunk.end.is_some()),
        "an archive that is whole ends"
    );
    Ok(chunks)
}

/// Reads bytes as an archive. Where the first byte is odd they become blocks with right checksums around whatever they hold.
pub fn archive(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    if kind & 1 == 0 {
        let _ = chunks(data);
        return;
    }
    let mut dream = Dream::new(data);
    let mut blocks = Vec::new();
    while !dream.is_over() {
        let kind = dream.byte();
        let most = dream.number().min(4_096);
        blocks.push((kind % 4, dream.take(usize::try_from(most).unwrap_or(0)).to_vec()));
    }
    let _ = chunks(&forge(&blocks));
}

/// Has a space live as the bytes say, writes it as an archive on the way, and makes it again of that. `dir` is empty, and is left dirty.
/// How many derived rows there were, and how many operations were under way.
pub fn archived(data: &[u8], dir: &Path) -> (usize, usize) {
    let mut source = Stage::open(&dir.join("source"));
    source.apply(&[opening(OPENED)]);
    let mut dream = Dream::new(data);
    let archived_after = usize::from(dream.byte()) % COMMANDS;
    for number in 0..=archived_after {
        if let Some(entry) = next(&mut dream, &source, number) {
            source.apply(&[entry]);
        }
    }
    let under_way = running(&source).len();
    let mut first = Vec::new();
    let written = write(&source.store.begin_read(), SPACE, &mut first);
    written.unwrap_or_else(|error| panic!("write an archive: {error}"));
    let mut target = Stage::open(&dir.join("target"));
    bring(&mut target, &first);
    let mut second = Vec::new();
    let written = write(&target.store.begin_read(), SPACE, &mut second);
    written.unwrap_or_else(|error| panic!("write an archive again: {error}"));
    assert_eq!(first, second, "an archive, and that of what was made of it");
    // What is being changed may differ in what is not used any more; once that is taken away nothing does.
    while let Some(step) = running(&source).into_iter().next() {
        let entry = sealed(OPENED, OperationStep { id: step }.into());
        assert_eq!(source.apply(std::slice::from_ref(&entry)).len(), target.apply(&[entry]).len());
    }
    let (before, after) = (rows(&source), rows(&target));
    for (one, other) in before.iter().zip(&after) {
        assert_eq!(one, other, "a row of a space, and of what was made of its archive");
    }
    assert_eq!(before.len(), after.len(), "their rows");
    let is_derived = |(key, _): &&(String, Vec<u8>)| DERIVED.iter().any(|table| key.starts_with(table));
    (before.iter().filter(is_derived).count(), under_way)
}

fn bring(target: &mut Stage, bytes: &[u8]) {
    let attempt = ATTEMPT;
    let clear = SpaceClear {
        attempt,
        tenant: Uuid::from_u128(1),
        comes: true,
    };
    target.apply(&[sealed(OPENED, clear.into())]);
    let chunks = chunks(bytes).unwrap_or_else(|error| panic!("read an archive: {error}"));
    for (number, chunk) in (0..).zip(chunks) {
        let arrive = SpaceArrive {
            attempt,
            chunk: number,
            rows: chunk.rows,
            end: chunk.end.map(|header| (header, 0)),
        };
        target.apply(&[sealed(OPENED, arrive.into())]);
    }
    for turn in [Turn::Arrive { index: 0, epoch: 1 }, Turn::Live] {
        target.apply(&[sealed(OPENED, SpaceTurn { attempt, turn }.into())]);
    }
}

/// The operations that have something left to do.
fn running(stage: &Stage) -> Vec<Uuid> {
    let works = work::list(&stage.store.begin_read(), SPACE);
    let works = works.unwrap_or_else(|fault| panic!("list operations: {fault}"));
    works
        .into_iter()
        .filter(|work| work.phase != Phase::Ended)
        .map(|work| work.id)
        .collect()
}

/// All rows of the space as text and value, but its header and how much operations have done.
fn rows(stage: &Stage) -> Vec<(String, Vec<u8>)> {
    let range = KeyRange::space(SPACE).after(&SpaceHeader { space: SPACE }.key());
    let rows = stage.store.begin_read().scan(range, Direction::Forward);
    let rows = rows.map(|row| row.unwrap_or_else(|error| panic!("read a row: {error}")));
    rows.filter(|(key, _)| key.tag() != OperationKey::TAG)
        .map(|(key, value)| (key.to_string(), value.to_vec()))
        .collect()
}

/// The next entry of the log: a command as decide makes them. Dreamt ones could change a schema without its records.
fn next(dream: &mut Dream<'_>, stage: &Stage, number: usize) -> Option<Vec<u8>> {
    let header = stage.store.begin_read().header(SPACE);
    let header = header.unwrap_or_else(|fault| panic!("read a header: {fault}"))?;
    let catalog = stage.catalogs.get(&stage.store.begin_read(), SPACE, header.schema);
    let catalog = catalog.unwrap_or_else(|fault| panic!("read a catalog: {fault}"));
    let operation = Uuid::from_u128(1_000 + number as u128);
    let frame = dream.byte();
    let payload = match frame % 8 {
        0 => change(dream, &catalog, header.next, operation)?,
        1 => OperationStep {
            id: *running(stage).first()?,
        }
        .into(),
        2..=5 => records(dream, &catalog)?,
        _ => decided(Payload::deserialize(&mut *dream).ok()?, &catalog, operation)?,
    };
    let key = (frame >= 128).then_some([frame & 3; 32]);
    Some(sealed_with(OPENED, payload, Some(header.schema), key))
}

/// A command that can be taken as it was dreamt of, or with what decide would have refused taken out.
fn decided(payload: Payload, catalog: &Catalog, operation: Uuid) -> Option<Payload> {
    match payload {
        Payload::TokenCreate(_) | Payload::TokenDelete(_) | Payload::SpaceTrim(_) | Payload::OperationCancel(_) => Some(payload),
        Payload::CollectionDelete(_) => Some(payload),
        Payload::CollectionDrop(mut drop) => {
            drop.operation = operation;
            Some(drop.into())
        }
        Payload::RecordsChange(RecordsChange(mut write)) | Payload::RecordsWrite(mut write) => {
            for operation in &mut write.operations {
                let Operation::Store { collection, doc, .. } = operation else {
                    continue;
                };
                let known = catalog.numbered(*collection)?;
                let strange: Vec<_> = doc.iter().map(|(field, _)| *field).collect();
                let strange = strange.into_iter().filter(|field| known.field_numbered(*field).is_none());
                strange.for_each(|field| doc.set(field, None));
            }
            Some(RecordsChange(write).into())
        }
        _ => None,
    }
}

/// A change of a few records, with values of their fields.
fn records(dream: &mut Dream<'_>, catalog: &Catalog) -> Option<Payload> {
    let mut operations = Vec::new();
    for _ in 0..=dream.byte() % 3 {
        let all: Vec<_> = catalog.iter().collect();
        let known = *all.get(usize::from(dream.byte()) % all.len().max(1))?;
        let collection = known.number;
        let id = Uuid::from_u128(u128::from(dream.byte() % 12));
        operations.push(match dream.byte() % 8 {
            0 => Operation::Delete {
                collection,
                id,
                expect: Expect::Any,
            },
            _ => Operation::Store {
                collection,
                id,
                expect: Expect::Any,
                doc: doc(dream, known),
                created: None,
            },
        });
    }
    Some(RecordsChange(RecordsWrite { operations }).into())
}

fn doc(dream: &mut Dream<'_>, collection: &Collection) -> Doc {
    let mut doc = Doc::default();
    for field in &collection.fields {
        let byte = dream.byte();
        let value = match &field.kind {
            _ if byte < 64 => None,
            Kind::Text | Kind::User | Kind::Select(_) => Some(Value::Text((byte % 7).to_string())),
            Kind::Number => Some(Value::Number(f64::from(byte % 7))),
            Kind::Integer => Some(Value::Integer((byte % 7).into())),
            Kind::Bool => Some(Value::Bool(byte.is_multiple_of(2))),
            Kind::Date => Some(Value::Date((byte % 7).into())),
            Kind::Timestamp => Some(Value::Timestamp((byte % 7).into())),
            Kind::MultiSelect(_) | Kind::Tags => Some(Value::List(vec![byte.to_string()])),
            Kind::Reference { .. } => Some(Value::Reference(Uuid::from_u128(u128::from(byte % 12)))),
            Kind::Json => Some(Value::Json(byte.to_string())),
            Kind::Sequence { .. } | Kind::Document => None,
        };
        doc.set(field.number, value);
    }
    doc
}

/// One of a few schemas, as a PUT of it is decided.
fn change(dream: &mut Dream<'_>, catalog: &Catalog, next: u64, operation: Uuid) -> Option<Payload> {
    let title = json!({"type": "text", "required": true});
    let schemas = [
        json!({"fields": {"title": title}}),
        json!({"fields": {"title": {"type": "text", "unique": true}}}),
        json!({"fields": {"title": title, "status": {"type": "text"}}, "indexes": {"a": {"fields": ["status", "title"]}}}),
        json!({"fields": {"title": title, "status": {"type": "number"}}, "indexes": {"a": {"fields": ["status"]}, "b": {"fields": ["created_at"]}}}),
        json!({"fields": {"title": title, "project": {"type": "reference", "collection": "projects", "on_delete": "set_null"}}}),
        json!({"fields": {"title": title, "project": {"type": "reference", "collection": "tasks", "on_delete": "cascade"}},
            "indexes": {"u": {"fields": ["project", "title"], "unique": true}}}),
        json!({"fields": {"name": {"type": "text", "required": true, "default": "x"}, "number": {"type": "sequence"}},
            "indexes": {"n": {"fields": ["number"], "unique": true}}, "rules": {"read": "true"}}),
    ];
    let name = ["tasks", "projects", "comments", "notes"][usize::from(dream.byte()) % 4];
    let schema = &schemas[usize::from(dream.byte()) % schemas.len()];
    let schema = CollectionSchema::deserialize(schema).unwrap_or_else(|error| panic!("read a schema: {error}"));
    let parsed = name.parse().unwrap_or_else(|error| panic!("a name: {error}"));
    let old = catalog.named(name);
    let number = old.map_or(u32::try_from(next).ok()?, |old| old.number);
    let checked = schema_check::check(&parsed, &schema, old.map(AsRef::as_ref), catalog, number).ok()?;
    let put = CollectionPut {
        collection: checked.collection,
        created: old.is_none(),
        needs_empty: false,
    };
    let define = CollectionDefine {
        put,
        policy: checked.policy,
    };
    let moved = checked.moved;
    Some(
        CollectionChange {
            define,
            moved,
            operation,
        }
        .into(),
    )
}
