use std::collections::BTreeMap;

use api::limits::VERSION_MAX;
use bytes::Bytes;
use storage::table::{Kind, SpaceHeader, TABLES};
use storage::{Direction, KeyRange, Snapshot, Space, Table};
use uuid::Uuid;

use super::rows::tables;
use super::{Owner, ReadError, Reader, Summary, write, write_with};
use crate::access::token_delete::TokenDelete;
use crate::access::token_row::is_of_tokens;
use crate::files::create::FileCreate;
use crate::files::rows::Content;
use crate::machine::idempotency::IdempotencyKey;
use crate::machine::limits::{MOVE_CHUNK_BYTES, MOVE_KEYS};
use crate::machine::rows::Actor;
use crate::machine::stage::{SPACE, Stage, token};
use crate::records::change::RecordsChange;
use crate::records::restore_lines::{ArchivedRecord, RecordsRestore};
use crate::records::value::{Doc, Record, Value};
use crate::records::write::{Expect, Operation, RecordsWrite};
use crate::space::create::SpaceCreate;

/// The space that archives are read for.
const THERE: Space = Space(0x0102_0304);

fn owner(space: Space) -> Owner {
    Owner {
        space,
        tenant: Uuid::from_u128(1),
        slug: "acme".to_owned(),
        keeps_tokens: true,
    }
}

fn key(number: u8) -> Option<IdempotencyKey> {
    Some(IdempotencyKey {
        scope: [number; 32],
        body: [0; 32],
    })
}

/// Tokens of which one is revoked, projects with tasks that refer to them, some changed, some deleted, and a value of many bytes.
fn lived(text_bytes: usize) -> Stage {
    let mut stage = Stage::with_template("workspace");
    let catalog = stage.catalog();
    let numbered = |name: &str| catalog.named(name).expect("a collection").clone();
    let (tasks, projects) = (numbered("tasks"), numbered("projects"));
    let field = |collection: &crate::records::schema::Collection, name: &str| collection.field(name).expect("a field").number;
    stage.apply(token(1)).result.expect("stored");
    stage.apply(token(2)).result.expect("stored");
    let id = Uuid::from_u128(1);
    stage.apply(TokenDelete { id, owner: true }).result.expect("revoked");
    let store = |collection: u32, id: u128, doc: Doc, expect: Expect| Operation::Store {
        collection,
        id: Uuid::from_u128(id),
        expect,
        doc,
        created: None,
    };
    let change = |stage: &mut Stage, number: u8, operation: Operation| {
        let write = RecordsWrite {
            operations: vec![operation],
        };
        let schema = stage.header().schema;
        let answer = stage.apply_as(RecordsChange(write), key(number), Some(schema));
        answer.result.expect("changed");
    };
    let mut project = Doc::default();
    project.set(field(&projects, "name"), Some(Value::Text("p".to_owned())));
    change(&mut stage, 1, store(projects.number, 100, project, Expect::Fresh));
    for task in 0..6u8 {
        let mut doc = Doc::default();
        doc.set(
            field(&tasks, "title"),
            Some(Value::Text(task.to_string().repeat(text_bytes.max(1)))),
        );
        doc.set(field(&tasks, "status"), Some(Value::Text("todo".to_owned())));
        doc.set(field(&tasks, "project"), Some(Value::Reference(Uuid::from_u128(100))));
        change(
            &mut stage,
            10 + task,
            store(tasks.number, task.into(), doc.clone(), Expect::Fresh),
        );
        if task % 2 == 0 {
            doc.set(field(&tasks, "status"), Some(Value::Text("done".to_owned())));
            change(&mut stage, 20 + task, store(tasks.number, task.into(), doc, Expect::Present));
        }
    }
    let (collection, id, expect) = (tasks.number, Uuid::from_u128(3), Expect::Present);
    change(&mut stage, 40, Operation::Delete { collection, id, expect });
    stage
}

fn archive(snapshot: &Snapshot, space: Space) -> (Vec<u8>, Summary) {
    let mut out = Vec::new();
    let summary = write(snapshot, space, &mut out).expect("an archive");
    (out, summary)
}

