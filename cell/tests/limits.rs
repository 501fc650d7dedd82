//! What plans give of records, storage and connections, over real nodes: what is beyond is refused and says why, and what is changed of a
//! plan holds at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use api::body::record::{Batch, BatchOperation, BatchVerb, Fields, NewRecord, Record};
use api::body::usage::Usage;
use api::client::{Call, Client, ClientError, ImportOptions, Method};
use api::error::Outcome;
use api::ids::Id;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::tenant::{self, Tenant};
use rig::wait::{PATIENCE, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a changed plan may take to hold, on a machine that is busy with other tests.
const AT_ONCE: Duration = Duration::from_secs(10);

fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_cloudnest").into()
}

fn cluster(nodes: usize) -> Cluster {
    Cluster::up(Options::new(Layout::one_region(nodes).expect("a layout"), binary())).expect("a cluster")
}

/// Runs `cluster plan` or `cluster apply` for the cluster's own configuration with a plan `small` that says this; what it prints.
fn cluster_do(cluster: &Cluster, verb: &str, small: &str) -> String {
    let config = cluster.data().join("wanted.toml");
    let mut text = cluster.layout().to_toml();
    text.push_str("\n[[plan]]\nname = \"small\"\nunits_per_second = 100000000\nstorage_gib = 1\n");
    text.push_str(small);
    std::fs::write(&config, text).expect("a configuration");
    let mut command = Command::new(binary());
    command.args(["cluster", verb, "--config"]).arg(config);
    command.arg("--data").arg(cluster.data());
    command.env_remove("CLOUDNEST_URL").env_remove("CLOUDNEST_TOKEN");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = command.output().expect("the program runs");
        let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let printed = printed.concat();
        if output.status.success() {
            return printed;
        }
        // A directory that has just begun is raised to its level within a second or two.
        assert!(printed.contains("need level 2") && Instant::now() < deadline, "{printed}");
    }
}

fn apply(cluster: &Cluster, small: &str) -> String {
    tokio::task::block_in_place(|| cluster_do(cluster, "apply", small))
}

/// A tenant of the plan: its token.
async fn small_tenant(cluster: &Cluster) -> String {
    let Tenant { client, token, .. } = tenant::create_on(cluster, "small", "acme").await.expect("a tenant");
    until("its records are counted", async || {
        client.usage("acme").await.ok()?.body.stored.records
    })
    .await;
    token
}

fn fields(json: serde_json::Value) -> Fields {
    json.as_object().expect("an object").clone()
}

async fn create(client: &Client, text: &str) -> Result<Record, ClientError> {
    let new = NewRecord {
        id: None,
        fields: fields(json!({ "title": "a task", "description": text })),
    };
    client
        .record_create("acme", "tasks", &new, None)
        .await
        .map(|answer| answer.body)
}

async fn batch(client: &Client, operations: Vec<(BatchVerb, Option<Id>)>) -> Result<(), ClientError> {
    let one = |(op, id): (BatchVerb, Option<Id>)| BatchOperation {
        op,
        collection: "tasks".parse().expect("a name"),
        id,
        if_match: None,
        fields: (op != BatchVerb::Delete).then(|| fields(json!({ "title": "one of several" }))),
    };
    let operations = operations.into_iter().map(one).collect();
    client.batch("acme", &Batch { operations }, None).await.map(drop)
}

async fn usage(client: &Client) -> Usage {
    client.usage("acme").await.expect("usage").body
}

/// How many writes the node says to have refused for want of room.
async fn refusals(operator: &Client) -> f64 {
    let metrics = operator.metrics().await.expect("metrics");
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix("cloudnest_fair_storage_refused_total "));
    line.expect("the metric").parse().expect("a number")
}

/// The detail of a refusal for want of room.
fn full<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    let Err(ClientError::Problem(problem)) = result else {
        panic!("it was not refused: {result:?}")
    };
    assert_eq!((problem.status, problem.code.as_str()), (507, "storage_full"), "{problem:?}");
    assert_eq!(problem.outcome, Outcome::NotApplied);
    problem.detail.clone()
}

