//! The data model over HTTP, on every node of a cell of three: filters, rules, workflows.

use api::body::import::ImportLine;
use api::body::record::{Batch, BatchOperation, BatchVerb, Fields, ListQuery, NewRecord};
use api::body::token::{NewToken, Role};
use api::client::{Call, Client, ClientError, EventsFrom, ImportOptions, Method};
use api::ids::Id;
use api::service::Consistency;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::tenant::{self, Tenant};
use rig::wait::PATIENCE;
use serde_json::json;
use tokio::sync::Notify;

/// A cluster, a tenant with notes in it, and a client of each node for each of its principals.
struct Scene {
    _cluster: Cluster,
    tenant: Tenant,
    /// Two members.
    ann: Vec<Client>,
    bob: Vec<Client>,
    /// The owner.
    owner: Vec<Client>,
}

fn fields(json: serde_json::Value) -> Fields {
    json.as_object().expect("an object").clone()
}

fn note(text: &str, public: bool) -> NewRecord {
    NewRecord {
        id: None,
        fields: fields(json!({ "text": text, "public": public })),
    }
}

async fn scene() -> Scene {
    let layout = Layout::one_region(3).expect("a layout");
    let cluster = Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster");
    let tenant = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let clients = |token: &str| -> Vec<Client> {
        let addresses = cluster.addresses();
        let one = |address| tenant::client(&[address], token).expect("a client");
        addresses.into_iter().map(one).collect()
    };
    let mut members = Vec::new();
    for name in ["ann", "bob"] {
        let new = NewToken {
            name: name.to_owned(),
            role: Role::Member,
            scopes: None,
            expires_at: None,
        };
        let made = tenant.client.token_create(&tenant.slug, &new, None).await.expect("a token");
        members.push(clients(&made.body.secret.expect("its secret")));
    }
    let rules = json!({
        "read": "record.public || record.created_by == auth.id",
        "create": "auth.name != \"bob\" || new.public",
        "update": "record.created_by == auth.id",
        "delete": "record.created_by == auth.id",
    });
    let fields = json!({ "text": { "type": "text", "unique": true }, "public": { "type": "bool", "default": false } });
    let schema = serde_json::from_value(json!({ "fields": fields, "rules": rules })).expect("a schema");
    let put = tenant.client.collection_put(&tenant.slug, "notes", &schema, None);
    put.await.expect("a collection");
    let owner = clients(&tenant.token);
    let bob = members.pop().expect("two members");
    let ann = members.pop().expect("two members");
    Scene {
        _cluster: cluster,
        tenant,
        ann,
        bob,
        owner,
    }
}

