//! The bytes, the order and the printing of keys.

use crate::key::{Field, push_hex};
use crate::{
    Backup, ChunkUse, CollectionName, CollectionPending, CollectionPolicy, CollectionSchema, DirectoryCell, DirectoryChange,
    DirectoryCors, DirectoryMove, DirectoryTenant, DirectoryTenantUid, DocumentUpdate, Element, Event, File, FileAttached,
    FileTotals, FileVersion, History, HistoryAge, Idempotency, IdempotencyExpiry, Import, IndexEntry, Key, KeyError, KeyRange,
    LastScrub, Level, LinkSecret, Operation, OperatorToken, Record, RecordTotals, ReferenceEntry, SearchSettings, Sequence,
    Space, SpaceHeader, TABLES, Table, Token, TokenSecret, Topology, TopologyWanted, UniqueEntry, Upload, UploadChunk,
};

use super::sim::Random;

const SPACE: Space = Space(0x0102);
const ID: [u8; 16] = [0xA1; 16];
const HASH: [u8; 32] = [0xB2; 32];

fn values() -> Vec<Element> {
    vec![
        Element::Null,
        Element::Bool(true),
        Element::Integer(-2),
        Element::Number(1.5),
        Element::Text("a\0b".to_owned()),
        Element::Uuid(ID),
    ]
}

/// The hexadecimal bytes and the printed text of a key, after checking that it reads back.
fn shown<T: Table + PartialEq + std::fmt::Debug>(key: T) -> (u8, String, String) {
    let encoded = key.key();
    assert_eq!(T::parse(encoded.as_bytes()).unwrap(), key);
    assert_eq!((encoded.space(), encoded.tag()), (SPACE, T::TAG));
    let info = TABLES.iter().find(|info| info.tag == T::TAG).unwrap();
    assert_eq!((info.name, info.kind), (T::NAME, T::KIND));
    assert_eq!((info.describe)(encoded.as_bytes()).unwrap(), encoded.to_string());
    for cut in 0..encoded.as_bytes().len() {
        assert!(T::parse(&encoded.as_bytes()[..cut]).is_err(), "{encoded} cut to {cut}");
    }
    let longer = [encoded.as_bytes(), &[7]].concat();
    assert_eq!(T::parse(&longer), Err(KeyError::Long));
    let mut hex = String::new();
    push_hex(encoded.as_bytes(), &mut hex);
    (T::TAG, hex, encoded.to_string())
}

/// One key of every table: its tag, its bytes in hexadecimal, its text.
fn every_key() -> Vec<(u8, String, String)> {
    let (space, id, hash, scope) = (SPACE, ID, HASH, ID);
    vec![
        shown(SpaceHeader { space }),
        shown(CollectionSchema { space, collection: 3 }),
        shown(CollectionName {
            space,
            name: "tasks".to_owned(),
        }),
        shown(CollectionPolicy { space, collection: 3 }),
        shown(CollectionPending { space, collection: 3 }),
        shown(Token { space, id }),
        shown(TokenSecret { space, hash }),
        shown(Record {
            space,
            collection: 3,
            id,
        }),
        shown(IndexEntry {
            space,
            collection: 3,
            index: 4,
            values: values(),
            id,
        }),
        shown(UniqueEntry {
            space,
            collection: 3,
            index: 4,
            values: vec![Element::Text("x".to_owned())],
        }),
        shown(ReferenceEntry {
            space,
            target_collection: 3,
            target: id,
            source_collection: 5,
            field: 6,
            source: [0xC3; 16],
        }),
        shown(Sequence {
            space,
            collection: 3,
            field: 6,
            scope,
        }),
        shown(Event { space, position: 9 }),
        shown(History {
            space,
            collection: 3,
            id,
            version: 4,
        }),
        shown(HistoryAge {
            space,
            stamp: 10,
            collection: 3,
            id,
            version: 4,
        }),
        shown(Idempotency { space, scope: hash }),
        shown(IdempotencyExpiry {
            space,
            stamp: 10,
            scope: hash,
        }),
        shown(Import { space, import: hash }),
        shown(Operation { space, id }),
        shown(SearchSettings { space }),
        shown(File { space, id }),
        shown(FileVersion { space, id, version: 4 }),
        shown(FileAttached {
            space,
            collection: 3,
            record: [0xC3; 16],
            id,
        }),
        shown(ChunkUse { space, hash }),
        shown(Upload { space, id }),
        shown(UploadChunk { space, id, number: 5 }),
        shown(FileTotals { space }),
        shown(LinkSecret { space }),
        shown(DocumentUpdate {
            space,
            collection: 3,
            id,
            field: 6,
            number: 16,
        }),
        shown(RecordTotals { space }),
        shown(DirectoryTenant {
            space,
            slug: "acme".to_owned(),
        }),
        shown(DirectoryTenantUid { space, uid: 11 }),
        shown(OperatorToken { space, hash }),
        shown(DirectoryCell { space, cell: 12 }),
        shown(LastScrub { space }),
        shown(DirectoryCors { space, uid: 13 }),
        shown(DirectoryChange { space, position: 14 }),
        shown(Topology { space }),
        shown(Level { space }),
        shown(DirectoryMove { space, uid: 15 }),
        shown(TopologyWanted { space }),
        shown(Backup { space }),
    ]
}