/// The archive of a tenant with one collection, a token and no record.
fn small() -> (Vec<u8>, Summary) {
    let mut stage = Stage::empty();
    let mut start = crate::records::template::find("docs").expect("a template");
    start.collections.truncate(1);
    let create = SpaceCreate {
        tenant: Uuid::from_u128(1),
        slug: "acme".to_owned(),
        name: "Acme".to_owned(),
        collections: start.collections,
        token: Some(token(1).row),
    };
    stage.apply(create).result.expect("a space");
    archive(&stage.snapshot(), SPACE)
}

fn read(bytes: &[u8], owner: Owner) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ReadError> {
    let mut rows = BTreeMap::<Vec<u8>, Vec<u8>>::new();
    let mut is_whole = false;
    for chunk in Reader::new(bytes, owner)? {
        let chunk = chunk?;
        let size: usize = chunk.rows.iter().map(|row| row.key.len() + row.value.len()).sum();
        assert!(chunk.rows.len() <= MOVE_KEYS && size <= MOVE_CHUNK_BYTES + storage::MAX_KEY_BYTES);
        for row in chunk.rows {
            let value = rows.entry(row.key).or_default();
            assert_eq!(
                value.len() as u64,
                row.offset,
                "a piece comes behind those before it, and no row twice"
            );
            value.extend_from_slice(&row.value);
        }
        is_whole = chunk.end.is_some();
    }
    assert!(is_whole, "the last chunk has the header");
    Ok(rows)
}

/// All rows of a space but its header, as they are in another.
fn rows(snapshot: &Snapshot, space: Space, there: Space) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let range = KeyRange::space(space).after(&SpaceHeader { space }.key());
    let rows = snapshot.scan(range, Direction::Forward).map(|row| row.expect("a row"));
    let moved = |(key, value): (storage::Key, Bytes)| {
        let key = [&there.0.to_be_bytes()[..], &key.as_bytes()[8..]].concat();
        (key, value.to_vec())
    };
    rows.map(moved).collect()
}

#[test]
fn what_is_read_is_what_was_there_with_what_is_derived_from_it() {
    for text_bytes in [3, 400, 2_500_000] {
        let stage = lived(text_bytes);
        let snapshot = stage.snapshot();
        let (bytes, summary) = archive(&snapshot, SPACE);
        assert_eq!(
            (summary.bytes, summary.hash),
            (bytes.len() as u64, *blake3::hash(&bytes).as_bytes())
        );
        assert_eq!(
            (summary.position, summary.stamp),
            (stage.header().position, stage.header().stamp)
        );
        assert_eq!(read(&bytes, owner(THERE)).expect("an archive"), rows(&snapshot, SPACE, THERE));
        let header = Reader::new(&bytes[..], owner(THERE)).expect("a head").last();
        assert_eq!(header.expect("a chunk").expect("whole").end, Some(stage.header()));
    }
}

#[test]
fn tokens_stay_behind_where_they_are_not_wanted() {
    let stage = lived(3);
    let (bytes, _) = archive(&stage.snapshot(), SPACE);
    let dropped = Owner {
        keeps_tokens: false,
        ..owner(SPACE)
    };
    let mut kept = rows(&stage.snapshot(), SPACE, SPACE);
    let all = kept.len();
    kept.retain(|key, _| !is_of_tokens(key[8]));
    assert_eq!(all - kept.len(), 3, "a token, and two secrets");
    assert_eq!(read(&bytes, dropped).expect("an archive"), kept);
}

#[test]
fn every_carried_table_is_in_an_archive_and_no_other() {
    let names: Vec<_> = tables().map(|table| table.name).collect();
    let carried = TABLES.iter().filter(|table| table.kind == Kind::Carried).count();
    assert_eq!(names.len(), carried - 1, "all but the header");
    assert_eq!(
        names[..4],
        ["collection_schema", "collection_policy", "collection_pending", "operation"]
    );
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let (bytes, _) = small();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = read(&flipped, owner(SPACE)).expect_err("a flipped bit");
        let expected = match bit / 8 {
            0..7 => matches!(error, ReadError::Foreign),
            7 => matches!(error, ReadError::Newer { known: 2, .. } | ReadError::Foreign),
            _ => matches!(error, ReadError::Damaged { .. } | ReadError::Cut { .. }),
        };
        assert!(expected, "bit {bit}: {error}");
    }
}

