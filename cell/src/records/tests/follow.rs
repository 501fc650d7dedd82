//! Events as somebody follows them: what was asked for, what rules hide, and the fields as each change left them.

use api::body::event::{EventQuery, Seen};
use api::body::token::Role;

use super::schemas::{put, schema};
use super::*;
use crate::expr::Auth;
use crate::machine::reader::Reader;
use crate::records::events::Reading;
use crate::records::guard::Asker;
use crate::records::interest::{Filters, check};
use crate::records::tail::Tails;

fn notes() -> Stage {
    let mut stage = Stage::with_template("workspace");
    let notes = json!({
        "fields": { "text": { "type": "text" }, "public": { "type": "bool" }, "points": { "type": "integer" } },
        "rules": { "read": "record.public" },
    });
    put(&mut stage, "notes", &schema(notes));
    for operation in [
        create("notes", 1, json!({ "text": "first", "public": true, "points": 1 })),
        create("notes", 2, json!({ "text": "hidden", "public": false, "points": 9 })),
        operation(BatchVerb::Patch, "notes", 1, json!({ "points": 7 })),
        create("tasks", 3, json!({ "title": "a task" })),
        operation(BatchVerb::Delete, "notes", 1, Json::Null),
    ] {
        run(&mut stage, &[operation]).result.expect("stored");
    }
    stage
}

/// One page of events as somebody sees them.
fn page(stage: &Stage, tails: &Tails, asker: Asker<'_>, query: &EventQuery) -> Vec<Seen> {
    let (snapshot, catalog) = (stage.snapshot(), stage.catalog());
    let header = snapshot.header(SPACE).expect("no fault").expect("a header");
    let reading = Reading {
        snapshot: &snapshot,
        header: &header,
        catalog: &catalog,
        space: SPACE,
        slug: "acme",
        asker,
        tails,
        filters: &Filters::default(),
    };
    reading.after(query).expect("no fault")
}

/// All events of a short story, as somebody sees them.
pub(super) fn all_events(stage: &Stage, asker: Asker<'_>) -> Vec<Seen> {
    let query = EventQuery {
        limit: 1_000,
        ..EventQuery::default()
    };
    page(stage, &Tails::default(), asker, &query)
}

/// Record, version and points of the events that somebody sees.
fn seen(stage: &Stage, tails: &Tails, role: Role, query: &EventQuery) -> Vec<(String, u64, Option<i64>)> {
    let auth = Auth {
        id: "token:ann",
        name: "ann",
        role,
    };
    let asker = Asker { auth, now: 5_000_000 };
    let (mut all, mut query) = (Vec::new(), query.clone());
    query.limit = 3;
    loop {
        let page = page(stage, tails, asker, &query);
        let Some(last) = page.last() else { return all };
        query.after = last.position();
        let shown = page.iter().filter(|seen| !seen.hidden);
        for seen in shown.filter(|seen| seen.told.event().kind.starts_with("record.")) {
            let event = seen.told.event();
            let fields: Option<Json> = seen
                .fields
                .as_ref()
                .map(|fields| serde_json::from_str(fields.get()).expect("JSON"));
            let points = fields.and_then(|fields| fields["points"].as_i64());
            let number = event.record.as_deref().and_then(|record| record.chars().last());
            all.push((number.into_iter().collect(), event.version.unwrap_or_default(), points));
        }
    }
}

fn of(record: &str, version: u64, points: Option<i64>) -> (String, u64, Option<i64>) {
    (record.to_owned(), version, points)
}

#[test]
fn each_sees_what_rules_and_filters_leave_whoever_read_before() {
    let stage = notes();
    let tails = Tails::default();
    let all = EventQuery::default();
    for _ in 0..2 {
        // The second time all of it is in the tail.
        let admin = seen(&stage, &tails, Role::Admin, &all);
        assert_eq!(
            admin,
            [
                of("1", 1, None),
                of("2", 1, None),
                of("1", 2, None),
                of("3", 1, None),
                of("1", 3, None)
            ]
        );
        let guest = seen(&stage, &tails, Role::Guest, &all);
        assert_eq!(
            guest,
            [of("1", 1, None), of("1", 2, None), of("3", 1, None), of("1", 3, None)]
        );
        let with_fields = EventQuery {
            collections: Some(vec!["notes".parse().expect("a name")]),
            with_fields: true,
            ..EventQuery::default()
        };
        let admin = seen(&stage, &tails, Role::Admin, &with_fields);
        assert_eq!(
            admin,
            [
                of("1", 1, Some(1)),
                of("2", 1, Some(9)),
                of("1", 2, Some(7)),
                of("1", 3, None)
            ]
        );
        let guest = seen(&stage, &tails, Role::Guest, &with_fields);
        assert_eq!(guest, [of("1", 1, Some(1)), of("1", 2, Some(7)), of("1", 3, None)]);
        let filtered = EventQuery {
            filter: Some("points > 5".into()),
            ..EventQuery::default()
        };
        assert_eq!(
            seen(&stage, &tails, Role::Admin, &filtered),
            [of("2", 1, None), of("1", 2, None), of("1", 3, None)]
        );
        assert_eq!(
            seen(&stage, &tails, Role::Guest, &filtered),
            [of("1", 2, None), of("1", 3, None)]
        );
        let one = EventQuery {
            record: Some(("notes".parse().expect("a name"), api::ids::Id(id(2)))),
            ..EventQuery::default()
        };
        assert_eq!(seen(&stage, &tails, Role::Admin, &one), [of("2", 1, None)]);
        assert!(seen(&stage, &tails, Role::Guest, &one).is_empty());
    }
}

#[test]
fn what_names_nothing_is_refused() {
    let stage = notes();
    let catalog = stage.catalog();
    let check = |query: &EventQuery, scope: &str| check(&catalog, query, |name| scope.is_empty() || name == scope);
    let named = |name: &str, filter: Option<&str>| EventQuery {
        collections: Some(vec![name.parse().expect("a name")]),
        filter: filter.map(str::to_owned),
        ..EventQuery::default()
    };
    check(&named("notes", Some("points > 5")), "").expect("good");
    let wrong = |query: &EventQuery, scope: &str| check(query, scope).expect_err("refused").detail;
    assert!(wrong(&named("nothing", None), "").contains("no collection \"nothing\""));
    assert!(
        wrong(&named("notes", None), "tasks").contains("no collection \"notes\""),
        "as if it were not there"
    );
    assert!(wrong(&named("tasks", Some("points > 5 && nothing")), "").starts_with("filter: tasks:"));
    let anywhere = EventQuery {
        filter: Some("nothing > 5".into()),
        ..EventQuery::default()
    };
    assert!(wrong(&anywhere, "").starts_with("filter:"));
}
