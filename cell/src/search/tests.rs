//! Stories about search: commands are applied, a space is followed as the indexer does, and searches are answered.

use api::body::record::BatchVerb;
use api::body::search::{Relation, SearchQuery, SearchReply};
use api::body::token::Role;
use api::error::{Code, Error};
use serde_json::{Value as Json, json};
use storage::search::{SearchIndex, SearchWriter};
use uuid::Uuid;

use super::answer::{Search, Unanswered};
use super::effort::Effort;
use super::follow::{Followed, Step};
use super::language::{SearchSet, Settings};
use crate::expr::Auth;
use crate::machine::stage::{SPACE, Stage};
use crate::records::collection_define::CollectionDefine;
use crate::records::collection_put::CollectionPut;
use crate::records::decide::{self, View};
use crate::records::evolve::change::CollectionChange;
use crate::records::evolve::drop::CollectionDrop;
use crate::records::guard::Asker;
use crate::records::schema_check::check;
use crate::records::trim::SpaceTrim;
use crate::space::erase::SpaceErase;

/// No record.
const NONE: [u128; 0] = [];

/// A stage with an index beside it.
struct Scene {
    stage: Stage,
    index: SearchIndex,
    writer: Option<SearchWriter>,
    followed: Followed,
    directory: tempfile::TempDir,
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

impl Scene {
    fn new(template: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (index, _) = SearchIndex::open(directory.path()).expect("an index");
        Self {
            stage: Stage::with_template(template),
            writer: Some(index.writer().expect("a writer")),
            index,
            followed: Followed::default(),
            directory,
        }
    }

    fn run(&mut self, op: BatchVerb, collection: &str, number: u128, fields: Json) {
        let operation = api::body::record::BatchOperation {
            op,
            collection: collection.parse().expect("a name"),
            id: Some(api::ids::Id(id(number))),
            if_match: None,
            fields: fields.as_object().cloned(),
        };
        let (snapshot, catalog) = (self.stage.snapshot(), self.stage.catalog());
        let view = View {
            snapshot: &snapshot,
            catalog: &catalog,
            space: SPACE,
            asker: None,
        };
        let command = decide::batch(&view, &[operation]).expect("a decision");
        let schema = Some(self.stage.header().schema);
        self.stage.apply_as(command, None, schema).result.expect("applied");
    }

    fn create(&mut self, collection: &str, number: u128, fields: Json) {
        self.run(BatchVerb::Create, collection, number, fields);
    }

    fn define(&mut self, name: &str, schema: Json) {
        let schema: api::body::collection::CollectionSchema = serde_json::from_value(schema).expect("a schema");
        let catalog = self.stage.catalog();
        let old = catalog.named(name).map(AsRef::as_ref);
        let next = u32::try_from(self.stage.header().next).expect("few collections");
        let number = old.map_or(next, |old| old.number);
        let checked = check(&name.parse().expect("a name"), &schema, old, &catalog, number).expect("a good schema");
        let put = CollectionPut {
            collection: checked.collection,
            created: old.is_none(),
            needs_empty: false,
        };
        let command = CollectionChange {
            define: CollectionDefine {
                put,
                policy: checked.policy,
            },
            moved: checked.moved,
            operation: Uuid::from_u128(99),
        };
        self.stage.apply(command).result.expect("defined");
    }

    /// Follows what was applied, and commits; how many steps it took.
    fn follow(&mut self) -> usize {
        let snapshot = self.stage.snapshot();
        let writer = self.writer.as_mut().expect("a writer");
        let mut steps = 0;
        loop {
            let step = self
                .followed
                .step(&snapshot, &self.stage.catalogs, writer, SPACE)
                .expect("a step");
            steps += 1;
            match step {
                Step::More => {}
                Step::Done | Step::Still | Step::Waits => break,
            }
        }
        writer.commit(snapshot.mark().index).expect("committed");
        let is_there = self.followed.is_there(&snapshot, &self.stage.catalogs, SPACE);
        assert!(is_there.expect("read"), "all of it is there: {:?}", self.followed);
        steps
    }

    /// Opens the index again, as after a crash.
    fn reopen(&mut self) {
        self.writer = None;
        let (index, why) = SearchIndex::open(self.directory.path()).expect("opened");
        assert_eq!(why, None);
        self.writer = Some(index.writer().expect("a writer"));
        self.followed = Followed::of(&index, SPACE).expect("read");
        self.index = index;
    }

    fn search_as(&self, role: Role, scopes: Option<&[&str]>, query: &SearchQuery) -> Result<SearchReply, Error> {
        let answered = self.answer(role, scopes, query, Effort::whole());
        answered.map_err(|unanswered| match unanswered {
            Unanswered::Refused(error) => error,
            Unanswered::Index(error) => panic!("{error}"),
            Unanswered::Long => panic!("it was no glance"),
        })
    }

