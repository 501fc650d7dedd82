//! The promises of the contract, tried against three real nodes.

use std::time::{Duration, Instant};

use api::body::control::{NewTenant, TenantStatus};
use api::body::record::{Fields, NewRecord};
use api::body::token::{NewToken, Role};
use api::client::{Answer, Balance, Client, ClientError};
use api::ids::Id;
use api::service::Consistency;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use serde_json::json;
use uuid::Uuid;

/// The longest that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn binary() -> std::path::PathBuf {
    env!("CARGO_BIN_EXE_cloudnest").into()
}

fn up(nodes: usize) -> Cluster {
    let layout = Layout::one_region(nodes).expect("a layout");
    Cluster::up(Options::new(layout, binary())).expect("a cluster")
}

fn clients(cluster: &Cluster, token: &str) -> Vec<Client> {
    let client = |address| {
        Client::new(&format!("http://{address}"), token)
            .expect("a client")
            .with_timeout(PATIENCE)
    };
    cluster.addresses().into_iter().map(client).collect()
}

fn everywhere(cluster: &Cluster, token: &str) -> Client {
    let urls: Vec<_> = cluster
        .addresses()
        .iter()
        .map(|address| format!("http://{address}"))
        .collect();
    let client = Client::new(&urls[0], token)
        .expect("a client")
        .with_retries(20)
        .with_timeout(Duration::from_secs(5));
    client.with_base_urls(&urls, Balance::Failover).expect("base URLs")
}

async fn tenant(cluster: &Cluster, slug: &str) -> String {
    let new = new_tenant(cluster, slug);
    let made = everywhere(cluster, cluster.operator_token())
        .tenant_create(&new, Some(slug))
        .await
        .expect("a tenant");
    made.body.admin_token.expect("its first token")
}

fn new_tenant(cluster: &Cluster, slug: &str) -> NewTenant {
    NewTenant {
        slug: slug.parse().expect("a slug"),
        name: None,
        region: cluster.layout().regions()[0].to_owned(),
        plan: None,
        dedicated: false,
        template: Some("workspace".to_owned()),
    }
}

fn fields(json: serde_json::Value) -> Fields {
    json.as_object().expect("an object").clone()
}

fn task(title: &str) -> NewRecord {
    NewRecord {
        id: None,
        fields: fields(json!({ "title": title })),
    }
}

fn code<T: std::fmt::Debug>(result: Result<Answer<T>, ClientError>) -> String {
    let error = result.expect_err("a refusal");
    error.code().map_or_else(|| format!("{error:?}"), str::to_owned)
}

/// Asks again until it holds.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come true within {PATIENCE:?}");
        tokio::task::yield_now().await;
    }
}