/// The bytes of each of them after the space.
fn golden_bytes() -> Vec<String> {
    let (a, b) = ("a1".repeat(16), "b2".repeat(32));
    vec![
        "01".to_owned(),
        "0200000003".to_owned(),
        "037461736b730000".to_owned(),
        "0400000003".to_owned(),
        "0500000003".to_owned(),
        format!("08{a}"),
        format!("09{b}"),
        format!("1000000003{a}"),
        format!("110000000300000004010201037ffffffffffffffe04bff8000000000000056100ff62000006{a}00{a}"),
        "1200000003000000040578000000".to_owned(),
        format!("1300000003{a}0000000500000006{}", "c3".repeat(16)),
        format!("140000000300000006{a}"),
        "200000000000000009".to_owned(),
        format!("2800000003{a}0000000000000004"),
        format!("29000000000000000a00000003{a}0000000000000004"),
        format!("30{b}"),
        format!("31000000000000000a{b}"),
        format!("38{b}"),
        format!("40{a}"),
        "41".to_owned(),
        format!("42{a}"),
        format!("43{a}0000000000000004"),
        format!("4400000003{}{a}", "c3".repeat(16)),
        format!("45{b}"),
        format!("46{a}"),
        format!("47{a}0000000000000005"),
        "48".to_owned(),
        "49".to_owned(),
        format!("4a00000003{a}000000060000000000000010"),
        "4c".to_owned(),
        "5061636d650000".to_owned(),
        "51000000000000000b".to_owned(),
        format!("52{b}"),
        "53000000000000000c".to_owned(),
        "54".to_owned(),
        "55000000000000000d".to_owned(),
        "56000000000000000e".to_owned(),
        "57".to_owned(),
        "58".to_owned(),
        "59000000000000000f".to_owned(),
        "5a".to_owned(),
        "5b".to_owned(),
    ]
}

fn golden_texts() -> Vec<String> {
    let (a, b) = ("a1".repeat(16), "b2".repeat(32));
    vec![
        "space_header space=258".to_owned(),
        "collection_schema space=258 collection=3".to_owned(),
        "collection_name space=258 name=\"tasks\"".to_owned(),
        "collection_policy space=258 collection=3".to_owned(),
        "collection_pending space=258 collection=3".to_owned(),
        format!("token space=258 id={a}"),
        format!("token_secret space=258 hash={b}"),
        format!("record space=258 collection=3 id={a}"),
        format!("index_entry space=258 collection=3 index=4 values=[null, true, -2, 1.5, \"a\\0b\", {a}] id={a}"),
        "unique_entry space=258 collection=3 index=4 values=[\"x\"]".to_owned(),
        format!(
            "reference_entry space=258 target_collection=3 target={a} source_collection=5 field=6 source={}",
            "c3".repeat(16)
        ),
        format!("sequence space=258 collection=3 field=6 scope={a}"),
        "event space=258 position=9".to_owned(),
        format!("history space=258 collection=3 id={a} version=4"),
        format!("history_age space=258 stamp=10 collection=3 id={a} version=4"),
        format!("idempotency space=258 scope={b}"),
        format!("idempotency_expiry space=258 stamp=10 scope={b}"),
        format!("import space=258 import={b}"),
        format!("operation space=258 id={a}"),
        "search_settings space=258".to_owned(),
        format!("file space=258 id={a}"),
        format!("file_version space=258 id={a} version=4"),
        format!("file_attached space=258 collection=3 record={} id={a}", "c3".repeat(16)),
        format!("chunk_use space=258 hash={b}"),
        format!("upload space=258 id={a}"),
        format!("upload_chunk space=258 id={a} number=5"),
        "file_totals space=258".to_owned(),
        "link_secret space=258".to_owned(),
        format!("document_update space=258 collection=3 id={a} field=6 number=16"),
        "record_totals space=258".to_owned(),
        "directory_tenant space=258 slug=\"acme\"".to_owned(),
        "directory_tenant_uid space=258 uid=11".to_owned(),
        format!("operator_token space=258 hash={b}"),
        "directory_cell space=258 cell=12".to_owned(),
        "last_scrub space=258".to_owned(),
        "directory_cors space=258 uid=13".to_owned(),
        "directory_change space=258 position=14".to_owned(),
        "topology space=258".to_owned(),
        "level space=258".to_owned(),
        "directory_move space=258 uid=15".to_owned(),
        "topology_wanted space=258".to_owned(),
        "backup space=258".to_owned(),
    ]
}

