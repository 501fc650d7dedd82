//! Rules and workflows: who sees what, who may do what, and which states follow each other.

use api::body::record::ListQuery;
use api::body::token::Role;
use api::error::Code;

use super::follow::all_events;
use super::guard::{Asker, Guard};
use super::schemas::{put, schema};
use super::*;
use crate::expr::Auth;
use crate::machine::refusal::Refusal;
use crate::records::query::{get, list};
use crate::records::{write::Expect, write::Operation};

fn asker(id: &str, role: Role) -> Asker<'_> {
    Asker {
        auth: Auth { id, name: "one", role },
        now: 5_000_000,
    }
}

const ANN: &str = "token:ann";

/// Notes: everybody reads what is public, their owner reads and changes them while they are drafts.
fn notes() -> Stage {
    let mut stage = Stage::with_template("workspace");
    let notes = json!({
        "fields": {
            "owner": { "type": "text", "required": true },
            "public": { "type": "bool", "default": false },
            "state": { "type": "select", "options": ["draft", "review", "final"], "default": "draft" },
            "words": { "type": "integer" },
        },
        "indexes": { "by_owner": { "fields": ["owner"] } },
        "rules": {
            "read": "record.public || record.owner == auth.id",
            "create": "new.owner == auth.id",
            "update": "record.owner == auth.id && new.owner == record.owner",
            "delete": "record.owner == auth.id && record.state == 'draft'",
        },
        "workflow": {
            "field": "state",
            "initial": ["draft"],
            "transitions": [
                { "from": ["draft"], "to": "review", "guard": "new.words > 100" },
                { "from": ["review"], "to": "draft" },
                { "from": ["review"], "to": "final", "roles": ["admin", "owner"] },
            ],
        },
    });
    put(&mut stage, "notes", &schema(notes));
    for (number, owner, public) in [
        (1, ANN, false),
        (2, ANN, true),
        (3, "token:bob", false),
        (4, "token:bob", true),
        (5, "token:bob", false),
    ] {
        let note = create("notes", number, json!({ "owner": owner, "public": public, "words": 200 }));
        run(&mut stage, &[note]).result.expect("stored");
    }
    stage
}

fn refused(stage: &Stage, asker: Asker<'_>, operation: BatchOperation) -> (Code, String) {
    let error = decide_as(stage, Some(asker), &[operation]).map(|_| ()).expect_err("refused");
    (error.code, error.detail)
}

#[test]
fn reads_lists_counts_and_events_show_what_the_rule_lets_through() {
    let stage = notes();
    let (catalog, snapshot) = (stage.catalog(), stage.snapshot());
    let notes = catalog.named("notes").expect("notes").clone();
    let guard = catalog.guard(&notes).map(AsRef::as_ref);
    let seen = |asker: Asker<'_>| {
        let query = ListQuery {
            limit: 10,
            count: true,
            ..ListQuery::default()
        };
        let page = list(&snapshot, SPACE, &notes, &query, Sight::new(guard, asker), &Expand::default()).expect("a page");
        let numbers: Vec<_> = page.items.iter().map(|record| record.id.0.as_u128()).collect();
        for number in 1..=5u128 {
            let found = get(
                &snapshot,
                SPACE,
                &notes,
                api::ids::Id(id(number)),
                Sight::new(guard, asker),
                &Expand::default(),
            );
            let code = found.map(|_| ()).map_err(|error| error.code);
            let expected = if numbers.contains(&number) {
                Ok(())
            } else {
                Err(Code::NotFound)
            };
            assert_eq!(code, expected, "{number}");
        }
        let shown = all_events(&stage, asker);
        let shown = shown.iter().filter(|seen| !seen.hidden).map(|seen| seen.told.event());
        let shown = shown.filter(|event| event.collection.as_deref() == Some("notes"));
        let shown = shown.filter(|event| event.kind == "record.created").count();
        assert_eq!((page.count, shown), (Some(numbers.len() as u64), numbers.len()));
        numbers
    };
    assert_eq!(seen(asker(ANN, Role::Member)), [1, 2, 4]);
    assert_eq!(seen(asker("token:eve", Role::Guest)), [2, 4]);
    assert_eq!(
        seen(asker("token:eve", Role::Admin)),
        [1, 2, 3, 4, 5],
        "who can change rules is not bound"
    );
    let bobs = ListQuery {
        limit: 1,
        count: true,
        equals: vec![("owner".to_owned(), "token:bob".to_owned())],
        ..ListQuery::default()
    };
    let page = list(
        &snapshot,
        SPACE,
        &notes,
        &bobs,
        Sight::new(guard, asker(ANN, Role::Member)),
        &Expand::default(),
    )
    .expect("a page");
    assert_eq!(
        (page.items.len(), page.count, page.next_cursor),
        (1, Some(1), None),
        "no cursor tells of more"
    );
}