    fn answer(
        &self,
        role: Role,
        scopes: Option<&[&str]>,
        query: &SearchQuery,
        effort: Effort,
    ) -> Result<SearchReply, Unanswered> {
        let (snapshot, catalog) = (self.stage.snapshot(), self.stage.catalog());
        let search = Search {
            index: &self.index,
            snapshot: &snapshot,
            space: SPACE,
            catalog: &catalog,
            asker: Asker {
                auth: Auth {
                    id: "token:ann",
                    name: "ann",
                    role,
                },
                now: 5_000_000,
            },
            query,
            is_scoped: scopes.is_some(),
            effort,
        };
        let in_scope = |name: &str| scopes.is_none_or(|scopes| scopes.contains(&name));
        search.answer(in_scope).map(|answer| answer.reply)
    }

    fn search(&self, query: &SearchQuery) -> SearchReply {
        self.search_as(Role::Admin, None, query).expect("an answer")
    }

    fn found(&self, q: &str) -> Vec<u128> {
        numbers(&self.search(&words(q)))
    }
}

fn words(q: &str) -> SearchQuery {
    SearchQuery {
        q: q.to_owned(),
        limit: 50,
        ..SearchQuery::default()
    }
}

fn numbers(reply: &SearchReply) -> Vec<u128> {
    reply.items.iter().map(|item| item.record.id.0.as_u128()).collect()
}

#[test]
fn records_are_found_as_they_are_now() {
    let mut scene = Scene::new("workspace");
    scene.create("projects", 1, json!({ "key": "CN", "name": "Cloud nest" }));
    scene.create(
        "tasks",
        2,
        json!({ "project": id(1), "title": "Order a cake", "labels": ["party"] }),
    );
    scene.create(
        "tasks",
        3,
        json!({ "project": id(1), "title": "Bake", "description": "a cake, then eat it" }),
    );
    scene.follow();
    assert_eq!(scene.found("cake"), [2, 3], "a title weighs more");
    assert_eq!(scene.found("cn-2"), [3]);
    assert_eq!(scene.found("party"), [2]);
    assert_eq!(scene.found("clod nest"), [1], "one letter short");
    scene.run(BatchVerb::Patch, "tasks", 2, json!({ "title": "Order flowers" }));
    scene.run(BatchVerb::Delete, "tasks", 3, Json::Null);
    assert_eq!(
        scene.found("bake"),
        NONE,
        "a row that is gone is not shown, whatever the index says"
    );
    scene.follow();
    assert_eq!(scene.found("cake"), NONE);
    assert_eq!(scene.found("flowers"), [2]);
    scene.run(BatchVerb::Patch, "projects", 1, json!({ "key": "NEST" }));
    scene.follow();
    assert_eq!(
        (scene.found("cn-1"), scene.found("nest-1")),
        (vec![], vec![2]),
        "others are called after it"
    );
}

#[test]
fn a_restart_goes_on_at_the_mark_and_a_schema_asks_for_other_words() {
    let mut scene = Scene::new("workspace");
    for number in 1..=1_200 {
        scene.create(
            "tasks",
            number,
            json!({ "title": format!("number {number}"), "description": "hidden gem" }),
        );
    }
    assert!(scene.follow() > 2, "some at a time");
    scene.create("tasks", 2_000, json!({ "title": "late gem" }));
    scene.reopen();
    assert_eq!(scene.found("late"), NONE);
    assert_eq!(scene.follow(), 1, "only what is new");
    assert_eq!(scene.found("late"), [2_000]);
    let template: Vec<Json> = serde_json::from_str(include_str!("../records/templates/workspace.json")).expect("JSON");
    let mut tasks = template.into_iter().find(|one| one["name"] == "tasks").expect("tasks");
    tasks.as_object_mut().expect("an object").remove("name");
    tasks["search"] = json!(["description"]);
    scene.define("tasks", tasks);
    scene.follow();
    let total = |scene: &Scene, q| scene.search(&words(q)).total.expect("a total").value;
    assert_eq!((total(&scene, "number"), total(&scene, "gem")), (0, 1_200));
    scene.reopen();
    assert_eq!(scene.follow(), 1, "nothing was left");
}

#[test]
fn what_events_cannot_tell_is_built_anew() {
    let mut scene = Scene::new("workspace");
    scene.create("tasks", 1, json!({ "title": "first" }));
    scene.create("tasks", 2, json!({ "title": "second" }));
    scene.follow();
    scene.run(BatchVerb::Delete, "tasks", 1, Json::Null);
    scene.stage.pass(1_000_000_000);
    scene.create("tasks", 3, json!({ "title": "third" }));
    let before = scene.stage.header().stamp - 1_000;
    let trim = SpaceTrim {
        events_before: before,
        history_before: 0,
    };
    assert!(scene.stage.apply(trim).result.expect("trimmed").events > 0);
    scene.follow();
    assert_eq!(
        (scene.found("first"), scene.found("second"), scene.found("third")),
        (vec![], vec![2], vec![3])
    );
    let stale = |scene: &Scene| scene.search(&words("first")).total.expect("a total").value;
    assert_eq!(stale(&scene), 0, "nothing of it is left in the index either");
}

#[test]
fn an_index_that_is_ahead_waits_and_one_of_another_history_is_built_anew() {
    let mut scene = Scene::new("workspace");
    scene.create("tasks", 1, json!({ "title": "first" }));
    scene.follow();
    // The store is younger: it lost what its log will bring again.
    scene.stage = Stage::with_template("workspace");
    let step = |scene: &mut Scene| {
        let snapshot = scene.stage.snapshot();
        let writer = scene.writer.as_ref().expect("a writer");
        scene
            .followed
            .step(&snapshot, &scene.stage.catalogs, writer, SPACE)
            .expect("a step")
    };
    assert_eq!(step(&mut scene), Step::Waits);
    assert_eq!(scene.found("first"), NONE, "what the store does not have is not shown");
    // It gets there by another way.
    scene.stage.pass(77);
    scene.create("tasks", 9, json!({ "title": "another" }));
    scene.follow();
    assert_eq!((scene.found("first"), scene.found("another")), (vec![], vec![9]));
}

#[test]
fn a_collection_or_a_space_that_goes_takes_its_words_along() {
    let mut scene = notes(true);
    scene.create("tasks", 500, json!({ "title": "plan" }));
    scene.follow();
    let matches = |scene: &Scene| scene.search(&words("plan")).total.expect("a total").value;
    assert_eq!(matches(&scene), 87);
    let number = scene.stage.catalog().named("notes").expect("notes").number;
    let drop = CollectionDrop {
        number,
        if_match: None,
        operation: id(98),
    };
    let schema = Some(scene.stage.header().schema);
    scene.stage.apply_as(drop, None, schema).result.expect("dropped");
    assert_eq!(scene.found("plan"), [500], "before the index knows");
    scene.follow();
    assert_eq!(
        (scene.found("plan"), scene.index.size().0),
        (vec![500], 2),
        "a record and a mark"
    );
    let tenant = scene.stage.header().tenant;
    let erase = SpaceErase { tenant, after: None };
    scene.stage.apply(erase).result.expect("erased");
    scene.follow();
    assert_eq!(scene.index.size().0, 0);
}

/// Notes of two owners; guests read what is public.
fn notes(hidden: bool) -> Scene {
    let mut scene = Scene::new("workspace");
    scene.define(
        "notes",
        json!({
            "fields": {
                "text": { "type": "text" },
                "public": { "type": "bool", "default": false },
                "mood": { "type": "select", "options": ["good", "bad"] },
                "tags": { "type": "tags" },
            },
            "search": ["text", "tags"],
            "rules": { "read": "record.public" },
        }),
    );
    for number in 1..=6u128 {
        let text = format!(
            "plan {}",
            ["alpha", "beta"][(number % 2) as usize].repeat(1 + number as usize % 3)
        );
        let mood = ["good", "bad"][(number % 2) as usize];
        let note = json!({ "text": format!("plan {text} alpha"), "public": true, "mood": mood, "tags": ["t"] });
        scene.create("notes", number, note);
    }
    if hidden {
        for number in 100..180 {
            let note = json!({ "text": "plan alpha secret merger alpha", "mood": "bad", "tags": ["classified"] });
            scene.create("notes", number, note);
        }
    }
    scene.follow();
    scene
}

#[test]
fn nothing_that_a_rule_hides_shows_in_any_part_of_an_answer() {
    let (with, without) = (notes(true), notes(false));
    for q in [
        "plan",
        "alpha plan",
        "secret",
        "merg*",
        "classified",
        "plan -secret",
        "\"plan alpha\"",
        "secrte",
        "t",
    ] {
        for limit in [2, 50] {
            let mut cursor = None;
            loop {
                let query = SearchQuery {
                    limit,
                    cursor: cursor.clone(),
                    facets: ["collection", "mood", "tags"].map(str::to_owned).to_vec(),
                    highlight: true,
                    ..words(q)
                };
                let [one, other] = [&with, &without].map(|scene| scene.search_as(Role::Guest, None, &query).expect("an answer"));
                let shown = |reply: &SearchReply| {
                    let mut shown = serde_json::to_value(reply).expect("JSON");
                    for item in shown["items"].as_array_mut().expect("items") {
                        // The clocks of two stages need not agree.
                        item["record"]
                            .as_object_mut()
                            .expect("a record")
                            .retain(|name, _| name != "created_at" && name != "updated_at");
                    }
                    shown
                };
                assert_eq!(shown(&one), shown(&other), "{q}");
                cursor = one.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
        }
    }
    let all = with.search(&SearchQuery {
        facets: vec!["tags".to_owned()],
        ..words("plan")
    });
    assert_eq!(all.total.expect("a total").value, 86, "who may read all finds all");
    assert_eq!(all.facets["tags"][0].value, "classified");
}

#[test]
fn scopes_filters_and_facets_leave_out_what_is_not_asked_for() {
    let mut scene = notes(true);
    scene.create("tasks", 500, json!({ "title": "plan the plan", "status": "todo" }));
    scene.create("tasks", 501, json!({ "title": "plan again", "status": "done" }));
    scene.follow();
    let scoped = |query: &SearchQuery| scene.search_as(Role::Admin, Some(&["tasks"]), query);
    assert_eq!(numbers(&scoped(&words("plan")).expect("an answer")), [500, 501]);
    let named = |name: &str| SearchQuery {
        collections: Some(vec![name.parse().expect("a name")]),
        ..words("plan")
    };
    assert_eq!(
        scoped(&named("notes")).expect_err("out of scope").code,
        Code::InvalidParameter
    );
    let filtered = SearchQuery {
        filter: Some("status == \"todo\"".to_owned()),
        facets: vec!["status".to_owned(), "collection".to_owned()],
        ..words("plan")
    };
    let reply = scene.search(&filtered);
    assert_eq!(numbers(&reply), [500], "notes have no status");
    let total = reply.total.expect("a total");
    assert_eq!((total.value, total.relation), (1, Relation::Eq));
    assert_eq!(
        (reply.facets["status"][0].value.as_str(), reply.facets["collection"][0].count),
        ("todo", 1)
    );
    for (query, what) in [
        (
            SearchQuery {
                filter: Some("nonsense == 1".to_owned()),
                ..words("plan")
            },
            "filter",
        ),
        (
            SearchQuery {
                facets: vec!["title".to_owned()],
                ..words("plan")
            },
            "facets",
        ),
        (
            SearchQuery {
                filter: Some("status == \"todo\"".to_owned()),
                ..named("notes")
            },
            "notes",
        ),
        (words("\"plan"), "character 0"),
    ] {
        let error = scene.search_as(Role::Admin, None, &query).expect_err(what);
        assert!(error.code == Code::InvalidParameter && error.detail.contains(what), "{error}");
    }
}

#[test]
fn pages_are_the_whole_cut() {
    let mut scene = Scene::new("workspace");
    for number in 1..=90u128 {
        let title = format!("review {}", "again ".repeat(number as usize % 4));
        scene.create(
            "tasks",
            number,
            json!({ "title": title, "status": if number % 2 == 0 { "todo" } else { "done" } }),
        );
    }
    scene.follow();
    for filter in [None, Some("status == \"todo\"".to_owned())] {
        let whole = scene.search(&SearchQuery {
            limit: 500,
            filter: filter.clone(),
            ..words("review")
        });
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let page = scene.search(&SearchQuery {
                limit: 7,
                cursor: cursor.clone(),
                filter: filter.clone(),
                ..words("review")
            });
            assert_eq!(
                page.total.is_some(),
                cursor.is_none(),
                "the first page says how many there are"
            );
            pages.extend(numbers(&page));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(pages, numbers(&whole));
        assert_eq!(whole.total.expect("a total").value, pages.len() as u64);
    }
}

#[test]
fn a_language_is_the_tenants_and_changes_what_is_a_form_of_a_word() {
    let mut scene = Scene::new("workspace");
    scene.create("tasks", 1, json!({ "title": "Häuser streichen" }));
    scene.create("tasks", 2, json!({ "title": "running late" }));
    scene.follow();
    assert_eq!((scene.found("haus "), scene.found("runs ")), (vec![], vec![2]));
    let set = |scene: &mut Scene, language: &str| {
        let language = language.to_owned();
        scene.stage.apply(SearchSet(Settings { language })).result.expect("set");
        scene.follow();
    };
    set(&mut scene, "de");
    assert_eq!((scene.found("haus "), scene.found("runs ")), (vec![1], vec![]));
    scene.reopen();
    assert_eq!(scene.follow(), 1, "nothing was left");
    set(&mut scene, "");
    assert_eq!(
        (scene.found("haus "), scene.found("runs "), scene.found("hauser")),
        (vec![], vec![], vec![1])
    );
}

#[test]
fn a_glance_that_is_over_leaves_the_search_to_who_has_time() {
    let scene = notes(true);
    let query = words("plan");
    let over = Effort::of(std::time::Duration::ZERO);
    let left = scene.answer(Role::Admin, None, &query, over);
    assert!(matches!(left, Err(Unanswered::Long)), "rows are read in vain once it is over");
    assert!(!scene.search(&query).items.is_empty());
}