#[test]
fn the_bytes_and_the_text_of_every_key_never_change() {
    let all = every_key();
    let tags: Vec<u8> = all.iter().map(|(tag, ..)| *tag).collect();
    assert_eq!(
        tags,
        TABLES.iter().map(|info| info.tag).collect::<Vec<u8>>(),
        "every table is here"
    );
    for ((_, hex, text), (golden, printed)) in all.iter().zip(golden_bytes().iter().zip(&golden_texts())) {
        assert_eq!(hex, &format!("0000000000000102{golden}"), "{text}");
        assert_eq!(text, printed);
    }
}

#[test]
fn any_bytes_can_be_printed() {
    let print = crate::table::print;
    assert_eq!(print(b""), "unknown bytes=");
    assert_eq!(
        print(&[0, 0, 0, 0, 0, 0, 0, 7, 0x77, 1]),
        "unknown bytes=00000000000000077701"
    );
    assert_eq!(print(&[0, 0, 0, 0, 0, 0, 0, 7, 0x20, 1]), "event bytes=00000000000000072001");
    assert_eq!(
        Event::parse(Level { space: SPACE }.key().as_bytes()),
        Err(KeyError::Tag(0x58))
    );
    assert_eq!(Key::from_bytes(vec![0xFF; 9].into()), Err(KeyError::Tag(0xFF)));
    assert_eq!(Key::from_bytes(vec![0; 8].into()), Err(KeyError::Short));
}

/// Elements in the order that they must have.
fn ascending() -> Vec<Element> {
    let text = |text: &str| Element::Text(text.to_owned());
    vec![
        Element::Null,
        Element::Bool(false),
        Element::Bool(true),
        Element::Integer(i64::MIN),
        Element::Integer(-256),
        Element::Integer(-1),
        Element::Integer(0),
        Element::Integer(1),
        Element::Integer(255),
        Element::Integer(i64::MAX),
        Element::Number(f64::NEG_INFINITY),
        Element::Number(f64::MIN),
        Element::Number(-1.5),
        Element::Number(-f64::MIN_POSITIVE),
        Element::Number(0.0),
        Element::Number(f64::MIN_POSITIVE),
        Element::Number(1.5),
        Element::Number(f64::MAX),
        Element::Number(f64::INFINITY),
        Element::Number(f64::NAN),
        text(""),
        text("\0"),
        text("\0\0"),
        text("\u{1}"),
        text("a"),
        text("a\0"),
        text("a\0b"),
        text("a\u{1}"),
        text("ab"),
        text("b"),
        text("ÿ"),
        Element::Uuid([0; 16]),
        Element::Uuid([0xFF; 16]),
    ]
}

fn encode(values: &[Element]) -> Vec<u8> {
    let mut out = Vec::new();
    values.to_vec().put(&mut out);
    out
}

#[test]
fn the_order_of_the_bytes_is_the_order_of_the_elements() {
    let all = ascending();
    for (left, one) in all.iter().enumerate() {
        for (right, other) in all.iter().enumerate() {
            let (first, second) = (encode(std::slice::from_ref(one)), encode(std::slice::from_ref(other)));
            assert_eq!(left.cmp(&right), first.cmp(&second), "{one:?} {other:?}");
        }
    }
    assert_eq!(encode(&[Element::Number(-0.0)]), encode(&[Element::Number(0.0)]));
    assert_eq!(encode(&[Element::Number(-f64::NAN)]), encode(&[Element::Number(f64::NAN)]));
    assert_eq!(Element::Number(-0.0), Element::Number(0.0));
}

#[test]
fn lists_order_by_element_and_the_shorter_first() {
    let elements = ascending();
    let mut random = Random::new(11);
    let mut list = || -> Vec<usize> {
        (0..random.below(4))
            .map(|_| random.below(elements.len() as u64) as usize)
            .collect()
    };
    for _ in 0..20_000 {
        let (one, other) = (list(), list());
        let values = |list: &[usize]| encode(&list.iter().map(|at| elements[*at].clone()).collect::<Vec<_>>());
        assert_eq!(one.cmp(&other), values(&one).cmp(&values(&other)), "{one:?} {other:?}");
    }
}

