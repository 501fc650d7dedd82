//! The contract, line by line: what "HTTP, a tenant" and "HTTP, common" promise, asked of a cell of three nodes in turn.
//!
//! Each chapter is one line of the contract. It has a tenant of its own, made from the `workspace` template, and each of its requests
//! goes to the next node, so that a follower and the leader answer the same. Requests are plain HTTP: what is looked at is what an
//! application in any language sees.
//!
//! What is promised and not there yet is in `docs/plan.md`, not here: 421 for a tenant of another region (each region has a directory of
//! its own), `RateLimit` headers, trims of events.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use api::client::{Call, Client, HeaderMap, Method, StatusCode};
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::tenant;
use serde_json::{Value, json};
use uuid::Uuid;

#[path = "contract/records.rs"]
mod records;
#[path = "contract/streams.rs"]
mod streams;
#[path = "contract/tenant.rs"]
mod wholes;

/// The longest that one request may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A tenant on a cell of three.
struct Scene {
    slug: String,
    token: String,
    /// A token of another tenant.
    foreign: String,
    /// A client of each node, without a token.
    nodes: Vec<Client>,
    turn: AtomicUsize,
}

/// What was answered.
#[derive(Debug)]
struct Said {
    status: u16,
    headers: HeaderMap,
    text: String,
}

/// A request that is being put together.
struct Ask<'s> {
    scene: &'s Scene,
    call: Call,
    token: Option<String>,
}

impl Scene {
    async fn new(cluster: &Cluster, slug: &str, foreign: &str) -> Self {
        let tenant = tenant::create(cluster, slug, Some("workspace")).await.expect("a tenant");
        let client = |address| {
            let url = format!("http://{address}");
            Client::new(&url, "").expect("a client").with_timeout(PATIENCE)
        };
        Self {
            slug: slug.to_owned(),
            token: tenant.token,
            foreign: foreign.to_owned(),
            nodes: cluster.addresses().into_iter().map(client).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// A request with the owner's token; `path` is inside the tenant.
    fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        Ask {
            scene: self,
            call: Call::new(method, format!("/v1/tenants/{}/{path}", self.slug)),
            token: Some(self.token.clone()),
        }
    }

    async fn get(&self, path: &str) -> Said {
        self.ask("GET", path).send().await
    }

    async fn post(&self, path: &str, body: Value) -> Said {
        self.ask("POST", path).json(body).send().await
    }

    /// A task's answer, which must be 201.
    async fn task(&self, fields: Value) -> Value {
        self.post("records/tasks", json!({ "fields": fields })).await.is(201).json()
    }
}

impl Ask<'_> {
    fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned()).filter(|token| !token.is_empty());
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.call = self.call.header(name, value);
        self
    }

    fn json(self, body: Value) -> Self {
        self.body("application/json", &body.to_string())
    }

    fn body(mut self, media_type: &'static str, body: &str) -> Self {
        self.call = self.call.body(media_type, body.to_owned());
        self
    }

    /// The answer of the next node.
    async fn send(self) -> Said {
        let turn = self.scene.turn.fetch_add(1, Ordering::Relaxed);
        let node = &self.scene.nodes[turn % self.scene.nodes.len()];
        let client = node
            .clone()
            .with_token(self.token.as_deref().unwrap_or_default())
            .expect("a token");
        let answer = client.call(self.call).await.expect("an answer");
        Said {
            status: answer.status.as_u16(),
            headers: answer.headers,
            text: String::from_utf8(answer.body.to_vec()).expect("UTF-8"),
        }
    }
}

impl Said {
    #[track_caller]
    fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A refusal of a status and code, in the form that all have.
    #[track_caller]
    fn refused(self, status: u16, code: &str) -> Value {
        let said = self.is(status);
        assert_eq!(said.header("content-type"), "application/problem+json");
        let problem = said.json();
        assert_eq!(
            (problem["code"].as_str(), problem["status"].as_u64()),
            (Some(code), Some(status.into())),
            "{problem}"
        );
        assert_eq!(problem["type"], format!("urn:cloudnest:problem:{code}"));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        assert!(
            matches!(problem["outcome"].as_str(), Some("not_applied" | "unknown")),
            "{problem}"
        );
        problem
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    #[track_caller]
    fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.text.lines().filter(|line| !line.is_empty()).map(parse).collect()
    }

    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers));
        value.to_str().expect("text")
    }

    #[track_caller]
    fn position(&self) -> u64 {
        self.header("cloudnest-position").parse().expect("a number")
    }
}

/// The titles or other field of a list.
fn column(page: &Value, field: &str) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["fields"][field].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Runs chapters in turn, each on a tenant of its own, and names those that do not hold.
macro_rules! chapters {
    ($cluster:expr, $foreign:expr, $($module:ident::$chapter:ident),* $(,)?) => {{
        let mut broken = Vec::new();
        $({
            let name = stringify!($chapter).replace('_', "-");
            let scene = Scene::new(&$cluster, name[..name.len().min(40)].trim_end_matches('-'), &$foreign).await;
            let ran = tokio::spawn(async move { $module::$chapter(&scene).await });
            if ran.await.is_err() {
                broken.push(stringify!($chapter));
            }
        })*
        assert!(broken.is_empty(), "these chapters of the contract do not hold; each said why above: {broken:?}");
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_about_a_tenant_holds_on_every_node() {
    let layout = Layout::one_region(3).expect("a layout");
    let cluster = Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster");
    let foreign = tenant::create(&cluster, "another", None).await.expect("a tenant").token;
    chapters!(
        cluster,
        foreign,
        wholes::me_and_tokens,
        wholes::collections,
        wholes::errors_have_one_form,
        wholes::an_unknown_tenant_looks_like_a_foreign_one,
        wholes::traces_and_request_ids,
        wholes::every_reply_has_a_position,
        records::create,
        records::read_replace_change_delete,
        records::if_match,
        records::lists,
        records::filters_and_orders,
        records::idempotency_keys,
        records::batches,
        records::sequences,
        streams::import,
        streams::export,
        streams::events,
    );
}

#[tokio::test]
async fn what_needs_no_tenant_is_served_by_one_node_too() {
    let layout = Layout::one_region(1).expect("a layout");
    let cluster = Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster");
    let client = tenant::client_of(cluster.addresses()[0], "").expect("a client");
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = client.readyz().await {
        assert!(Instant::now() < deadline, "not ready within {PATIENCE:?}: {error}");
    }
    for path in ["/", "/livez", "/readyz", "/metrics", "/openapi.json"] {
        let answer = client.call(Call::new(Method::GET, path)).await.expect("an answer");
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    let document = client.openapi().await.expect("the document");
    assert_eq!(document["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    let unknown = Call::new(Method::GET, format!("/v1/tenants/{}/me", Uuid::now_v7()));
    assert_eq!(client.call(unknown).await.expect("an answer").status, StatusCode::NOT_FOUND);
}
