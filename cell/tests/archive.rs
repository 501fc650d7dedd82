//! A tenant as one file, over HTTP on real nodes: it comes back byte for byte, wherever it was and goes, and what breaks leaves nothing.

use std::io;

use api::body::control::TenantMove;
use api::client::{Call, Client, ClientError, EventsFrom, FromArchive, Method};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::tenant::{self, Tenant};
use rig::verify;
use rig::wait::{PATIENCE, until};
use serde_json::{Value as Json, json};

const DEDICATED: &str = "eu-west-1-dedicated-0";

fn up(nodes: usize) -> Cluster {
    let mut layout = Layout::one_region(nodes).expect("a layout");
    layout.dedicated = 1;
    Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster")
}

fn operator(cluster: &Cluster) -> Client {
    tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client")
}

async fn ask(client: &Client, method: Method, path: &str, key: Option<&str>, body: Option<&Json>) -> (u16, Json) {
    let mut call = Call::new(method, path.to_owned());
    if let Some(body) = body {
        call = call.body("application/json", body.to_string());
    }
    if let Some(key) = key {
        call = call.header("idempotency-key", key);
    }
    let answer = client.call(call).await.expect("an answer");
    let body = serde_json::from_slice(&answer.body).unwrap_or(Json::Null);
    (answer.status.as_u16(), body)
}

async fn archive(client: &Client, slug: &str) -> (Vec<u8>, u64) {
    // A busy machine may have no leader for a moment, and a client does not repeat what streams.
    let mut stream = until("an archive", async || match client.archive(slug).await {
        Ok(stream) => Some(stream),
        Err(error) if error.is_transient() => None,
        Err(error) => panic!("an archive: {error}"),
    })
    .await;
    let position = stream.position().expect("a position");
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await.expect("a piece") {
        bytes.extend_from_slice(&piece);
    }
    (bytes, position)
}

fn new() -> FromArchive {
    FromArchive {
        region: "eu-west-1".to_owned(),
        ..FromArchive::default()
    }
}

/// The bytes of an archive in pieces that end where no block does.
fn pieces(bytes: &[u8]) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let pieces: Vec<_> = bytes.chunks(777).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

async fn import(operator: &Client, slug: &str, new: &FromArchive, bytes: &[u8]) -> Result<Option<String>, ClientError> {
    let answer = operator.tenant_from_archive(slug, new, pieces(bytes)).await?;
    assert_eq!(answer.status.as_u16(), 201);
    assert_eq!(answer.body.slug.as_str(), slug);
    Ok(answer.body.admin_token)
}

async fn events(client: &Client, slug: &str) -> Vec<Json> {
    let mut stream = client.events(slug, EventsFrom::default()).await.expect("events");
    let mut events = Vec::new();
    while let Some(event) = stream.next().await.expect("an event") {
        events.push(serde_json::to_value(&event).expect("JSON"));
    }
    events
}

/// A tenant with everything that one can have.
struct Lived {
    tenant: Tenant,
    project: String,
    task: String,
    gone: String,
    revoked: String,
    guest: String,
}