#[test]
fn an_archive_that_was_cut_or_goes_on_is_refused() {
    let (bytes, _) = small();
    for length in 0..bytes.len() {
        let error = read(&bytes[..length], owner(SPACE)).expect_err("cut");
        match error {
            ReadError::Foreign => assert!(length < 8),
            ReadError::Cut { at } => assert_eq!(at, length as u64),
            error => panic!("cut at {length}: {error}"),
        }
    }
    let error = read(&[&bytes[..], &[0]].concat(), owner(SPACE)).expect_err("longer");
    assert!(
        matches!(error, ReadError::Longer { at } if at == bytes.len() as u64),
        "{error}"
    );
    let twice = read(&[&bytes[..], &bytes[..]].concat(), owner(SPACE)).expect_err("longer");
    assert!(matches!(twice, ReadError::Longer { .. }), "{twice}");
}

#[test]
fn chunks_of_files_follow_the_rows_that_name_them() {
    let mut stage = Stage::with_template("workspace");
    let chunks: [&[u8]; 2] = [b"one", b"two"];
    let content = Content {
        size: 1 << 21,
        blake3: [1; 32],
        sha256: [2; 32],
        chunks: chunks.iter().map(|chunk| *blake3::hash(chunk).as_bytes()).collect(),
    };
    let create = FileCreate {
        id: Uuid::from_u128(5),
        name: "a".to_owned(),
        media_type: "text/plain".to_owned(),
        attached: None,
        content,
        quota: u64::MAX,
    };
    stage.apply(create).result.expect("made");
    assert_eq!(
        archive(&stage.snapshot(), SPACE).0[7],
        1,
        "without its chunks it is what it always was"
    );
    let mut give = |hash: &[u8; 32]| {
        let found = chunks.iter().find(|chunk| blake3::hash(chunk).as_bytes() == hash);
        Ok(Bytes::from_static(found.expect("one that is named")))
    };
    let mut bytes = Vec::new();
    write_with(&stage.snapshot(), SPACE, Some(&mut give), &mut bytes).expect("an archive");
    assert_eq!(bytes[7], 2);
    let read: Result<Vec<_>, _> = Reader::new(&bytes[..], owner(THERE)).expect("a head").collect();
    let read = read.expect("an archive");
    let mut blobs: Vec<_> = read.iter().flat_map(|chunk| chunk.blobs.clone()).collect();
    blobs.sort();
    assert_eq!(blobs, chunks);
    assert!(
        read.iter().all(|chunk| chunk.end.is_none() || chunk.blobs.is_empty()),
        "before the end"
    );
    // One that cannot be had is an error, and no archive.
    let mut none = |_: &[u8; 32]| Err(std::io::ErrorKind::NotFound.into());
    write_with(&stage.snapshot(), SPACE, Some(&mut none), Vec::new()).expect_err("a chunk is missing");
}

#[test]
fn a_version_that_nothing_can_follow_is_refused() {
    for (version, is_read) in [(VERSION_MAX, true), (VERSION_MAX + 1, false), (u64::MAX, false)] {
        let mut stage = Stage::with_template("workspace");
        let catalog = stage.catalog();
        let tasks = catalog.named("tasks").expect("tasks");
        let mut doc = Doc::default();
        for name in ["title", "status"] {
            doc.set(
                tasks.field(name).expect("a field").number,
                Some(Value::Text("todo".to_owned())),
            );
        }
        let record = Record {
            version,
            created: 1,
            updated: 1,
            by: Actor::System,
            doc,
        };
        let archived = ArchivedRecord {
            line: 1,
            collection: tasks.number,
            id: Uuid::from_u128(1),
            record,
        };
        let restore = RecordsRestore {
            import: [1; 32],
            after: 0,
            last: 1,
            records: vec![archived],
            refused: 0,
        };
        assert!(stage.apply(restore).result.expect("stored").refused.is_empty());
        let (bytes, _) = archive(&stage.snapshot(), SPACE);
        match read(&bytes, owner(THERE)) {
            Ok(_) => assert!(is_read, "{version}"),
            Err(error) => {
                assert!(!is_read && error.to_string().contains("version"), "{version}: {error}");
            }
        }
    }
}