#[test]
fn a_range_of_an_index_holds_what_begins_with_its_elements_and_nothing_else() {
    let entry = |index, values: Vec<Element>| {
        IndexEntry {
            space: SPACE,
            collection: 1,
            index,
            values,
            id: ID,
        }
        .key()
    };
    let text = |text: &str| Element::Text(text.to_owned());
    let range = IndexEntry::range(SPACE, 1, 2, &[text("a")]);
    for (inside, key) in [
        (true, entry(2, vec![text("a")])),
        (true, entry(2, vec![text("a"), Element::Null])),
        (true, entry(2, vec![text("a"), Element::Uuid([0xFF; 16])])),
        (false, entry(2, vec![text("a\0")])),
        (false, entry(2, vec![text("ab")])),
        (false, entry(2, vec![])),
        (false, entry(2, vec![Element::Null, text("a")])),
        (false, entry(3, vec![text("a")])),
    ] {
        assert_eq!(range.contains(key.as_bytes()), inside, "{key}");
    }
    assert!(IndexEntry::range(SPACE, 1, 2, &[]).contains(entry(2, vec![]).as_bytes()));
}

#[test]
fn ranges_end_where_they_should() {
    let event = |space, position| {
        Event {
            space: Space(space),
            position,
        }
        .key()
    };
    let after = Event::range_after(Space(1), 5);
    assert!(!after.contains(event(1, 5).as_bytes()) && after.contains(event(1, 6).as_bytes()));
    assert!(after.contains(event(1, u64::MAX).as_bytes()) && !after.contains(event(2, 6).as_bytes()));
    assert!(!Event::range_after(Space(1), u64::MAX).contains(event(1, u64::MAX).as_bytes()));
    let expiry = |stamp, scope| {
        IdempotencyExpiry {
            space: Space(1),
            stamp,
            scope,
        }
        .key()
    };
    let before = IdempotencyExpiry::range_before(Space(1), 7);
    assert!(before.contains(expiry(6, [0xFF; 32]).as_bytes()) && !before.contains(expiry(7, [0; 32]).as_bytes()));
    for space in [0, 1, 0xFF, u64::MAX] {
        let range = KeyRange::space(Space(space));
        assert!(range.contains(SpaceHeader { space: Space(space) }.key().as_bytes()));
        assert!(range.contains(&[&space.to_be_bytes()[..], &[0xFE, 0xFF, 0xFF]].concat()));
        assert!(KeyRange::all().contains(&[&space.to_be_bytes()[..], &[0xFE, 0xFF, 0xFF]].concat()));
        assert!(space == u64::MAX || !range.contains(SpaceHeader { space: Space(space + 1) }.key().as_bytes()));
        assert!(range.is_within(Space(space)) && !KeyRange::all().is_within(Space(space)));
    }
    let records = Record::range(Space(1), u32::MAX);
    assert!(
        records.contains(
            Record {
                space: Space(1),
                collection: u32::MAX,
                id: [0xFF; 16]
            }
            .key()
            .as_bytes()
        )
    );
    let cursor = event(1, 5);
    let rest = KeyRange::table(Space(1), Event::TAG).after(&cursor);
    assert!(!rest.contains(cursor.as_bytes()) && rest.contains(event(1, 6).as_bytes()));
    let front = KeyRange::table(Space(1), Event::TAG).before(&cursor);
    assert!(front.contains(event(1, 4).as_bytes()) && !front.contains(cursor.as_bytes()));
    assert!(KeyRange::space(Space(1)).after(&event(9, 1)).is_empty());
}

#[test]
fn keys_of_every_length_keep_their_bytes_and_their_order() {
    // Around the length up to which a key has no allocation of its own.
    let mut keys = Vec::new();
    for length in 0..80 {
        for last in [0, 7, 255] {
            let text = "k".repeat(length);
            let bytes = [&9u64.to_be_bytes()[..], &[0x03], text.as_bytes(), &[last]].concat();
            let key = Key::from_bytes(bytes.clone().into()).unwrap();
            assert_eq!(key.as_bytes(), bytes);
            assert_eq!(key.clone(), key);
            assert_eq!((key.space(), key.tag()), (Space(9), 0x03));
            keys.push((key, bytes));
        }
    }
    let by_bytes = |a: &(Key, Vec<u8>), b: &(Key, Vec<u8>)| a.1.cmp(&b.1);
    let by_key = |a: &(Key, Vec<u8>), b: &(Key, Vec<u8>)| a.0.cmp(&b.0);
    keys.sort_by(by_bytes);
    assert!(keys.is_sorted_by(|a, b| by_key(a, b).is_lt()));
    let hashed: std::collections::HashSet<Key> = keys.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(hashed.len(), keys.len());
    assert!(
        keys.iter()
            .all(|(key, bytes)| hashed.contains(key) && hashed.contains(bytes.as_slice()))
    );
}