async fn leader(cluster: &Cluster, cell_kind: &str) -> String {
    let operators = clients(cluster, cluster.operator_token());
    until("a leader", async || {
        for operator in &operators {
            let Ok(cells) = operator.cells().await else { continue };
            if let Some(leader) = cells
                .iter()
                .find(|cell| cell.kind == cell_kind)
                .and_then(|cell| cell.leader.clone())
            {
                return Some(leader);
            }
        }
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_answered_every_node_reads() {
    let cluster = up(3);
    let token = tenant(&cluster, "acme").await;
    let nodes = clients(&cluster, &token);
    for round in 0..30usize {
        let (writer, reader) = (&nodes[round % 3], &nodes[(round + 1) % 3]);
        let written = writer
            .record_create("acme", "tasks", &task("t"), None)
            .await
            .expect("written")
            .body;
        let read = reader
            .record("acme", "tasks", written.id, Consistency::Strong)
            .await
            .expect("read");
        assert_eq!((read.body.version, read.version()), (1, Some(1)));
        let patch = fields(json!({ "points": round }));
        let patched = reader
            .record_patch("acme", "tasks", written.id, &patch, Some(1), None)
            .await
            .expect("patched");
        let position = patched.position().expect("a position");
        for node in &nodes {
            let read = node
                .record("acme", "tasks", written.id, Consistency::AtLeast(position))
                .await
                .expect("read");
            assert_eq!(read.body.version, 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_refused_by_every_node_at_once() {
    let cluster = up(3);
    let owner = tenant(&cluster, "acme").await;
    let owners = clients(&cluster, &owner);
    for round in 0..6usize {
        let new = NewToken {
            name: "temporary".into(),
            role: Role::Member,
            scopes: None,
            expires_at: None,
        };
        let made = owners[round % 3]
            .token_create("acme", &new, None)
            .await
            .expect("a token")
            .body;
        let secret = made.secret.expect("its secret");
        let holders = clients(&cluster, &secret);
        for holder in &holders {
            assert_eq!(
                holder.me("acme").await.expect("it is valid everywhere").body.name,
                "temporary"
            );
        }
        owners[(round + 1) % 3].token_delete("acme", made.id).await.expect("revoked");
        for holder in &holders {
            assert_eq!(code(holder.me("acme").await), "unauthenticated");
            assert_eq!(
                code(holder.record_create("acme", "tasks", &task("t"), None).await),
                "unauthenticated"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_is_answered_the_same_after_the_leader_died() {
    let cluster = up(3);
    let token = tenant(&cluster, "acme").await;
    let client = everywhere(&cluster, &token);
    let first = client
        .record_create("acme", "tasks", &task("once"), Some("k1"))
        .await
        .expect("written");
    let dead = leader(&cluster, "shared").await;
    cluster.kill(&dead).expect("killed");
    let second = client
        .record_create("acme", "tasks", &task("once"), Some("k1"))
        .await
        .expect("the stored reply");
    assert_eq!(
        serde_json::to_value(&second.body).expect("JSON"),
        serde_json::to_value(&first.body).expect("JSON")
    );
    assert_eq!(
        code(client.record_create("acme", "tasks", &task("other"), Some("k1")).await),
        "idempotency_mismatch"
    );
    let all = client
        .records("acme", "tasks", &api::body::record::ListQuery::default(), Consistency::Strong)
        .await;
    assert_eq!(all.expect("a list").body.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answered_write_is_lost_when_all_nodes_are_killed_at_once() {
    let cluster = up(3);
    let token = tenant(&cluster, "acme").await;
    let client = everywhere(&cluster, &token);
    let mut answered = Vec::new();
    for round in 0..3 {
        for number in 0..40 {
            answered.push(
                client
                    .record_create("acme", "tasks", &task(&format!("{round}.{number}")), None)
                    .await
                    .expect("written")
                    .body
                    .id,
            );
        }
        for node in cluster.nodes() {
            cluster.kill(&node.name).expect("killed");
        }
        for id in &answered {
            client
                .record("acme", "tasks", *id, Consistency::Strong)
                .await
                .expect("it is there");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_made_from_any_node_and_erased_as_an_operation() {
    let cluster = up(3);
    let operators = clients(&cluster, cluster.operator_token());
    for (number, operator) in operators.iter().enumerate() {
        let slug = format!("tenant-{number}");
        let made = operator
            .tenant_create(&new_tenant(&cluster, &slug), None)
            .await
            .expect("a tenant")
            .body;
        assert_eq!(made.status, TenantStatus::Active);
        let again = code(operator.tenant_create(&new_tenant(&cluster, &slug), None).await);
        assert_eq!(again, "already_exists");
        let token = made.admin_token.expect("its first token");
        for client in clients(&cluster, &token) {
            client.record_create(&slug, "tasks", &task("t"), None).await.expect("written");
            assert_eq!(
                code(client.me("tenant-9").await),
                "not_found",
                "nobody learns which tenants there are"
            );
        }
    }
    let minted = NewToken {
        name: "minted".into(),
        role: Role::Guest,
        scopes: None,
        expires_at: None,
    };
    let first = operators[0]
        .token_create("tenant-1", &minted, Some("mint"))
        .await
        .expect("a token")
        .body;
    let second = operators[1]
        .token_create("tenant-1", &minted, Some("mint"))
        .await
        .expect("the stored reply")
        .body;
    assert_eq!(
        (second.id, second.secret),
        (first.id, None),
        "it is minted once, and its secret is shown once"
    );

    let key = Some("made-once");
    let first = operators[0]
        .tenant_create(&new_tenant(&cluster, "keyed"), key)
        .await
        .expect("a tenant")
        .body;
    let second = operators[1]
        .tenant_create(&new_tenant(&cluster, "keyed"), key)
        .await
        .expect("the stored reply")
        .body;
    assert_eq!((second.id, second.admin_token), (first.id, None), "the secret is shown once");

    let operation = operators[2].tenant_delete("tenant-0").await.expect("an operation").body;
    until("the erasure", async || {
        let found = operators[0].operation(operation.id).await.ok()?.body;
        (found.status == "done").then_some(())
    })
    .await;
    assert_eq!(code(operators[1].tenant_show("tenant-0").await), "not_found");
    let reborn = operators[1]
        .tenant_create(&new_tenant(&cluster, "tenant-0"), None)
        .await
        .expect("the name is free")
        .body;
    let token = reborn.admin_token.expect("its first token");
    let list = everywhere(&cluster, &token)
        .records("tenant-0", "tasks", &Default::default(), Consistency::Strong)
        .await;
    assert!(
        list.expect("a list").body.items.is_empty(),
        "nothing of the one before is left"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_see_nothing_of_each_other() {
    let cluster = up(1);
    let (one, other) = (tenant(&cluster, "one").await, tenant(&cluster, "other").await);
    let (one, other) = (everywhere(&cluster, &one), everywhere(&cluster, &other));
    let secret = one
        .record_create("one", "tasks", &task("secret"), None)
        .await
        .expect("written")
        .body;
    assert_eq!(
        code(other.record("one", "tasks", secret.id, Consistency::Strong).await),
        "not_found"
    );
    assert_eq!(
        code(other.record("other", "tasks", secret.id, Consistency::Strong).await),
        "not_found"
    );
    assert_eq!(
        code(
            other
                .record_put("one", "tasks", secret.id, &fields(json!({"title": "x"})), None)
                .await
        ),
        "not_found"
    );
    for nobody in ["cnt_nonsense", "nonsense"] {
        assert_eq!(code(everywhere(&cluster, nobody).me("one").await), "unauthenticated");
    }
    let list = other
        .records("other", "tasks", &Default::default(), Consistency::Strong)
        .await
        .expect("a list");
    assert!(list.body.items.is_empty());
    let stolen = Id(Uuid::from_u128(5));
    one.record_put("one", "tasks", stolen, &fields(json!({"title": "mine"})), None)
        .await
        .expect("written");
    other
        .record_put("other", "tasks", stolen, &fields(json!({"title": "also mine"})), None)
        .await
        .expect("ids are a tenant's own");
}
