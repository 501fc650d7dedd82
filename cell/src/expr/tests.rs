use api::body::token::Role;
use serde_json::json;
use uuid::Uuid;

use super::conjunct::{Ask, Literal};
use super::*;
use crate::machine::rows::Actor;
use crate::records::convert::{Mode, document};
use crate::records::schema::{Collection, FieldSpec, Kind};
use crate::records::value::{Doc, Record};

/// 2026-11-22T09:00:00Z.
const NOON: u64 = 1_795_338_000_000_000;

fn tasks() -> Collection {
    let reference = Kind::Reference {
        collection: 1,
        name: "projects".to_owned(),
        on_delete: crate::records::schema::Deletion::Restrict,
    };
    let fields = [
        ("title", Kind::Text),
        ("points", Kind::Integer),
        ("weight", Kind::Number),
        ("done", Kind::Bool),
        ("due_on", Kind::Date),
        ("closed_at", Kind::Timestamp),
        ("status", Kind::Select(vec!["todo".to_owned(), "done".to_owned()])),
        ("labels", Kind::Tags),
        ("project", reference),
        ("meta", Kind::Json),
    ];
    let fields = (1..).zip(fields).map(|(number, (name, kind))| FieldSpec {
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
        next_field: 11,
        next_index: 1,
    }
}

fn doc(fields: serde_json::Value) -> Doc {
    let fields = fields.as_object().unwrap().clone();
    document(&tasks(), &fields, Doc::default(), Mode::Whole, "").unwrap()
}

fn record() -> Record {
    Record {
        version: 3,
        created: NOON,
        updated: NOON + 5,
        by: Actor::System,
        doc: doc(json!({
            "title": "Fix the pump", "points": 5, "weight": 1.5, "done": false, "due_on": "2026-11-22",
            "closed_at": "2026-11-22T09:00:00Z", "status": "todo", "labels": ["urgent", "pump"],
            "project": "00000000-0000-4000-8000-00000000000a", "meta": {"floor": 3, "rooms": ["a", "b"], "deep": {"x": null}},
        })),
    }
}

fn filter(text: &str) -> Result<Expression, String> {
    Expression::compile(text, Scope::Filter(&tasks()))
}

fn holds(text: &str) -> bool {
    let facts = Facts {
        record: Some((Uuid::from_u128(7), &record())),
        now: NOON,
        ..Facts::default()
    };
    filter(text).unwrap_or_else(|error| panic!("{text}: {error}")).holds(&facts)
}

#[test]
fn what_is_true_of_a_record_holds() {
    for text in [
        r#"status == "todo" && points >= 3"#,
        "points == 5 && points != 4 && points < 6 && points > 4 && points <= 5",
        "points > 4.5 && weight < 2 && weight == 1.5",
        "!done && done == false",
        r#"due_on == "2026-11-22" && due_on < "2026-12-01" && "2026-11-01" < due_on"#,
        "due_on == today && due_on + 1 > today && today - due_on == 0",
        r#"closed_at >= "2026-11-22T08:59:59.999999Z" && closed_at == timestamp("2026-11-22T10:00:00+01:00")"#,
        r#"closed_at > now - duration("1h") && now - closed_at < "1h""#,
        r#"created_at < "2027-01-01T00:00:00Z" && updated_at > created_at"#,
        r#"status in ["todo", "done"] && !(status in ["done"])"#,
        r#""urgent" in labels && labels.exists(label, label.startsWith("pu")) && size(labels) == 2"#,
        r#"labels.all(l, l.size() > 2) && labels.exists_one(l, l == "pump") && labels.filter(l, l == "pump").size() == 1"#,
        r#"labels.map(l, l + "s") == ["urgents", "pumps"] && labels[0] == "urgent""#,
        r#"project == "00000000-0000-4000-8000-00000000000A" && project in ["00000000-0000-4000-8000-00000000000a"]"#,
        r#"title.startsWith("Fix") && title.endsWith("pump") && title.contains("the") && title.size() == 12"#,
        r#"meta.floor == 3 && meta.rooms[1] == "b" && "a" in meta.rooms && has(meta.floor) && !has(meta.cellar)"#,
        r#"meta.deep.x == null && version == 3 && id == "00000000-0000-0000-0000-000000000007" && created_by == "system""#,
        "(points > 100 ? 1 : 2) == 2 && points % 2 == 1 && -points < 0 && points * 2 - 1 == 9 && double(points) / 2.0 == 2.5",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn what_cannot_be_said_is_false_and_so_is_its_opposite() {
    let empty = Record {
        doc: Doc::default(),
        ..record()
    };
    let facts = Facts {
        record: Some((Uuid::nil(), &empty)),
        ..Facts::default()
    };
    let holds = |text: &str| filter(text).expect(text).holds(&facts);
    for text in [
        "points > 3",
        "!(points > 3)",
        "done",
        "!done",
        r#"title.contains("a")"#,
        "meta.floor == 3",
        "meta.floor != 3",
        r#""a" in labels"#,
        "points / 0 == 1",
        r#"due_on < "2026-12-01""#,
    ] {
        assert!(!holds(text), "{text}");
    }
    for text in [
        "points == null",
        "points != 3",
        r#"status != "todo""#,
        "done || points == null",
        "project == null",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (text, said) in [
        ("", "line 1"),
        ("points >=", "line 1"),
        ("nothing == 1", r#"tasks has no field "nothing""#),
        (r#"points == "three""#, "cannot be compared"),
        (r#"status == "open""#, r#"none of the options, which are "todo", "done""#),
        (r#"status in ["todo", "open"]"#, "none of the options"),
        (r#"due_on == "tomorrow""#, "is not a date such as"),
        (r#"closed_at < "noon""#, "is not a time such as"),
        (r#"project == "x""#, "is not an id"),
        ("due_on == closed_at", "a date and a time cannot be compared"),
        ("points", "must be true or false"),
        ("labels < labels", "does not take"),
        ("title.matches('a+')", r#"no function "matches""#),
        ("title.contains(3)", "does not take"),
        ("string(points) == '5'", r#"no function "string""#),
        ("points + title == 3", "does not take"),
        ("title.floor == 3", r#"has no member "floor""#),
        ("{'a': 1} == meta", "cannot be written"),
        ("b'a' == title", "bytes"),
        ("points == 3u", "unsigned"),
        ("record.points == 3", "no field"),
        ("labels.exists(l, labels.exists(m, m == l))", "inside each other"),
        ("labels.map(l, l + l).map(l, l + l) == []", "behind each other"),
        ("labels.filter(l, l != '').exists(l, l == 'x')", "behind each other"),
        (
            "title + title + title + title + title + title + title + title + title + title + title + title == ''",
            "put together",
        ),
        ("labels.map(l, [l, l, l, l, l, l, l, l, l, l]) == []", "not written out"),
        ("timestamp(title) < now", "written out"),
        ("$r1 == 'x'", "line 1"),
    ] {
        let error = filter(text).expect_err(text);
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn rules_see_what_is_there_and_nothing_else() {
    let collection = tasks();
    let rule = |text: &str, record, new| {
        let scope = Scope::Rule {
            collection: &collection,
            record,
            new,
        };
        Expression::compile(text, scope)
    };
    let update = r#"auth.role == "member" && record.status == "todo" && new.status != record.status && new.points <= 8 && has(record.title)"#;
    let update = rule(update, true, true).unwrap();
    let (record, new) = (record(), doc(json!({ "status": "done", "points": 8 })));
    let facts = |role| Facts {
        record: Some((Uuid::nil(), &record)),
        new: Some((Uuid::nil(), &new)),
        auth: Some(Auth {
            id: "token:1",
            name: "one",
            role,
        }),
        now: NOON,
    };
    assert!(update.holds(&facts(Role::Member)) && !update.holds(&facts(Role::Guest)));
    assert!(
        rule("record.created_by == auth.id || auth.name == 'one'", true, false)
            .unwrap()
            .holds(&facts(Role::Guest))
    );
    for (text, new, said) in [
        ("new.points == 1", false, r#"there is no "new" here"#),
        ("new.version == 1", true, r#"no field "version""#),
        ("points == 1", true, r#"there is no name "points""#),
        ("auth.role == 'boss'", true, "none of the options"),
        ("auth.mail == 'x'", true, "auth has id, name and role"),
    ] {
        let error = rule(text, true, new).expect_err(text);
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn long_deep_and_wide_expressions_are_refused() {
    let long = format!("title == \"{}\"", "x".repeat(CHARS));
    let wide = vec!["points == 1"; 60].join(" || ");
    let deep = format!("{}points{} > 1", "-(".repeat(400), ")".repeat(400));
    let list = format!("points in [{}]", vec!["1"; 101].join(","));
    for text in [long, wide, deep, list] {
        assert!(filter(&text).is_err(), "{}", &text[..40]);
    }
}

#[test]
fn what_costs_nothing_may_be_deep() {
    for text in [
        format!("{}done{}", "(".repeat(990), ")".repeat(990)),
        format!("{}done", "!".repeat(1_990)),
        format!("{}done", "[".repeat(1_990)),
        "(".repeat(2_000),
        "a.".repeat(1_000),
        "?:".repeat(1_000),
    ] {
        // An answer of either kind: no stack overflows over it.
        let _ = filter(&text);
    }
}

#[test]
fn what_is_too_large_to_look_at_has_no_value() {
    let many: Vec<_> = (0..101).collect();
    let mut record = record();
    record.doc = doc(json!({ "title": "x".repeat(2_000), "labels": ["x"], "meta": { "many": many } }));
    let facts = Facts {
        record: Some((Uuid::nil(), &record)),
        ..Facts::default()
    };
    let holds = |text: &str| filter(text).expect(text).holds(&facts);
    assert!(holds("title.contains('x')"));
    assert!(!holds("labels.exists(l, title.contains(l))"));
    assert!(!holds("0 in meta.many") && !holds("!(0 in meta.many)"));
}

#[test]
fn what_has_been_looked_at_is_paid_for() {
    let mut record = record();
    let mut long = record.doc.clone();
    let value = crate::records::value::Value::Text("x".repeat(400_000));
    long.set(1, Some(value));
    record.doc = long;
    let facts = Facts {
        record: Some((Uuid::nil(), &record)),
        ..Facts::default()
    };
    let holds = |text: &str| filter(text).expect(text).holds(&facts);
    let once = "title.contains('x')";
    assert!(holds(once) && holds(&[once; 2].join(" && ")));
    assert!(!holds(&[once; 3].join(" && ")), "a third look at 400,000 bytes is too much");
    assert!(holds(&[once; 2].join(" && ")), "each evaluation has a budget of its own");
}

#[test]
fn numbers_may_be_added_as_often_as_there_is_room() {
    assert!(holds(&format!("{} == 250", ["points"; 50].join(" + "))));
    assert!(!holds(&format!("{} == 5", ["meta.floor"; 10].join(" + "))));
    let much = format!("{} == 36", ["meta.floor"; 12].join(" + "));
    assert!(
        filter(&much)
            .expect_err("what a json field holds may be a text")
            .contains("put together")
    );
}

#[test]
fn conjuncts_are_what_must_hold_of_single_fields() {
    let asked = |text: &str| filter(text).expect(text).conjuncts();
    let field = |number| Slot::Field(Of::Record, number);
    let one = |literal| Ask::OneOf(vec![literal]);
    assert_eq!(
        asked(r#"status == "todo" && (3 <= points && points < 9) && title.startsWith("Fi") && !done && size(labels) > 1"#),
        [
            (field(7), one(Literal::Text("todo".to_owned()))),
            (field(2), Ask::Above(Literal::Integer(3), true)),
            (field(2), Ask::Below(Literal::Integer(9), false)),
            (field(1), Ask::StartsWith("Fi".to_owned())),
            (field(4), one(Literal::Bool(false))),
        ]
    );
    assert_eq!(asked("done || points == 3"), []);
    assert_eq!(
        asked("points in [1, null]"),
        [(field(2), Ask::OneOf(vec![Literal::Integer(1), Literal::Null]))]
    );
    assert_eq!(
        asked(r#"created_at > "1970-01-01T00:00:01Z""#),
        [(Slot::CreatedAt, Ask::Above(Literal::Integer(1_000_000), false))]
    );
}

/// All plain comparisons, each alone, negated, and put together with each other, on records that have values, lack them, or hold too much.
#[test]
fn what_needs_no_interpreter_says_what_the_interpreter_says() {
    let mut parts = vec![
        "done".to_owned(),
        "true".to_owned(),
        "meta".to_owned(),
        "labels == []".to_owned(),
    ];
    for operator in ["==", "!=", "<", "<=", ">", ">="] {
        for (left, right) in [
            ("points", "5"),
            ("points", "4.5"),
            ("weight", "1"),
            ("points", "weight"),
            ("done", "false"),
            ("due_on", "today"),
            ("title", r#""Fix""#),
            ("status", r#""todo""#),
            ("status", "title"),
            ("created_at", "now"),
            ("meta", "3"),
            ("version", "3"),
            ("created_by", r#""system""#),
            ("project", r#""00000000-0000-4000-8000-00000000000a""#),
            ("1", "points"),
            ("id", r#""00000000-0000-0000-0000-000000000007""#),
        ] {
            parts.push(format!("{left} {operator} {right}"));
        }
    }
    parts.extend(
        [
            "points == null",
            "null != title",
            "meta == null",
            "labels == null",
            "closed_at != null",
        ]
        .map(str::to_owned),
    );
    parts.extend(
        [
            r#"status in ["todo", "done"]"#,
            "points in [1, 5.0, null]",
            r#"meta in [3]"#,
            "title in []",
        ]
        .map(str::to_owned),
    );
    let huge = Record {
        doc: doc(json!({"title": "x".repeat(30_000), "points": 5, "meta": true, "labels": []})),
        ..record()
    };
    let bare = Record {
        doc: Doc::default(),
        ..record()
    };
    let (mut quick, mut held) = (0, 0);
    let mut compare = |text: &str| {
        let expression = filter(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        quick += u32::from(expression.quick.is_some());
        for record in [&record(), &huge, &bare] {
            let facts = Facts {
                record: Some((Uuid::from_u128(7), record)),
                now: NOON,
                ..Facts::default()
            };
            let holds = expression.holds(&facts);
            assert_eq!(holds, expression.interpreted(&facts), "{text} of {record:?}");
            held += u32::from(holds);
        }
    };
    for one in &parts {
        compare(one);
        compare(&format!("!({one})"));
        for other in &parts {
            compare(&format!("({one}) && ({other})"));
            compare(&format!("!(({one}) || !({other}))"));
        }
    }
    // Too much to be looked at, in one and the same place for both.
    compare(&vec!["title != \"y\""; 40].join(" && "));
    compare(&vec!["title == \"y\""; 40].join(" || "));
    assert!(quick > 20_000 && held > 10_000, "{quick} of them were quick, {held} held");
}