/// Imports lines under a name; the last line that is settled, and how it ended.
async fn import(client: &Client, id: &str, lines: std::ops::Range<u32>) -> Result<u64, ClientError> {
    let lines: String = lines.map(|number| format!("{{\"title\":\"line {number}\"}}\n")).collect();
    let options = ImportOptions {
        import_id: Some(id.to_owned()),
        ..ImportOptions::default()
    };
    let done = client
        .import_reader("acme", "tasks", &options, lines.as_bytes(), |_| {})
        .await;
    done.map(|summary| summary.imported)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_records_come_than_the_plan_gives_and_a_larger_plan_holds_at_once() {
    let cluster = cluster(3);
    apply(&cluster, "records = 5\n");
    let token = small_tenant(&cluster).await;
    let client = tenant::client(&cluster.addresses(), &token).expect("a client");
    let mut made = Vec::new();
    for number in 0..4 {
        made.push(create(&client, &format!("task {number}")).await.expect("a record").id);
    }
    let refused = full(batch(&client, vec![(BatchVerb::Create, None), (BatchVerb::Create, None)]).await);
    assert!(refused.contains("4 records") && refused.contains("gives it 5"), "{refused}");
    batch(
        &client,
        vec![
            (BatchVerb::Delete, Some(made[3])),
            (BatchVerb::Create, None),
            (BatchVerb::Create, None),
        ],
    )
    .await
    .expect("one goes and two come");
    full(create(&client, "one too many").await);
    // What does not add a record is served.
    let patch = fields(json!({ "title": "another and longer title" }));
    client
        .record_patch("acme", "tasks", made[0], &patch, None, None)
        .await
        .expect("changed");
    let seen = usage(&client).await;
    assert_eq!((seen.limits.records, seen.stored.records), (Some(5), Some(5)), "{seen:?}");
    assert!(seen.stored.records_bytes.is_some_and(|bytes| bytes > 500), "{seen:?}");
    // Gone at one node, there is room at all of them.
    for (node, id) in cluster.addresses().into_iter().zip(&made[..3]) {
        let one = tenant::client_of(node, &token).expect("a client");
        one.record_delete("acme", "tasks", *id, None).await.expect("deleted");
        create(&client, "in its place").await.expect("there is room");
        full(create(&one, "one too many").await);
    }
    let restored = client.record_restore("acme", "tasks", made[0], 1, None, None).await;
    full(restored);

    let printed = tokio::task::block_in_place(|| cluster_do(&cluster, "plan", "records = 7\nconnections = 90\n"));
    assert!(printed.contains("records 5 → 7"), "{printed}");
    apply(&cluster, "records = 7\n");
    let since = Instant::now();
    until("the larger plan", async || create(&client, "more").await.ok()).await;
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    apply(&cluster, "records = 2\n");
    let since = Instant::now();
    until("the smaller plan", async || {
        let limits = usage(&client).await.limits;
        (limits.records == Some(2)).then_some(())
    })
    .await;
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    full(create(&client, "one too many").await);
    assert_eq!(usage(&client).await.stored.records, Some(6), "nothing goes by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_ends_where_there_is_no_more_room_and_goes_on_once_there_is() {
    let cluster = cluster(1);
    apply(&cluster, "records = 700\n");
    let token = small_tenant(&cluster).await;
    let client = tenant::client_of(cluster.addresses()[0], &token).expect("a client");
    let detail = full(import(&client, "all", 0..1_500).await);
    assert!(detail.starts_with("line 701: "), "{detail}");
    assert_eq!(usage(&client).await.stored.records, Some(700), "as many as there is room for");
    full(import(&client, "all", 0..1_500).await);
    assert_eq!(usage(&client).await.stored.records, Some(700));
    apply(&cluster, "records = 2000\n");
    until("the larger plan", async || {
        (usage(&client).await.limits.records == Some(2_000)).then_some(())
    })
    .await;
    assert_eq!(import(&client, "all", 0..1_500).await.expect("the rest"), 1_500);
    assert_eq!(usage(&client).await.stored.records, Some(1_500), "each line once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_and_files_share_the_storage_of_a_plan() {
    const GIB: u64 = 1 << 30;
    let cluster = cluster(1);
    apply(&cluster, "");
    let token = small_tenant(&cluster).await;
    let client = tenant::client_of(cluster.addresses()[0], &token).expect("a client");
    let record = create(&client, &"x".repeat(1_000)).await.expect("a record");
    let before = usage(&client).await.stored;
    let records = before.records_bytes.expect("they are counted");
    assert!((1_000..3_000).contains(&records) && before.files_bytes == 0, "{before:?}");

    let begin = |length: u64| client.upload_begin("acme", length, "filename YS5iaW4=");
    let detail = full(begin(GIB - records + 1).await);
    assert!(detail.contains(&(GIB - records).to_string()), "{detail}");
    let upload = begin(GIB - records - 2_000).await.expect("it is announced").body;
    let seen = usage(&client).await;
    assert_eq!(seen.stored.files_bytes, GIB - records - 2_000);
    assert_eq!(seen.limits.storage_bytes, GIB);

    let operator = tenant::client_of(cluster.addresses()[0], cluster.operator_token()).expect("a client");
    let counted = refusals(&operator).await;
    let detail = full(create(&client, &"y".repeat(2_700)).await);
    assert_eq!(refusals(&operator).await, counted + 1.0, "it is counted once");
    assert!(
        detail.contains(&(GIB - 2_000).to_string()) && detail.contains("small"),
        "{detail}"
    );
    create(&client, "a short one").await.expect("there is room for that");
    let patch = async |length: usize| {
        let fields = fields(json!({ "description": "z".repeat(length) }));
        client.record_patch("acme", "tasks", record.id, &fields, None, None).await
    };
    patch(1_000).await.expect("it becomes no longer");
    full(patch(5_000).await);
    client
        .record_delete("acme", "tasks", record.id, None)
        .await
        .expect("deletions are served always");
    let left = usage(&client).await.stored;
    assert!(
        left.records_bytes < before.records_bytes && left.versions_bytes > before.records_bytes,
        "what was deleted is a version: {left:?}"
    );
    let path = format!("/v1/tenants/acme/files/uploads/{upload}");
    let end = Call::new(Method::DELETE, path).header("tus-resumable", "1.0.0");
    assert_eq!(client.call(end).await.expect("an answer").status.as_u16(), 204);
    create(&client, &"y".repeat(2_700)).await.expect("there is room again");
}

/// A connection that has sent a request for the tenant: it, and the head of the reply.
async fn connect(node: SocketAddr, token: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(node).await.expect("a connection");
    let head = ask(&mut stream, "/v1/tenants/acme/me?consistency=local", token, "").await;
    (stream, head)
}

/// Sends a request, and reads the whole reply: its head.
async fn ask(stream: &mut TcpStream, path: &str, token: &str, more: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n{more}\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut reply = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&reply).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
                return head.to_owned();
            }
        }
        let count = stream.read_buf(&mut reply).await.expect("a reply");
        assert!(count > 0, "it closed: {text}");
    }
}

