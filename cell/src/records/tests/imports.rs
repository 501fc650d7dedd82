//! Lines of imports: what they make, and, with upsert, what they change.

use super::schemas::{put, schema};
use super::*;
use crate::expr::Auth;
use crate::machine::refusal::Refusal;
use crate::records::import::Imported;
use crate::records::import_lines::{ImportLines, admit, upsert_field};
use crate::records::line::{Line, Reading};

fn people() -> Stage {
    let mut stage = Stage::with_template("workspace");
    let wanted = json!({
        "fields": {
            "mail": {"type": "text", "unique": true}, "name": {"type": "text", "required": true},
            "level": {"type": "integer", "default": 1}, "note": {"type": "text"}, "owner": {"type": "text"}},
        "rules": {"read": "record.owner == auth.name", "update": "record.level < 5", "create": "new.owner == auth.name"}});
    put(&mut stage, "people", &schema(wanted));
    stage
}

fn asker(name: &str) -> guard::Asker<'_> {
    guard::Asker {
        auth: Auth {
            id: "token:1",
            name,
            role: api::body::token::Role::Member,
        },
        now: 0,
    }
}

/// Imports lines that follow a checkpoint, as somebody or as the platform; what decide refuses is left out.
fn import(stage: &mut Stage, after: u64, upsert: Option<&str>, who: Option<&str>, lines: &[Json]) -> Imported {
    let (snapshot, catalog) = (stage.snapshot(), stage.catalog());
    let people = catalog.named("people").expect("people");
    let upsert = upsert.map(|name| upsert_field(people, name).expect("a unique field"));
    let view = View {
        snapshot: &snapshot,
        catalog: &catalog,
        space: SPACE,
        asker: who.map(asker),
    };
    let reading = Reading {
        texts: false,
        upsert: upsert.is_some(),
    };
    let (mut decided, mut refused) = (Vec::new(), 0);
    for (number, line) in (after + 1..).zip(lines) {
        let fresh = id(1_000 + u128::from(number));
        let mut line = Line::read(people, number, line.to_string().as_bytes(), fresh, reading).expect("a line");
        match admit(&view, people, upsert, &mut line) {
            Ok(()) => decided.push(line),
            Err(_) => refused += 1,
        }
    }
    let command = ImportLines {
        import: [1; 32],
        collection: people.number,
        upsert,
        after,
        last: after + lines.len() as u64,
        lines: decided,
        refused,
    };
    let schema = Some(stage.header().schema);
    stage.apply_as(command, None, schema).result.expect("imported")
}

#[test]
fn a_line_changes_the_record_that_has_its_value_and_makes_one_where_there_is_none() {
    let mut stage = people();
    let first = [
        json!({"mail": "a", "name": "Ann", "note": "x"}),
        json!({"mail": "b", "name": "Bob"}),
    ];
    assert_eq!(import(&mut stage, 0, Some("mail"), None, &first).checkpoint.imported, 2);
    // The third has what the second makes; the fourth lacks a name, but changes one that has it; the fifth lacks it in vain.
    let lines = [
        json!({"mail": "a", "note": null, "level": 7}),
        json!({"mail": "c", "name": "Cid"}),
        json!({"mail": "c", "note": "seen"}),
        json!({"mail": "d"}),
        json!({"name": "without"}),
    ];
    let done = import(&mut stage, 2, Some("mail"), None, &lines);
    assert_eq!((done.checkpoint.imported, done.checkpoint.failed), (6, 1));
    assert!(
        matches!(&done.refused[..], [(6, Refusal::Invalid { errors })] if errors[0].0 == "/name"),
        "{:?}",
        done.refused
    );
    assert_eq!(
        shown(&stage, "people", 1_001),
        json!({"mail": "a", "name": "Ann", "level": 7})
    );
    assert_eq!(read(&stage, "people", 1_001).expect("a record").version, 2);
    assert_eq!(
        shown(&stage, "people", 1_004),
        json!({"mail": "c", "name": "Cid", "level": 1, "note": "seen"})
    );
    assert_eq!(
        read(&stage, "people", 1_007).expect("a record").version,
        1,
        "a line without a value makes a record"
    );
    let again = import(&mut stage, 2, Some("mail"), None, &lines);
    assert_eq!(again.checkpoint, done.checkpoint, "what is settled stays");
}

#[test]
fn a_line_with_an_id_changes_no_other_record() {
    let mut stage = people();
    import(&mut stage, 0, Some("mail"), None, &[json!({"mail": "a", "name": "Ann"})]);
    let lines = [
        json!({"id": id(9).to_string(), "mail": "a", "name": "Other"}),
        json!({"id": id(1_001).to_string(), "mail": "a", "name": "Anna"}),
    ];
    let done = import(&mut stage, 1, Some("mail"), None, &lines);
    assert!(
        matches!(&done.refused[..], [(2, Refusal::Unique { holder, .. })] if *holder == id(1_001)),
        "{:?}",
        done.refused
    );
    assert_eq!(shown(&stage, "people", 1_001)["name"], json!("Anna"));
}

#[test]
fn without_upsert_a_taken_value_is_refused() {
    let mut stage = people();
    let line = json!({"mail": "a", "name": "Ann"});
    let done = import(&mut stage, 0, None, None, &[line.clone(), line]);
    assert!(matches!(&done.refused[..], [(2, Refusal::Unique { .. })]));
    let error = upsert_field(stage.catalog().named("people").expect("people"), "note").expect_err("not unique");
    assert!(error.detail.contains("it has: mail"), "{error}");
}

#[test]
fn rules_hold_for_every_line() {
    let mut stage = people();
    let owned = |mail: &str, owner: &str, level: u64| json!({"mail": mail, "name": mail, "owner": owner, "level": level});
    import(
        &mut stage,
        0,
        None,
        None,
        &[owned("a", "ann", 1), owned("b", "ann", 9), owned("c", "bob", 1)],
    );
    let lines = [
        owned("a", "ann", 2),
        // The rule for updates does not allow it.
        owned("b", "ann", 2),
        // Hers it is not: she may neither change it nor learn of it.
        owned("c", "ann", 2),
        // Nobody makes records for another.
        owned("d", "bob", 2),
        owned("e", "ann", 2),
    ];
    let done = import(&mut stage, 3, Some("mail"), Some("ann"), &lines);
    assert_eq!((done.checkpoint.imported, done.checkpoint.failed), (3 + 2, 3));
    assert!(
        matches!(&done.refused[..], [(6, Refusal::Unique { .. })]),
        "{:?}",
        done.refused
    );
    let level = |stage: &Stage, number| shown(stage, "people", number)["level"].clone();
    assert_eq!(
        [level(&stage, 1_001), level(&stage, 1_002), level(&stage, 1_003)],
        [json!(2), json!(9), json!(1)]
    );
}