#[test]
fn writes_need_what_the_rules_ask_for() {
    let stage = notes();
    let ann = asker(ANN, Role::Member);
    let mine = json!({ "owner": ANN, "words": 1 });
    decide_as(&stage, Some(ann), &[create("notes", 9, mine.clone())]).expect("her own");
    let patch = |number, fields| operation(BatchVerb::Patch, "notes", number, fields);
    for (operation, code) in [
        (create("notes", 9, json!({ "owner": "token:bob" })), Code::Forbidden),
        (patch(4, json!({ "words": 3 })), Code::Forbidden),
        (patch(3, json!({ "words": 3 })), Code::NotFound),
        (patch(1, json!({ "owner": "token:bob" })), Code::Forbidden),
        (operation(BatchVerb::Put, "notes", 3, mine.clone()), Code::NotFound),
        (operation(BatchVerb::Put, "notes", 4, mine), Code::Forbidden),
        (
            operation(BatchVerb::Put, "notes", 9, json!({ "owner": "token:bob" })),
            Code::Forbidden,
        ),
        (operation(BatchVerb::Delete, "notes", 3, Json::Null), Code::NotFound),
        (operation(BatchVerb::Delete, "notes", 4, Json::Null), Code::Forbidden),
        (operation(BatchVerb::Check, "notes", 3, Json::Null), Code::NotFound),
    ] {
        let shown = format!("{operation:?}");
        assert_eq!(refused(&stage, ann, operation).0, code, "{shown}");
    }
    decide_as(&stage, Some(ann), &[operation(BatchVerb::Delete, "notes", 1, Json::Null)]).expect("her own draft");
    let admin = asker("token:eve", Role::Admin);
    decide_as(&stage, Some(admin), &[operation(BatchVerb::Delete, "notes", 3, Json::Null)]).expect("not bound");
}

#[test]
fn what_a_rule_looked_at_must_still_hold_below_the_log() {
    let mut stage = notes();
    let ann = asker(ANN, Role::Member);
    for verb in [BatchVerb::Put, BatchVerb::Patch, BatchVerb::Delete] {
        let fields = json!({ "owner": ANN, "words": 7 });
        let decided = decide_as(&stage, Some(ann), &[operation(verb, "notes", 2, fields)]).expect("her own");
        let (Operation::Store { expect, .. } | Operation::Delete { expect, .. } | Operation::Check { expect, .. }) =
            &decided.0.operations[0];
        assert!(matches!(expect, Expect::Read(_)), "{verb:?}: {expect:?}");
        // Meanwhile it is somebody else's.
        let taken = operation(BatchVerb::Patch, "notes", 2, json!({ "words": 500 }));
        run(&mut stage, &[taken]).result.expect("stored");
        assert_eq!(stage.apply(decided).result, Err(Refusal::Stale), "{verb:?}");
    }
    let new = decide_as(
        &stage,
        Some(ann),
        &[operation(BatchVerb::Put, "notes", 9, json!({ "owner": ANN }))],
    )
    .expect("new");
    run(&mut stage, &[create("notes", 9, json!({ "owner": "token:bob" }))])
        .result
        .expect("stored");
    assert!(
        stage.apply(new).result.is_err(),
        "it would have replaced a record that the rule never saw"
    );
}

