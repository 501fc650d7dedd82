//! Expressions against records that are as large as records can be.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use api::body::token::Role;
use uuid::Uuid;

use crate::expr::{Auth, Expression, Facts, Scope};
use crate::machine::rows::Actor;
use crate::records::schema::{Collection, Deletion, FieldSpec, Kind};
use crate::records::value::{Doc, Record, Value};

/// 2026-11-22T09:00:00Z.
const NOON: u64 = 1_795_338_000_000_000;
/// As much as the body of a request holds, and as one evaluation looks at.
const HUGE_BYTES: usize = 1_000_000;
/// As much of a `json` field as one evaluation looks at.
const DOCUMENT_BYTES: usize = 64 * 1024;
/// How often all of a value can be looked at, in each of the large records.
const LOOKS: [usize; 8] = [1, 2, 4, 5, 10, 20, 40, 100];
/// Rounds of a measurement, of which the fastest counts: whoever shares the machine makes some of them slower.
const ROUNDS: usize = 7;

/// A collection with a field of every type, and records of it.
struct World {
    collection: Collection,
    /// Small, and without any value.
    records: [Record; 2],
    /// Whose values can be looked at [`LOOKS`] times.
    large: Vec<Record>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World {
        collection: collection(),
        records: [record(small()), record(Doc::default())],
        large: LOOKS.iter().map(|looks| record(large(*looks))).collect(),
    })
}

fn collection() -> Collection {
    let kinds = [
        ("title", Kind::Text),
        ("points", Kind::Integer),
        ("weight", Kind::Number),
        ("done", Kind::Bool),
        ("due_on", Kind::Date),
        ("closed_at", Kind::Timestamp),
        ("status", Kind::Select(vec!["todo".to_owned(), "done".to_owned()])),
        ("labels", Kind::Tags),
        (
            "project",
            Kind::Reference {
                collection: 1,
                name: "projects".to_owned(),
                on_delete: Deletion::Restrict,
            },
        ),
        ("meta", Kind::Json),
        ("owner", Kind::User),
        ("list", Kind::Json),
        ("texts", Kind::Json),
    ];
    let fields = (1..).zip(kinds).map(|(number, (name, kind))| FieldSpec {
        number,
        name: name.to_owned(),
        kind,
        required: false,
        default: None,
        unique: None,
        max_length: None,
        min: None,
        max: None,
    });
    Collection {
        number: 2,
        name: "tasks".to_owned(),
        version: 1,
        dropped: false,
        fields: fields.collect(),
        indexes: Vec::new(),
        search: Vec::new(),
        next_field: 14,
        next_index: 1,
    }
}

fn small() -> Doc {
    let mut doc = Doc::default();
    let values = [
        Value::Text("Fix the pump".to_owned()),
        Value::Integer(5),
        Value::Number(1.5),
        Value::Bool(false),
        Value::Date(20_779),
        Value::Timestamp(NOON.cast_signed()),
        Value::Text("todo".to_owned()),
        Value::List(vec!["urgent".to_owned(), "pump".to_owned()]),
        Value::Reference(Uuid::from_u128(10)),
        Value::Json(r#"{"floor":3,"rooms":["a","b"],"deep":{"x":null}}"#.to_owned()),
        Value::Text("token:1".to_owned()),
        Value::Json("[1,2.5,\"a\",null,true,[1],{\"k\":1}]".to_owned()),
        Value::Json("[\"a\",\"b\"]".to_owned()),
    ];
    for (number, value) in (1..).zip(values) {
        doc.set(number, Some(value));
    }
    doc
}

/// Values that can be looked at so often before there is no more to be looked at, one of them in each field that takes such.
fn large(looks: usize) -> Doc {
    let mut doc = small();
    let document = DOCUMENT_BYTES / looks;
    // As many as fit, in arrays of a hundred, which are the longest that are looked at.
    let array = |item: &str, bytes: usize| format!("[{}]", vec![item; (bytes / (item.len() + 1)).clamp(1, 100)].join(","));
    let inner = array("[1,[2],{\"a\":\"b\"}]", document / 100);
    let member = |number: usize| format!("\"k{number}\":{}", array("[1,2,3]", document / 110));
    let members: Vec<_> = (0..100).map(member).collect();
    doc.set(1, Some(Value::Text("x".repeat(HUGE_BYTES / looks))));
    doc.set(2, Some(Value::Integer(i64::MIN)));
    doc.set(3, Some(Value::Number(f64::MAX)));
    doc.set(
        8,
        Some(Value::List(vec!["t".repeat((HUGE_BYTES / looks / 110).min(4 * 200)); 100])),
    );
    doc.set(10, Some(Value::Json(format!("{{{}}}", members.join(",")))));
    doc.set(12, Some(Value::Json(array(&inner, document))));
    doc.set(
        13,
        Some(Value::Json(array(
            &format!("\"{}\"", "y".repeat((document / 110).min(990))),
            document,
        ))),
    );
    doc
}

fn record(doc: Doc) -> Record {
    Record {
        version: 3,
        created: NOON,
        updated: u64::MAX,
        by: Actor::System,
        doc,
    }
}

fn facts(record: &Record) -> Facts<'_> {
    Facts {
        record: Some((Uuid::from_u128(7), record)),
        new: Some((Uuid::from_u128(8), &record.doc)),
        auth: Some(Auth {
            id: "token:0198c0de-0000-7000-8000-000000000001",
            name: "one",
            role: Role::Member,
        }),
        now: NOON,
    }
}

fn compile(text: &str, rule: bool) -> Result<Expression, String> {
    let collection = &world().collection;
    let scope = if rule {
        Scope::Rule {
            collection,
            record: true,
            new: true,
        }
    } else {
        Scope::Filter(collection)
    };
    Expression::compile(text, scope)
}

/// Compiles the bytes as a filter or a rule and evaluates it over all records. Returns the longest time that reading it or one
/// evaluation took.
pub fn expression(data: &[u8]) -> Duration {
    let Some((kind, text)) = data.split_first() else {
        return Duration::ZERO;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return Duration::ZERO;
    };
    let begin = Instant::now();
    let compiled = compile(text, kind & 1 == 1);
    let mut longest = begin.elapsed();
    let Ok(expression) = compiled else { return longest };
    for record in world().records.iter().chain(&world().large) {
        let begin = Instant::now();
        expression.holds(&facts(record));
        longest = longest.max(begin.elapsed());
    }
    // What is asked of single fields is a part of the whole: reading it panics no more than evaluating it.
    let _ = expression.conjuncts();
    longest
}

/// How long one evaluation takes over the small record, and over that of the large ones which takes longest, and whether it is true.
/// The error is why it does not compile.
pub fn measure(text: &str, rule: bool, times: u32) -> Result<[(Duration, bool); 2], String> {
    let expression = compile(text, rule)?;
    let round = |facts: &Facts<'_>| {
        let begin = Instant::now();
        let mut holds = false;
        for _ in 0..times.max(1) {
            holds = expression.holds(facts);
        }
        (begin.elapsed() / times.max(1), holds)
    };
    let over = |record: &Record| {
        let facts = facts(record);
        (0..ROUNDS).map(|_| round(&facts)).min().unwrap_or_default()
    };
    let [small, _] = &world().records;
    let longest = world().large.iter().map(over).max();
    Ok([over(small), longest.unwrap_or_default()])
}