fn code<T>(result: Result<T, ClientError>) -> String {
    let error = result.map(|_| ()).expect_err("an error");
    error.code().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn rules_hold_on_every_node() {
    let scene = scene().await;
    let slug = scene.tenant.slug.as_str();
    let hers = scene.ann[0]
        .record_create(slug, "notes", &note("private", false), None)
        .await
        .expect("created")
        .body
        .id;
    scene.ann[1]
        .record_create(slug, "notes", &note("public", true), None)
        .await
        .expect("created");
    assert_eq!(
        code(scene.bob[0].record_create(slug, "notes", &note("secret", false), None).await),
        "forbidden"
    );
    let counted = ListQuery {
        limit: 10,
        count: true,
        ..ListQuery::default()
    };
    for node in 0..3 {
        for (clients, count) in [(&scene.ann, 2), (&scene.bob, 1), (&scene.owner, 2)] {
            let page = clients[node]
                .records(slug, "notes", &counted, Consistency::Strong)
                .await
                .expect("a page")
                .body;
            assert_eq!((page.items.len() as u64, page.count), (count, Some(count)), "node {node}");
        }
        let bob = &scene.bob[node];
        assert_eq!(code(bob.record(slug, "notes", hers, Consistency::Strong).await), "not_found");
        let patch = fields(json!({ "text": "taken" }));
        assert_eq!(
            code(bob.record_patch(slug, "notes", hers, &patch, None, None).await),
            "not_found"
        );
        assert_eq!(code(bob.record_delete(slug, "notes", hers, None).await), "not_found");
        let batch = Batch {
            operations: vec![BatchOperation {
                op: BatchVerb::Delete,
                collection: "notes".parse().expect("a name"),
                id: Some(hers),
                if_match: None,
                fields: None,
            }],
        };
        assert_eq!(code(bob.batch(slug, &batch, None).await), "not_found");
        let lines = "{\"text\":\"private\",\"public\":true}\n";
        let import =
            Call::new(Method::POST, format!("/v1/tenants/{slug}/records/notes/import")).body("application/x-ndjson", lines);
        let told = bob.call(import).await.expect("an answer").body;
        let told = String::from_utf8_lossy(&told);
        assert!(
            told.contains("unique_violation") && !told.contains(&hers.to_string()),
            "{told}"
        );
        let mut seen = bob.events(slug, EventsFrom::default()).await.expect("events");
        let mut of_hers = 0;
        while let Some(event) = seen.next().await.expect("an event") {
            of_hers += usize::from(event.record == Some(hers.to_string()));
        }
        assert_eq!(of_hers, 0, "node {node}");
    }
    scene.ann[2].record_delete(slug, "notes", hers, None).await.expect("her own");
}

#[tokio::test]
async fn filters_and_workflows_hold_on_every_node() {
    let scene = scene().await;
    let slug = scene.tenant.slug.as_str();
    let mut ids: Vec<Id> = Vec::new();
    let project = NewRecord {
        id: None,
        fields: fields(json!({ "key": "P", "name": "Pump" })),
    };
    let project = scene.owner[0]
        .record_create(slug, "projects", &project, None)
        .await
        .expect("created")
        .body
        .id;
    for (title, status, points) in [("a", "todo", 1), ("b", "todo", 5), ("c", "done", 8), ("d", "in_progress", 5)] {
        let mut new = NewRecord {
            id: None,
            fields: fields(json!({ "title": title, "status": status, "points": points })),
        };
        if title == "c" {
            new.fields.insert("project".to_owned(), json!(project));
        }
        ids.push(
            scene.ann[0]
                .record_create(slug, "tasks", &new, None)
                .await
                .expect("created")
                .body
                .id,
        );
    }
    for node in 0..3 {
        let query = |filter: &str, order: &str| ListQuery {
            limit: 10,
            filter: Some(filter.to_owned()),
            order: (!order.is_empty()).then(|| order.to_owned()),
            ..ListQuery::default()
        };
        let titles = async |query: ListQuery| -> Result<String, ClientError> {
            let page = scene.bob[node]
                .records(slug, "tasks", &query, Consistency::Strong)
                .await?
                .body;
            let title = |record: &api::body::record::Record| {
                let fields: serde_json::Value = serde_json::from_str(record.fields.get()).expect("JSON");
                fields["title"].as_str().expect("a title").to_owned()
            };
            Ok(page.items.iter().map(title).collect::<Vec<_>>().join(" "))
        };
        let found = titles(query("status in [\"todo\", \"in_progress\"] && points >= 5", "-created_at")).await;
        assert_eq!(found.expect("a page"), "d b", "node {node}");
        assert_eq!(
            titles(query("title > \"a\" && points != 8", "")).await.expect("a page"),
            "b d"
        );
        assert_eq!(code(titles(query("status == \"tod\"", "")).await), "invalid_parameter");
        assert_eq!(code(titles(query("points > 1", "labels")).await), "invalid_parameter");
        let with_project = ListQuery {
            expand: vec!["project".to_owned()],
            ..query("project != null", "")
        };
        let page = scene.bob[node]
            .records(slug, "tasks", &with_project, Consistency::Strong)
            .await
            .expect("a page")
            .body;
        assert!(
            page.items
                .iter()
                .all(|task| task.expand["project"].fields.get().contains("Pump"))
                && page.items.len() == 1
        );
        let to = |state: &str| fields(json!({ "status": state }));
        let ann = &scene.ann[node];
        assert_eq!(
            code(ann.record_patch(slug, "tasks", ids[0], &to("in_review"), None, None).await),
            "transition_refused"
        );
    }
    let step = |state: &str| fields(json!({ "status": state }));
    for (node, state) in ["in_progress", "in_review", "done"].into_iter().enumerate() {
        let done = scene.ann[node]
            .record_patch(slug, "tasks", ids[0], &step(state), None, None)
            .await
            .expect(state);
        assert!(done.body.fields.get().contains(state));
    }
}

#[tokio::test]
async fn a_spreadsheet_is_imported_as_it_is() {
    let scene = scene().await;
    let slug = scene.tenant.slug.as_str();
    let csv =
        "title,points,labels,due_on,status\r\n\"Fix, the pump\",3,\"a, b\",2026-11-22,done\r\nwrong,three,,,\r\nempty,,,,\r\n";
    let options = ImportOptions {
        import_id: Some("sheet".to_owned()),
        csv: true,
        upsert: None,
    };
    for client in [&scene.ann[0], &scene.ann[1]] {
        let done = client
            .import_reader(slug, "tasks", &options, csv.as_bytes(), |_| {})
            .await
            .expect("a summary");
        assert_eq!((done.imported, done.failed), (2, 1));
    }
    let query = ListQuery {
        limit: 10,
        filter: Some("points == 3 && \"b\" in labels && due_on == \"2026-11-22\" && status == \"done\"".to_owned()),
        count: true,
        ..ListQuery::default()
    };
    let page = scene.bob[2]
        .records(slug, "tasks", &query, Consistency::Strong)
        .await
        .expect("a page")
        .body;
    assert_eq!((page.count, page.items.len()), (Some(1), 1));
    let all = ListQuery {
        limit: 10,
        ..ListQuery::default()
    };
    let page = scene.bob[2]
        .records(slug, "tasks", &all, Consistency::Strong)
        .await
        .expect("a page")
        .body;
    assert_eq!(page.items.len(), 2, "the same Import-Id brings nothing twice");
}

#[tokio::test]
async fn who_sends_settled_lines_again_hears_of_them_before_its_body_ends() {
    let scene = scene().await;
    let slug = scene.tenant.slug.as_str();
    let lines = "{\"title\":\"one\"}\n{\"title\":\"two\"}\n{\"title\":\"three\"}\n";
    let options = ImportOptions {
        import_id: Some("killed".to_owned()),
        ..ImportOptions::default()
    };
    let first = scene.ann[0].import_reader(slug, "tasks", &options, lines.as_bytes(), |_| {});
    assert_eq!(first.await.expect("a summary").imported, 3);
    // As the command line does after it was killed: it waits for progress before it reads on.
    let sent: std::io::Result<Bytes> = Ok(Bytes::from_static(lines.as_bytes()));
    let again = stream::iter([sent]).chain(stream::pending());
    let heard = Notify::new();
    let importing = scene.ann[1].import(slug, "tasks", &options, again, |line| {
        if matches!(line, ImportLine::Progress(progress) if progress.stored == 3) {
            heard.notify_one();
        }
    });
    tokio::select! {
        done = importing => panic!("{done:?}"),
        heard = tokio::time::timeout(PATIENCE, heard.notified()) => heard.expect("progress in time"),
    }
}