async fn lived(cluster: &Cluster, slug: &str) -> Lived {
    let tenant = tenant::create(cluster, slug, Some("workspace")).await.expect("a tenant");
    let client = &tenant.client;
    let base = format!("/v1/tenants/{slug}");
    let records = format!("{base}/records");
    let project = json!({"fields": {"key": "P", "name": "One"}});
    let (status, project) = ask(client, Method::POST, &format!("{records}/projects"), None, Some(&project)).await;
    assert_eq!(status, 201, "{project}");
    let project = project["id"].as_str().expect("an id").to_owned();
    let mut ids = Vec::new();
    for number in 0..60 {
        let task = json!({"fields": {"title": format!("{number}"), "project": project, "labels": ["a"], "description": "x".repeat(number * 50)}});
        let key = format!("task {number}");
        let (status, task) = ask(client, Method::POST, &format!("{records}/tasks"), Some(&key), Some(&task)).await;
        assert_eq!(status, 201, "{task}");
        ids.push(task["id"].as_str().expect("an id").to_owned());
    }
    for id in &ids[..20] {
        let change = json!({"fields": {"status": "todo"}});
        let (status, task) = ask(client, Method::PATCH, &format!("{records}/tasks/{id}"), None, Some(&change)).await;
        assert_eq!(status, 200, "{task}");
    }
    let (status, _) = ask(client, Method::DELETE, &format!("{records}/tasks/{}", ids[1]), None, None).await;
    assert_eq!(status, 204);
    let lines: String = (0..300)
        .map(|number| format!("{}\n", json!({"title": format!("line {number}"), "project": project})))
        .collect();
    let call = Call::new(Method::POST, format!("{records}/tasks/import"))
        .body("application/x-ndjson", lines)
        .header("import-id", "monday");
    assert_eq!(client.call(call).await.expect("an import").status.as_u16(), 200);
    // An operation: each task is given a unique code.
    let (_, schema) = ask(client, Method::GET, &format!("{base}/collections/comments"), None, None).await;
    let comment = json!({"fields": {"task": ids[0], "body": "first"}});
    assert_eq!(
        ask(client, Method::POST, &format!("{records}/comments"), None, Some(&comment))
            .await
            .0,
        201
    );
    let fields = json!({"fields": schema["fields"], "indexes": {"by_author": {"fields": ["author", "created_at"]}},
        "rules": {"delete": "auth.role == \"owner\""}});
    let (status, change) = ask(
        client,
        Method::PUT,
        &format!("{base}/collections/comments"),
        None,
        Some(&fields),
    )
    .await;
    assert!(matches!(status, 200 | 202), "{status} {change}");
    until("the end of the operation", async || {
        let (_, all) = ask(client, Method::GET, &format!("{base}/operations"), None, None).await;
        let all = all["items"].as_array()?.clone();
        all.iter()
            .all(|one| one["status"] == "done" && one["phase"].is_null())
            .then_some(())
    })
    .await;
    let mut secrets = Vec::new();
    for role in ["guest", "member"] {
        let (status, made) = ask(
            client,
            Method::POST,
            &format!("{base}/tokens"),
            None,
            Some(&json!({"name": role, "role": role})),
        )
        .await;
        assert_eq!(status, 201, "{made}");
        secrets.push((
            made["id"].as_str().expect("an id").to_owned(),
            made["secret"].as_str().expect("a secret").to_owned(),
        ));
    }
    let (revoked, _) = &secrets[1];
    assert_eq!(
        ask(client, Method::DELETE, &format!("{base}/tokens/{revoked}"), None, None)
            .await
            .0,
        204
    );
    Lived {
        project,
        task: ids[0].clone(),
        gone: ids[1].clone(),
        revoked: secrets[1].1.clone(),
        guest: secrets[0].1.clone(),
        tenant,
    }
}

