//! Records that come with those that they refer to.

use api::body::record::{ListQuery, Record as Body};
use api::body::token::Role;
use api::error::Code;

use super::guard::Asker;
use super::schemas::{put, schema};
use super::*;
use crate::expr::Auth;
use crate::records::query::{get, list};

const ADA: Asker<'static> = Asker {
    auth: Auth {
        id: "token:ada",
        name: "ada",
        role: Role::Member,
    },
    now: 1,
};

fn scene() -> Stage {
    let mut stage = Stage::with_template("workspace");
    run(&mut stage, &[create("projects", 1, json!({ "key": "P", "name": "Pump" }))])
        .result
        .expect("stored");
    run(&mut stage, &[create("tasks", 2, json!({ "title": "parent" }))])
        .result
        .expect("stored");
    let task = json!({ "title": "child", "project": id(1), "parent": id(2) });
    run(&mut stage, &[create("tasks", 3, task)]).result.expect("stored");
    stage
}

fn expanded(stage: &Stage, names: &[&str], sees: impl Fn(&str) -> bool) -> Result<Body, Error> {
    let (catalog, snapshot) = (stage.catalog(), stage.snapshot());
    let tasks = catalog.named("tasks").expect("tasks");
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let expand = Expand::read(&catalog, tasks, &names, ADA, sees)?;
    get(&snapshot, SPACE, tasks, api::ids::Id(id(3)), Sight::default(), &expand)
}

#[test]
fn what_a_record_refers_to_comes_with_it() {
    let stage = scene();
    let body = expanded(&stage, &["project", "parent"], |_| true).expect("a record");
    let shown: Vec<_> = body
        .expand
        .iter()
        .map(|(name, one)| (name.as_str(), one.collection.as_str(), one.id.0))
        .collect();
    assert_eq!(shown, [("parent", "tasks", id(2)), ("project", "projects", id(1))]);
    assert!(body.expand["project"].fields.get().contains("Pump"));
    assert!(expanded(&stage, &[], |_| true).expect("a record").expand.is_empty());
    let catalog = stage.catalog();
    let tasks = catalog.named("tasks").expect("tasks").clone();
    let expand = Expand::read(&catalog, &tasks, &["parent".to_owned()], ADA, |_| true).expect("a reference");
    let query = ListQuery {
        limit: 10,
        ..ListQuery::default()
    };
    let page = list(&stage.snapshot(), SPACE, &tasks, &query, Sight::default(), &expand).expect("a page");
    let counts: Vec<_> = page.items.iter().map(|record| record.expand.len()).collect();
    assert_eq!(counts, [0, 1]);
}

#[test]
fn what_may_not_be_seen_does_not_come() {
    let mut stage = scene();
    let error = expanded(&stage, &["project"], |name| name != "projects").expect_err("out of scope");
    assert_eq!(error.code, Code::Forbidden);
    for wrong in ["title", "nothing"] {
        assert_eq!(
            expanded(&stage, &[wrong], |_| true).expect_err(wrong).code,
            Code::InvalidParameter
        );
    }
    let catalog = stage.catalog();
    let mut hidden = catalog.named("projects").expect("projects").to_api(None).schema;
    hidden.rules.read = Some("record.key != 'P'".to_owned());
    let hidden = schema(serde_json::to_value(hidden).expect("JSON"));
    put(&mut stage, "projects", &hidden);
    let body = expanded(&stage, &["project", "parent"], |_| true).expect("a record");
    assert_eq!(body.expand.keys().collect::<Vec<_>>(), ["parent"]);
}