fn is_refused(head: &str) -> bool {
    let refused = head.starts_with("http/1.1 429");
    assert!(refused || head.starts_with("http/1.1 200"), "{head}");
    if refused {
        assert!(head.contains("retry-after: ") && head.contains("connection: close"), "{head}");
    }
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_as_many_connections_at_a_node_as_its_plan_gives() {
    let cluster = cluster(3);
    apply(&cluster, "connections = 3\n");
    let token = small_tenant(&cluster).await;
    let nodes = cluster.addresses();
    for node in &nodes {
        until("the tenant is known", async || {
            let (_, head) = connect(*node, &token).await;
            head.starts_with("http/1.1 200").then_some(())
        })
        .await;
    }
    // Whoever leads, each node counts its own clients.
    for node in &nodes[..2] {
        until("the connections that are gone are counted no more", async || {
            let (_, head) = connect(*node, &token).await;
            (!is_refused(&head)).then_some(())
        })
        .await;
        let mut strangers = Vec::new();
        for _ in 0..5 {
            let (stream, head) = connect(*node, "cnt_nobody").await;
            assert!(head.starts_with("http/1.1 401") || head.starts_with("http/1.1 404"), "{head}");
            strangers.push(stream);
        }
        // What came before the node knew of the plan was not counted, and what has gone is for a moment.
        let (mut open, mut refused) = until("three connections, and no fourth", async || {
            let mut open = Vec::new();
            for _ in 0..3 {
                let (stream, head) = connect(*node, &token).await;
                if is_refused(&head) {
                    return None;
                }
                open.push(stream);
            }
            let (refused, head) = connect(*node, &token).await;
            is_refused(&head).then_some((open, refused))
        })
        .await;
        let mut rest = Vec::new();
        refused.read_to_end(&mut rest).await.expect("it is closed");
        let (_, again) = connect(*node, &token).await;
        assert!(is_refused(&again), "{again}");
        for stream in &mut open {
            let head = ask(stream, "/v1/tenants/acme/me?consistency=local", &token, "").await;
            assert!(head.starts_with("http/1.1 200"), "those that are open go on: {head}");
        }

        // A live connection goes on counting after it was turned over.
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let head = ask(&mut open[0], "/v1/tenants/acme/live", &token, upgrade).await;
        assert!(head.starts_with("http/1.1 101"), "{head}");
        let (_, head) = connect(*node, &token).await;
        assert!(is_refused(&head), "{head}");
        drop(open.remove(0));
        until("a place after one has gone", async || {
            let (_, head) = connect(*node, &token).await;
            (!is_refused(&head)).then_some(())
        })
        .await;
    }
    let operator = tenant::client_of(nodes[0], cluster.operator_token()).expect("a client");
    let metrics = operator.metrics().await.expect("metrics");
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("cloudnest_fair_connections_refused_total "));
    assert!(line.expect("the metric").parse::<f64>().expect("a number") >= 2.0);
    assert!(!metrics.contains("acme"), "no metric names a tenant");

    apply(&cluster, "connections = 50\n");
    let mut open = Vec::new();
    until("the larger plan", async || {
        let (stream, head) = connect(nodes[0], &token).await;
        if !is_refused(&head) {
            open.push(stream);
        }
        (open.len() > 10).then_some(())
    })
    .await;
    let one = tenant::client_of(nodes[0], &token).expect("a client");
    assert_eq!(usage(&one).await.limits.connections, 50);
}