#[test]
fn states_follow_each_other_as_the_workflow_says() {
    let mut stage = notes();
    let (ann, admin) = (asker(ANN, Role::Member), asker("token:eve", Role::Admin));
    let to = |number, state: &str| operation(BatchVerb::Patch, "notes", number, json!({ "state": state }));
    let (code, detail) = refused(&stage, ann, to(1, "final"));
    assert_eq!(code, Code::TransitionRefused);
    assert!(
        detail.contains("from \"draft\" to \"final\"") && detail.contains("it may be \"review\""),
        "{detail}"
    );
    assert_eq!(
        refused(&stage, admin, to(1, "final")).0,
        Code::TransitionRefused,
        "it binds everybody"
    );
    let short = decide_as(
        &stage,
        Some(ann),
        &[operation(
            BatchVerb::Patch,
            "notes",
            1,
            json!({ "state": "review", "words": 5 }),
        )],
    );
    assert_eq!(short.expect_err("too short").code, Code::TransitionRefused);
    let review = decide_as(&stage, Some(ann), &[to(1, "review")]).expect("long enough");
    stage.apply(review).result.expect("stored");
    assert_eq!(
        refused(&stage, ann, to(1, "final")).0,
        Code::TransitionRefused,
        "not her role"
    );
    decide_as(&stage, Some(admin), &[to(1, "final")]).expect("an admin's");
    decide_as(
        &stage,
        Some(ann),
        &[operation(BatchVerb::Patch, "notes", 1, json!({ "words": 1 }))],
    )
    .expect("no change of state");
    let born = create("notes", 9, json!({ "owner": ANN, "state": "final" }));
    assert!(refused(&stage, ann, born).1.contains("at first"));
    // Within a batch each operation sees what the ones before it have done.
    let there_and_back = [to(2, "review"), to(2, "draft")];
    decide_as(&stage, Some(ann), &there_and_back).expect("both are allowed");
    let skipped = [to(2, "review"), to(2, "final")];
    assert_eq!(
        decide_as(&stage, Some(ann), &skipped).expect_err("refused").code,
        Code::TransitionRefused
    );
}

#[test]
fn a_wrong_policy_is_named_by_its_place() {
    let stage = Stage::with_template("workspace");
    let state = json!({ "state": { "type": "select", "options": ["a", "b"] }, "title": { "type": "text" } });
    for (rules, workflow, at, said) in [
        (
            json!({ "read": "record.nothing == 1" }),
            Json::Null,
            "/rules/read",
            "no field",
        ),
        (
            json!({ "read": "new.title == 'x'" }),
            Json::Null,
            "/rules/read",
            "no \"new\" here",
        ),
        (
            json!({ "create": "record.title == 'x'" }),
            Json::Null,
            "/rules/create",
            "no \"record\" here",
        ),
        (
            json!({ "update": "record.state == 'c'" }),
            Json::Null,
            "/rules/update",
            "none of the options",
        ),
        (json!({ "delete": "auth." }), Json::Null, "/rules/delete", "line 1"),
        (
            json!({}),
            json!({ "field": "title", "transitions": [] }),
            "/workflow/field",
            "not a select",
        ),
        (
            json!({}),
            json!({ "field": "state", "transitions": [{ "from": ["c"], "to": "b" }] }),
            "/workflow/transitions/0/from/0",
            "not an option",
        ),
        (
            json!({}),
            json!({ "field": "state", "transitions": [{ "from": ["a"], "to": "c" }] }),
            "/workflow/transitions/0/to",
            "not an option",
        ),
        (
            json!({}),
            json!({ "field": "state", "initial": ["z"], "transitions": [] }),
            "/workflow/initial/0",
            "not an option",
        ),
        (
            json!({}),
            json!({ "field": "state", "transitions": [{ "from": ["a"], "to": "b", "guard": "new.title" }] }),
            "/workflow/transitions/0/guard",
            "must be true or false",
        ),
    ] {
        let mut wanted = json!({ "fields": state, "rules": rules });
        if !workflow.is_null() {
            wanted["workflow"] = workflow;
        }
        let catalog = stage.catalog();
        let checked = crate::records::schema_check::check(&"new".parse().expect("a name"), &schema(wanted), None, &catalog, 9);
        let error = checked.map(|_| ()).expect_err(at);
        let named = error.errors.iter().any(|one| one.pointer == at && one.message.contains(said));
        assert!(named, "{at} {said}: {:?}", error.errors);
    }
}

