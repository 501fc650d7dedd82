//! Changes of schemas that have records, history, trims and archives, over HTTP on real nodes.

use std::path::Path;
use std::time::{Duration, Instant};

use api::client::{Call, Client, Method};
use rig::cluster::{Cluster, Options, Own};
use rig::layout::Layout;
use rig::tenant::{self, Tenant};
use rig::verify;
use serde_json::{Value as Json, json};

/// The longest that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Records of the tenant whose schema is changed.
const RECORDS: usize = 6_000;

/// Makes a call; its status and body.
async fn ask(client: &Client, method: Method, path: &str, headers: &[(&'static str, &str)], body: Option<&Json>) -> (u16, Json) {
    let mut call = Call::new(method, path.to_owned());
    if let Some(body) = body {
        call = call.body("application/json", body.to_string());
    }
    for (name, value) in headers {
        call = call.header(name, value);
    }
    let answer = client.call(call).await.expect("an answer");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    (
        answer.status.as_u16(),
        serde_json::from_str(&text).unwrap_or(Json::String(text)),
    )
}

/// Asks until the answer is what is waited for.
async fn until<T>(what: &str, mut wanted: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = wanted().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until an operation has nothing left to do.
async fn ended(client: &Client, tenant: &str, begun: &Json) -> Json {
    let path = format!("/v1/tenants/{tenant}/operations/{}", begun["id"].as_str().expect("an id"));
    until("the end of the operation", async || {
        let (status, operation) = ask(client, Method::GET, &path, &[], None).await;
        (status == 200 && operation["status"] != "running" && operation.get("phase").is_none()).then_some(operation)
    })
    .await
}

fn up(nodes: usize) -> Cluster {
    let layout = Layout::one_region(nodes).expect("a layout");
    Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster")
}

async fn leader(cluster: &Cluster) -> String {
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    until("a leader", async || {
        let cells = operator.cells().await.ok()?;
        cells.into_iter().find(|cell| cell.kind == "shared")?.leader
    })
    .await
}

/// Imports things: their names are their numbers, as texts.
async fn fill(tenant: &Tenant, records: usize) {
    let lines: String = (1..=records)
        .map(|number| format!("{}\n", json!({"name": number.to_string()})))
        .collect();
    let path = format!("/v1/tenants/{}/records/things/import", tenant.slug);
    let call = Call::new(Method::POST, path).body("application/x-ndjson", lines);
    let answer = tenant.client.call(call).await.expect("an answer");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains(&format!("\"imported\":{records},\"failed\":0")), "{text}");
}

#[tokio::test]
async fn a_schema_changes_under_writers_and_a_killed_leader() {
    let cluster = up(3);
    let tenant = tenant::create(&cluster, "acme", None).await.expect("a tenant");
    let (client, slug) = (tenant.client.clone().with_retries(100), tenant.slug.as_str());
    let things = format!("/v1/tenants/{slug}/collections/things");
    let put = async |schema: Json| ask(&client, Method::PUT, &things, &[], Some(&schema)).await;
    let (status, _) = put(json!({"fields": {"name": {"type": "text"}}})).await;
    assert_eq!(status, 201);
    fill(&tenant, RECORDS).await;

    let wanted = json!({"fields": {"name": {"type": "integer", "unique": true}}, "indexes": {"by_age": {"fields": ["name", "created_at"]}}});
    let (status, begun) = put(wanted.clone()).await;
    assert_eq!(status, 202, "{begun}");
    cluster.kill(&leader(&cluster).await).expect("a killed leader");
    let records = format!("/v1/tenants/{slug}/records/things");
    // What does not fit the schema that is to be is refused from now on; what does is stored, and is of the new type in the end.
    let mut written = 0;
    let end = until("the end of the change", async || {
        let name = 1_000_000 + written;
        let keys = [format!("text-{name}"), format!("number-{name}")];
        let text = json!({"fields": {"name": name.to_string()}});
        let (mut status, _) = ask(&client, Method::POST, &records, &[("idempotency-key", &keys[0])], Some(&text)).await;
        if status == 422 {
            // It has another type by now.
            let number = json!({ "fields": { "name": name } });
            (status, _) = ask(
                &client,
                Method::POST,
                &records,
                &[("idempotency-key", &keys[1])],
                Some(&number),
            )
            .await;
        }
        assert!(status == 201 || status >= 500, "{status}");
        written += usize::from(status == 201);
        let path = format!("/v1/tenants/{slug}/operations/{}", begun["id"].as_str().expect("an id"));
        let (status, operation) = ask(&client, Method::GET, &path, &[], None).await;
        (status == 200 && operation["status"] != "running" && operation.get("phase").is_none()).then_some(operation)
    })
    .await;
    assert_eq!(end["status"], "done", "{end}");
    for node in cluster.addresses() {
        let client = tenant::client(&[node], &tenant.token).expect("a client").with_retries(100);
        let (_, page) = ask(
            &client,
            Method::GET,
            &format!("{records}?filter=name%20%3E%3D%200&order=name&limit=1&count=true"),
            &[],
            None,
        )
        .await;
        assert_eq!(
            (&page["count"], &page["items"][0]["fields"]),
            (&json!(RECORDS + written), &json!({"name": 1})),
            "{page}"
        );
        assert_eq!(page["items"][0]["version"], 1, "nobody has changed it");
    }
    let (status, problem) = ask(&client, Method::POST, &records, &[], Some(&json!({"fields": {"name": 7}}))).await;
    assert_eq!((status, &problem["code"]), (409, &json!("unique_violation")));
    let (status, same) = put(wanted).await;
    assert_eq!(status, 200, "{same}");

    // All of it goes, under the same name something else is made, and the replicas hold the same in the end.
    let (status, begun) = ask(&client, Method::DELETE, &things, &[], None).await;
    assert_eq!(status, 202, "{begun}");
    let (status, _) = put(json!({"fields": {"name": {"type": "text"}}})).await;
    assert_eq!(status, 201);
    let (_, page) = ask(&client, Method::GET, &format!("{records}?count=true"), &[], None).await;
    assert_eq!(page["count"], 0);
    let end = ended(&client, slug, &begun).await;
    assert_eq!(
        (&end["status"], &end["progress"]),
        (&json!("done"), &json!(RECORDS + written))
    );
    verify::replicas_agree(&cluster, PATIENCE).await.expect("equal replicas");
}

#[tokio::test]
async fn what_does_not_fit_is_listed_and_one_change_goes_at_a_time() {
    let cluster = up(3);
    let tenant = tenant::create(&cluster, "acme", None).await.expect("a tenant");
    let (client, slug) = (tenant.client.clone(), tenant.slug.as_str());
    let things = format!("/v1/tenants/{slug}/collections/things");
    let put = async |schema: Json| ask(&client, Method::PUT, &things, &[], Some(&schema)).await;
    assert_eq!(put(json!({"fields": {"name": {"type": "text"}}})).await.0, 201);
    fill(&tenant, RECORDS).await;
    let narrow = json!({"fields": {"name": {"type": "text", "max_length": 3}}});
    let (status, begun) = put(narrow.clone()).await;
    assert_eq!(status, 202, "{begun}");
    let (status, again) = put(narrow).await;
    assert!(
        status == 202 && (again["id"] == begun["id"] || again["status"] == "running"),
        "{again}"
    );
    let first = ended(&client, slug, &begun).await;
    let failures = first["failures"].as_array().expect("failures").len() as u64;
    assert_eq!((&first["status"], failures), (&json!("failed"), 100), "{first}");
    assert!(
        first["failures"][0]["message"]
            .as_str()
            .expect("a message")
            .contains("at most 3"),
        "{first}"
    );
    let (_, collection) = ask(&client, Method::GET, &things, &[], None).await;
    assert_eq!(
        (&collection["version"], collection.get("change")),
        (&json!(1), None),
        "nothing has changed"
    );

    let (_, all) = ask(&client, Method::GET, &format!("/v1/tenants/{slug}/operations"), &[], None).await;
    assert!(!all["items"].as_array().expect("operations").is_empty());
    let (status, problem) = ask(
        &client,
        Method::GET,
        &format!("/v1/tenants/{slug}/operations/{}", uuid::Uuid::now_v7()),
        &[],
        None,
    )
    .await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn versions_are_shown_and_restored_on_every_node() {
    let cluster = up(3);
    let tenant = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let tasks = format!("/v1/tenants/{}/records/tasks", tenant.slug);
    let (_, made) = ask(
        &tenant.client,
        Method::POST,
        &tasks,
        &[],
        Some(&json!({"fields": {"title": "one"}})),
    )
    .await;
    let task = format!("{tasks}/{}", made["id"].as_str().expect("an id"));
    ask(
        &tenant.client,
        Method::PATCH,
        &task,
        &[],
        Some(&json!({"fields": {"title": "two"}})),
    )
    .await;
    ask(&tenant.client, Method::DELETE, &task, &[], None).await;
    for node in cluster.addresses() {
        let client = tenant::client(&[node], &tenant.token).expect("a client");
        let (status, page) = ask(&client, Method::GET, &format!("{task}/history"), &[], None).await;
        let versions: Vec<_> = page["items"]
            .as_array()
            .expect("versions")
            .iter()
            .map(|item| (&item["version"], &item["deleted"]))
            .collect();
        assert_eq!(
            (status, versions),
            (
                200,
                vec![
                    (&json!(3), &json!(true)),
                    (&json!(2), &json!(false)),
                    (&json!(1), &json!(false))
                ]
            )
        );
        assert_eq!(page["items"][1]["fields"]["title"], "two");
    }
    let restore = format!("{task}/restore");
    let keyed = [("idempotency-key", "once")];
    let (status, back) = ask(&tenant.client, Method::POST, &restore, &keyed, Some(&json!({"version": 1}))).await;
    assert_eq!(
        (status, &back["version"], &back["fields"]["title"]),
        (201, &json!(4), &json!("one")),
        "{back}"
    );
    let (_, again) = ask(&tenant.client, Method::POST, &restore, &keyed, Some(&json!({"version": 1}))).await;
    assert_eq!(again, back, "a retry answers the same");
    let stale = [("if-match", "\"3\"")];
    let (status, _) = ask(&tenant.client, Method::POST, &restore, &stale, Some(&json!({"version": 2}))).await;
    assert_eq!(status, 412);
}

#[tokio::test]
async fn an_export_read_back_is_the_same_export() {
    let cluster = up(3);
    let one = tenant::create(&cluster, "one", Some("workspace")).await.expect("a tenant");
    let tasks = format!("/v1/tenants/{}/records/tasks", one.slug);
    let mut parent = Json::Null;
    for number in 0..40 {
        let fields =
            json!({"title": format!("t{number}"), "labels": ["a", "b"], "points": 1.5, "due_on": "2026-11-25", "parent": parent});
        let (status, made) = ask(&one.client, Method::POST, &tasks, &[], Some(&json!({ "fields": fields }))).await;
        assert_eq!(status, 201, "{made}");
        // The first refers to the last, which comes after it.
        parent = made["id"].clone();
        let patch = json!({"fields": {"description": "\u{1F980} \"quoted\"\n"}});
        ask(
            &one.client,
            Method::PATCH,
            &format!("{tasks}/{}", parent.as_str().expect("an id")),
            &[],
            Some(&patch),
        )
        .await;
    }
    let two = tenant::create(&cluster, "two", None).await.expect("a tenant");
    let export = async |tenant: &Tenant| {
        let call = Call::new(Method::GET, format!("/v1/tenants/{}/export", tenant.slug));
        let answer = tenant.client.call(call).await.expect("an export");
        String::from_utf8(answer.body.to_vec()).expect("UTF-8")
    };
    let archive = export(&one).await;
    let restore = async |id: &'static str, text: String| {
        let call = Call::new(Method::POST, format!("/v1/tenants/{}/import", two.slug)).body("application/x-ndjson", text);
        let answer = two.client.call(call.header("import-id", id)).await.expect("an answer");
        String::from_utf8(answer.body.to_vec()).expect("UTF-8")
    };
    // It breaks off, and the same import goes on.
    let half: String = archive.lines().take(25).map(|line| format!("{line}\n")).collect();
    let told = restore("a", half).await;
    assert!(told.contains("the archive is not whole"), "{told}");
    let told = restore("a", archive.clone()).await;
    assert!(told.contains("\"imported\":40,\"failed\":0"), "{told}");
    let own = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("{\"kind\":\"header\"") && !line.starts_with("{\"kind\":\"token\""));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(own(&export(&two).await), own(&archive));
    // Numbers go on where they were.
    let (_, made) = ask(
        &two.client,
        Method::POST,
        &format!("/v1/tenants/{}/records/tasks", two.slug),
        &[],
        Some(&json!({"fields": {"title": "next"}})),
    )
    .await;
    assert_eq!(made["fields"]["number"], 41);
    let told = restore("b", archive).await;
    assert!(told.contains("already_exists"), "{told}");
}

/// Where distributions put the library that moves a process's clock.
const FAKETIME: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

#[tokio::test]
async fn what_a_plan_no_longer_keeps_is_trimmed() {
    let Some(library) = FAKETIME.into_iter().find(|path| Path::new(path).exists()) else {
        println!("NOT COVERED: trims need a clock that can be moved: install faketime");
        return;
    };
    let mut cluster = up(3);
    cluster.detach().expect("nodes on their own");
    let names: Vec<String> = cluster.nodes().iter().map(|node| node.name.clone()).collect();
    let tenant = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let tasks = format!("/v1/tenants/{}/records/tasks", tenant.slug);
    let new = json!({"fields": {"title": "one"}});
    let (_, made) = ask(&tenant.client, Method::POST, &tasks, &[], Some(&new)).await;
    let task = format!("{tasks}/{}", made["id"].as_str().expect("an id"));
    let change = json!({"fields": {"title": "two"}});
    ask(&tenant.client, Method::PATCH, &task, &[], Some(&change)).await;
    let environment = [
        ("LD_PRELOAD", library),
        ("FAKETIME", "+40d"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let own = Own {
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..Own::default()
    };
    for name in &names {
        cluster.terminate(name).expect("a request to stop");
    }
    for name in &names {
        assert!(cluster.wait_ended(name, PATIENCE).expect("an end"));
        cluster.give(name, own.clone());
    }
    for name in &names {
        cluster.start_node(name).expect("a node in the future");
    }
    for name in &names {
        cluster.wait_ready(name, PATIENCE).expect("a ready node");
    }
    let client = tenant.client.clone().with_retries(100);
    let events = format!("/v1/tenants/{}/events?after=0&follow=false", tenant.slug);
    let gone = until("the trim", async || {
        let (status, problem) = ask(&client, Method::GET, &events, &[("accept", "application/x-ndjson")], None).await;
        (status == 410).then_some(problem)
    })
    .await;
    assert_eq!(gone["code"], "position_trimmed", "{gone}");
    for node in cluster.addresses() {
        let client = tenant::client(&[node], &tenant.token).expect("a client").with_retries(100);
        let ndjson = [("accept", "application/x-ndjson")];
        let (status, _) = ask(&client, Method::GET, &events, &ndjson, None).await;
        assert_eq!(status, 410, "on every node");
    }
    let (_, page) = ask(&client, Method::GET, &format!("{task}/history"), &[], None).await;
    assert_eq!(
        page["items"].as_array().map(Vec::len),
        Some(1),
        "version 1 is forgotten: {page}"
    );
    let (_, record) = ask(&client, Method::GET, &task, &[], None).await;
    assert_eq!(record["fields"]["title"], "two");
    let (status, next) = ask(
        &client,
        Method::PATCH,
        &task,
        &[],
        Some(&json!({"fields": {"title": "three"}})),
    )
    .await;
    assert_eq!((status, &next["version"]), (200, &json!(3)));
}