/// What anybody may read of a tenant, whatever its name.
async fn seen(lived: &Lived, slug: &str) -> Vec<Json> {
    let base = format!("/v1/tenants/{slug}");
    let mut seen = Vec::new();
    for path in [
        "collections".to_owned(),
        "collections/tasks".to_owned(),
        "tokens".to_owned(),
        "records/projects".to_owned(),
        "records/tasks?order=-number&limit=500&count=true".to_owned(),
        "records/tasks?filter=status%20%3D%3D%20%22todo%22&limit=500".to_owned(),
        format!("records/tasks?project={}&limit=3", lived.project),
        "records/comments?expand=task".to_owned(),
        format!("records/tasks/{}/history", lived.task),
        format!("records/tasks/{}/history", lived.gone),
    ] {
        let (status, mut body) = ask(&lived.tenant.client, Method::GET, &format!("{base}/{path}"), None, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        // A cursor is bound to its list, and that to its tenant.
        body.as_object_mut().expect("an object").remove("next_cursor");
        seen.push(body);
    }
    let (_, operations) = ask(&lived.tenant.client, Method::GET, &format!("{base}/operations"), None, None).await;
    let ids = operations["items"]
        .as_array()
        .expect("operations")
        .iter()
        .map(|one| one["id"].clone());
    seen.extend(ids);
    for event in events(&lived.tenant.client, slug).await {
        // Its id and source name the tenant.
        seen.push(Json::String(event.to_string().replace(slug, "acme")));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_comes_back_as_it_was_byte_for_byte() {
    let cluster = up(3);
    let operator = operator(&cluster);
    let lived = lived(&cluster, "acme").await;
    let (bytes, position) = archive(&operator, "acme").await;
    assert_eq!(
        archive(&lived.tenant.client, "acme").await,
        (bytes.clone(), position),
        "its admin's is the operator's"
    );
    for node in cluster.nodes() {
        let client = tenant::client_of(node.api, cluster.operator_token()).expect("a client");
        assert_eq!(
            archive(&client, "acme").await.0,
            bytes,
            "whichever replica writes it: {}",
            node.name
        );
    }
    import(&operator, "again", &new(), &bytes).await.expect("a tenant");
    assert_eq!(archive(&operator, "again").await, (bytes.clone(), position));
    // In another cell, out of which it comes the same.
    let to = TenantMove {
        cell: Some(DEDICATED.to_owned()),
        dedicated: false,
        ..TenantMove::default()
    };
    let moving = operator.tenant_move("again", &to, None).await.expect("a move").body;
    until("the end of the move", async || {
        let now = operator.operation(moving.id).await.ok()?.body;
        (now.status == "done").then_some(())
    })
    .await;
    let (moved, _) = archive(&operator, "again").await;
    assert_eq!(moved, bytes, "nothing of it depends on where it is");
    import(&operator, "third", &new(), &moved).await.expect("a tenant");
    let expected = seen(&lived, "acme").await;
    for slug in ["again", "third"] {
        let found = seen(&lived, slug).await;
        for (one, other) in found.iter().zip(&expected) {
            assert_eq!(one, other, "{slug}");
        }
        assert_eq!(found.len(), expected.len(), "{slug}");
        let guest = tenant::client(&cluster.addresses(), &lived.guest).expect("a client");
        let revoked = tenant::client(&cluster.addresses(), &lived.revoked).expect("a client");
        let me = format!("/v1/tenants/{slug}/me");
        assert_eq!(
            ask(&guest, Method::GET, &me, None, None).await.0,
            200,
            "a token of the archive"
        );
        let (status, ended) = ask(&revoked, Method::GET, &me, None, None).await;
        assert_eq!(status, 401, "one that was revoked stays so: {ended}");
        goes_on(&lived, slug).await;
        let both = Tenant {
            slug: slug.to_owned(),
            ..lived.tenant.clone()
        };
        verify::exports_agree(&cluster, &both).await.expect("replicas that agree");
    }
    assert_eq!(
        archive(&operator, "acme").await.0,
        bytes,
        "the one that it was taken of is as it was"
    );
    verify::replicas_agree(&cluster, PATIENCE).await.expect("replicas that agree");
}

/// The tenant takes writes: sequences and positions go on, and unique values and references are held.
async fn goes_on(lived: &Lived, slug: &str) {
    let (client, records) = (&lived.tenant.client, format!("/v1/tenants/{slug}/records"));
    let last = events(client, slug).await.len();
    let task = json!({"fields": {"title": "new", "project": lived.project}});
    let (status, task) = ask(client, Method::POST, &format!("{records}/tasks"), None, Some(&task)).await;
    assert_eq!((status, &task["fields"]["number"]), (201, &json!(361)), "{task}");
    assert_eq!(events(client, slug).await.len(), last + 1);
    let taken = json!({"fields": {"key": "P", "name": "Two"}});
    let (status, error) = ask(client, Method::POST, &format!("{records}/projects"), None, Some(&taken)).await;
    assert_eq!((status, &error["code"]), (409, &json!("unique_violation")), "{error}");
    let (status, error) = ask(
        client,
        Method::DELETE,
        &format!("{records}/projects/{}", lived.project),
        None,
        None,
    )
    .await;
    assert_eq!((status, &error["code"]), (409, &json!("reference_violation")), "{error}");
    // A task that was deleted and comes back goes on counting its versions.
    let again = json!({"fields": {"title": "back"}});
    let (status, task) = ask(
        client,
        Method::PUT,
        &format!("{records}/tasks/{}", lived.gone),
        None,
        Some(&again),
    )
    .await;
    assert_eq!((status, &task["version"]), (201, &json!(4)), "{task}");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_its_old_name_it_answers_retries_and_its_tokens_may_stay_behind() {
    let cluster = up(1);
    let operator = operator(&cluster);
    let lived = lived(&cluster, "acme").await;
    let (bytes, _) = archive(&operator, "acme").await;
    let taken = import(&operator, "acme", &new(), &bytes)
        .await
        .expect_err("the name is taken");
    assert_eq!(
        taken.problem().unwrap_or_else(|| panic!("no problem: {taken:?}")).code,
        "already_exists"
    );
    operator.tenant_delete("acme").await.expect("erased");
    is_free(&operator, "acme").await;
    import(&operator, "acme", &new(), &bytes).await.expect("a tenant");
    let task = json!({"fields": {"title": "7", "project": lived.project, "labels": ["a"], "description": "x".repeat(350)}});
    let tasks = "/v1/tenants/acme/records/tasks";
    let (status, replayed) = ask(&lived.tenant.client, Method::POST, tasks, Some("task 7"), Some(&task)).await;
    assert_eq!(
        (status, &replayed["fields"]["number"]),
        (201, &json!(8)),
        "the reply of then: {replayed}"
    );
    assert_eq!(archive(&operator, "acme").await.0, bytes, "and nothing was stored");
    let dropped = FromArchive {
        drops_tokens: true,
        ..new()
    };
    let token = import(&operator, "fresh", &dropped, &bytes)
        .await
        .expect("a tenant")
        .expect("a token");
    let fresh = tenant::client(&cluster.addresses(), &token).expect("a client");
    let (status, tokens) = ask(&fresh, Method::GET, "/v1/tenants/fresh/tokens", None, None).await;
    assert_eq!((status, tokens["items"].as_array().map(Vec::len)), (200, Some(1)), "{tokens}");
    let (status, _) = ask(&lived.tenant.client, Method::GET, "/v1/tenants/fresh/me", None, None).await;
    assert_ne!(status, 200, "a token that stayed behind");
}

/// Waits until nothing has the name.
async fn is_free(operator: &Client, slug: &str) {
    until("a free name", async || {
        let shown = operator.tenant_show(slug).await.err()?;
        (shown.problem()?.code == "not_found").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_was_cut_edited_or_is_none_leaves_nothing() {
    let cluster = up(1);
    let operator = operator(&cluster);
    let lived = lived(&cluster, "acme").await;
    let (bytes, _) = archive(&operator, "acme").await;
    let middle = bytes.len() / 2;
    let mut edited = bytes.clone();
    edited[middle] ^= 4;
    let mut newer = bytes.clone();
    newer[7] = 3;
    let cases: [(&str, Vec<u8>, &str, &str); 6] = [
        ("cut", bytes[..middle].to_vec(), "malformed_body", "it was cut"),
        (
            "its trailer is missing",
            bytes[..bytes.len() - 20].to_vec(),
            "malformed_body",
            "it was cut",
        ),
        ("edited", edited, "malformed_body", "is damaged in the block at byte"),
        ("longer", [&bytes[..], b"x"].concat(), "malformed_body", "behind its end"),
        ("newer", newer, "invalid_fields", "has format 3"),
        (
            "lines",
            b"{\"kind\":\"header\"}\n".to_vec(),
            "malformed_body",
            "no archive of a tenant",
        ),
    ];
    let cells = || async {
        operator
            .cells()
            .await
            .expect("cells")
            .iter()
            .map(|cell| cell.tenants)
            .sum::<u64>()
    };
    let before = cells().await;
    for (what, wrong, code, words) in cases {
        let refused = import(&operator, "broken", &new(), &wrong).await.expect_err(what);
        let problem = refused.problem().unwrap_or_else(|| panic!("{what}: {refused}"));
        assert_eq!(problem.code, code, "{what}: {}", problem.detail);
        assert!(
            problem.detail.contains(words) && problem.detail.ends_with("nothing was imported"),
            "{what}: {}",
            problem.detail
        );
        let shown = operator.tenant_show("broken").await.expect_err(what);
        assert_eq!(
            shown.problem().expect("a problem").code,
            "not_found",
            "{what}: the name is free at once"
        );
        assert_eq!(cells().await, before, "{what}: nobody is counted");
    }
    let elsewhere = FromArchive {
        region: "nowhere".to_owned(),
        ..new()
    };
    let refused = import(&operator, "broken", &elsewhere, &bytes)
        .await
        .expect_err("no such region");
    assert_eq!(refused.problem().expect("a problem").code, "invalid_fields");
    let refused = import(&lived.tenant.client, "broken", &new(), &bytes)
        .await
        .expect_err("no operator");
    assert_eq!(refused.problem().expect("a problem").code, "forbidden");
    import(&operator, "broken", &new(), &bytes)
        .await
        .expect("what is whole is taken");
    assert_eq!(archive(&operator, "broken").await.0, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_imports_that_is_killed_is_given_up() {
    let cluster = up(3);
    let operator = operator(&cluster);
    let lived = lived(&cluster, "acme").await;
    let (bytes, _) = archive(&operator, "acme").await;
    let node = cluster.nodes()[1].clone();
    let importer = tenant::client_of(node.api, cluster.operator_token()).expect("a client");
    // The rest of it never comes.
    let half = pieces(&bytes[..bytes.len() / 2]).chain(stream::pending());
    let (half, slug) = (half, "broken");
    let importing = tokio::spawn(async move { importer.tenant_from_archive(slug, &new(), half).await });
    until("a tenant on its way", async || {
        let shown = operator.tenant_show(slug).await.ok()?.body;
        (serde_json::to_value(shown.status).ok()? == "creating").then_some(())
    })
    .await;
    let (status, _) = ask(
        &lived.tenant.client,
        Method::GET,
        &format!("/v1/tenants/{slug}/me"),
        None,
        None,
    )
    .await;
    assert_eq!(status, 404, "nobody is served what has not come");
    let taken = import(&operator, slug, &new(), &bytes).await.expect_err("its name is taken");
    assert_eq!(
        taken.problem().unwrap_or_else(|| panic!("no problem: {taken:?}")).code,
        "already_exists"
    );
    let old = cluster.kill(&node.name).expect("a node that dies");
    assert!(importing.await.expect("a task").is_err(), "nobody heard of a tenant");
    cluster
        .wait_restarted(&node.name, old, PATIENCE)
        .expect("a node that is back");
    is_free(&operator, slug).await;
    cluster.wait_ready(&node.name, PATIENCE).expect("a node that serves");
    import(&operator, slug, &new(), &bytes).await.expect("a tenant");
    assert_eq!(archive(&operator, slug).await.0, bytes);
    verify::replicas_agree(&cluster, PATIENCE).await.expect("replicas that agree");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_writes_an_archive_that_is_whole_and_makes_a_tenant_of_it() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = up(1);
    let operator = operator(&cluster);
    lived(&cluster, "acme").await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("acme.archive");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(cluster.binary())
            .args(["tenant"])
            .args(arguments)
            .env("CLOUDNEST_URL", format!("http://{}", cluster.addresses()[0]))
            .env("CLOUDNEST_TOKEN", cluster.operator_token())
            .output()
            .expect("the program");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), said(&output.stdout), said(&output.stderr))
    };
    let path = file.to_str().expect("a path");
    let (done, _, said) = run(&["export", "acme", "--archive", "--output", path]);
    assert!(done && said.contains("the tenant at position"), "{said}");
    let (bytes, _) = archive(&operator, "acme").await;
    assert_eq!(std::fs::read(&file).expect("a file"), bytes);
    let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else reads it");
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("a directory").collect();
    assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    let (done, shown, said) = run(&["import", "beside", path, "--tokens", "drop"]);
    assert!(done && shown.contains("token      cnt_"), "{shown}{said}");
    let (done, _, said) = run(&["import", "beside", path]);
    assert!(!done && said.contains("already"), "{said}");
    std::fs::write(&file, &bytes[..bytes.len() / 2]).expect("a file");
    let (done, _, said) = run(&["import", "half", path]);
    assert!(!done && said.contains("it was cut"), "{said}");
}