#[test]
fn a_policy_is_answered_as_it_was_sent_and_goes_with_its_collection() {
    let mut stage = notes();
    let catalog = stage.catalog();
    let notes = catalog.named("notes").expect("notes");
    let shown = notes.to_api(catalog.policy(notes.number)).schema;
    assert_eq!(shown.rules.create.as_deref(), Some("new.owner == auth.id"));
    assert_eq!(shown.workflow.as_ref().map(|workflow| workflow.transitions.len()), Some(3));
    let again: api::body::collection::CollectionSchema =
        serde_json::from_value(serde_json::to_value(&shown).expect("JSON")).expect("a schema");
    assert_eq!(again, shown);
    put(
        &mut stage,
        "notes",
        &api::body::collection::CollectionSchema {
            rules: api::body::policy::Rules::default(),
            workflow: None,
            ..shown
        },
    );
    let catalog = stage.catalog();
    assert!(catalog.guard(catalog.named("notes").expect("notes")).is_none());
    let left: Vec<_> = stage
        .keys()
        .into_iter()
        .filter(|key| key.contains("collection_policy"))
        .collect();
    assert_eq!(left.len(), 1, "the template's own: {left:?}");
}

#[test]
fn a_rule_that_cannot_be_read_any_more_lets_nobody_through() {
    let stage = notes();
    let catalog = stage.catalog();
    let notes = catalog.named("notes").expect("notes");
    let mut policy = catalog.policy(notes.number).expect("a policy").clone();
    policy.read = Some("record.a_function_of_tomorrow()".to_owned());
    let guard = Guard::compile(&policy, notes);
    let record = read(&stage, "notes", 2).expect("a record");
    assert!(!guard.shows(&asker(ANN, Role::Member), id(2), &record));
}

#[test]
fn a_hidden_record_is_not_there_for_references_either() {
    let mut stage = notes();
    let links = json!({ "fields": { "note": { "type": "reference", "collection": "notes" }, "text": { "type": "text" } } });
    put(&mut stage, "links", &schema(links));
    let link = |number, note| create("links", number, json!({ "note": id(note) }));
    let ann = asker(ANN, Role::Member);
    for (note, code) in [(1, None), (4, None), (3, Some(Code::ReferenceViolation))] {
        let error = decide_as(&stage, Some(ann), &[link(9, note)]).err();
        assert_eq!(error.map(|error| error.code), code, "{note}");
    }
    decide_as(&stage, Some(asker("token:eve", Role::Admin)), &[link(9, 3)]).expect("not bound");
    // One that was there before stays.
    run(&mut stage, &[link(8, 3)]).result.expect("stored");
    let patch = operation(BatchVerb::Patch, "links", 8, json!({ "text": "more" }));
    decide_as(&stage, Some(ann), &[patch]).expect("the reference is not new");
}

#[test]
fn a_refusal_names_no_record_that_may_be_hidden() {
    let unique = Refusal::Unique {
        collection: "notes".to_owned(),
        fields: vec!["owner".to_owned()],
        holder: id(3),
    };
    let batch = Refusal::At {
        operation: 1,
        refusal: Box::new(Refusal::Referenced {
            collection: "notes".to_owned(),
            id: id(3),
        }),
    };
    for refusal in [unique, batch] {
        let named = crate::service::error::refused(&refusal.clone().without_names(&|_| false)).detail;
        let veiled = crate::service::error::refused(&refusal.without_names(&|name| name == "notes")).detail;
        let shown = id(3).to_string();
        assert!(
            named.contains(&shown) && !veiled.contains(&shown) && veiled.contains("notes"),
            "{named} / {veiled}"
        );
    }
}

#[test]
fn what_was_hidden_stays_hidden_when_its_collection_is_gone() {
    let mut stage = notes();
    let number = stage.catalog().named("notes").expect("notes").number;
    for record in 1..=5u128 {
        run(&mut stage, &[operation(BatchVerb::Delete, "notes", record, Json::Null)])
            .result
            .expect("deleted");
    }
    let delete = crate::records::collection_delete::CollectionDelete { number, if_match: None };
    stage.apply(delete).result.expect("deleted");
    let shown = |asker: Asker<'_>| {
        let all = all_events(&stage, asker);
        all.iter()
            .filter(|seen| seen.told.event().kind.starts_with("record.") && !seen.hidden)
            .count()
    };
    assert_eq!(
        (shown(asker(ANN, Role::Member)), shown(asker("token:eve", Role::Admin))),
        (0, 10)
    );
}
