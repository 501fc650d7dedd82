//! Pages of other hosts: who may use the API from a browser.

use api::body::control::TenantPatch;
use api::client::{Answer, Call, Client};
use api::ids::NodeNumber;
use api::server::ServerConfig;
use api::service::Location;
use bytes::Bytes;
use http::Method;

use crate::memory::Peer;
use crate::support::{JSON, Running, problem};

const APP: &str = "https://app.example.com";
const TASKS: &str = "/v1/tenants/acme/records/tasks";

fn header<'a>(answer: &'a Answer<Bytes>, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().expect("text"))
}

async fn preflight(node: &Running, path: &str, origin: &str) -> Answer<Bytes> {
    let call = Call::new(Method::OPTIONS, path)
        .header("origin", origin)
        .header("access-control-request-method", "PATCH")
        .header("access-control-request-headers", "authorization,if-match");
    node.client("").call(call).await.expect("an answer")
}

async fn get(client: &Client, path: &str, origin: &str) -> Answer<Bytes> {
    let call = Call::new(Method::GET, path).header("origin", origin);
    client.call(call).await.expect("an answer")
}

async fn allow(node: &Running, origins: &[&str]) -> Vec<String> {
    let patch = TenantPatch {
        plan: None,
        cors_origins: Some(origins.iter().map(|&origin| origin.to_owned()).collect()),
    };
    let client = node.client("cno_op");
    client.tenant_patch("acme", &patch).await.expect("changed").body.cors_origins
}

#[tokio::test]
async fn in_dev_every_page_may_use_everything() {
    let node = Running::with(ServerConfig {
        open_cors: true,
        ..ServerConfig::default()
    })
    .await;
    for path in [TASKS, "/v1/tenants", "/nowhere"] {
        let answer = preflight(&node, path, "http://anywhere").await;
        assert_eq!(answer.status, 204);
        assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"));
    }
    let answer = get(&node.client("cnt_member"), TASKS, "http://anywhere").await;
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"));
    assert!(
        header(&answer, "access-control-expose-headers")
            .expect("headers")
            .contains("etag")
    );
}

#[tokio::test]
async fn a_tenants_list_says_whose_pages_may_use_its_paths() {
    let node = Running::start().await;
    let refused = preflight(&node, TASKS, APP).await;
    assert_eq!(header(&refused, "access-control-allow-origin"), None);
    let refused = problem(&refused);
    assert!(refused.code == "forbidden" && refused.detail.contains(APP) && refused.detail.contains("cors_origins"));

    assert_eq!(
        allow(&node, &[APP, "http://localhost:5173"]).await,
        [APP, "http://localhost:5173"]
    );
    let answer = preflight(&node, TASKS, APP).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(header(&answer, "access-control-allow-origin"), Some(APP));
    assert!(
        header(&answer, "access-control-allow-methods")
            .expect("methods")
            .contains("PATCH")
    );
    assert!(
        header(&answer, "access-control-allow-headers")
            .expect("headers")
            .contains("if-match")
    );
    assert!(answer.headers.contains_key("access-control-max-age"));
    assert_eq!(node.service.count("authenticate"), 0, "before anybody is asked who is asking");

    let member = node.client("cnt_member");
    // Errors too: a page that may not read them cannot say what is wrong.
    for (client, path, status) in [
        (&member, TASKS, 200),
        (&member, "/v1/tenants/acme/records/tasks/x", 400),
        (&node.client("cnt_nobody"), TASKS, 401),
    ] {
        let answer = get(client, path, APP).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(header(&answer, "access-control-allow-origin"), Some(APP));
        assert_eq!(header(&answer, "vary"), Some("origin"));
        let exposed = header(&answer, "access-control-expose-headers").expect("headers");
        assert!(exposed.contains("etag") && exposed.contains("cloudnest-position") && exposed.contains("location"));
    }
    // Others get their reply, which a browser keeps from the page; nobody is told whose list it is.
    for origin in [
        "https://evil.example.com",
        "https://app.example.com.evil.example",
        "null",
        "https://app.example.com/",
    ] {
        let answer = get(&member, TASKS, origin).await;
        assert_eq!(
            (answer.status.as_u16(), header(&answer, "access-control-allow-origin")),
            (200, None),
            "{origin}"
        );
        assert_eq!(preflight(&node, TASKS, origin).await.status, 403, "{origin}");
    }
    for path in [
        "/v1/tenants/other/records/tasks",
        "/v1/tenants/acme",
        "/v1/tenants",
        "/metrics",
        "/",
    ] {
        assert_eq!(preflight(&node, path, APP).await.status, 403, "{path}");
        let answer = get(&member, path, APP).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), None, "{path}");
    }
    // Without the page's headers it is no preflight.
    let plain = member.call(Call::new(Method::OPTIONS, TASKS)).await.expect("an answer");
    assert_eq!((plain.status.as_u16(), header(&plain, "allow").is_some()), (405, true));

    allow(&node, &["*"]).await;
    assert_eq!(preflight(&node, TASKS, "https://other.example.com").await.status, 204);
    assert_eq!(allow(&node, &[]).await, [""; 0]);
    assert_eq!(preflight(&node, TASKS, APP).await.status, 403);
}

#[tokio::test]
async fn what_is_no_origin_is_refused_with_its_place() {
    let node = Running::start().await;
    let call =
        Call::new(Method::PATCH, "/v1/tenants/acme").body(JSON, r#"{"cors_origins": ["https://a.example", "a.example/"]}"#);
    let answer = node.client("cno_op").call(call).await.expect("an answer");
    let refused = problem(&answer);
    assert_eq!((refused.status, refused.errors[0].pointer.as_str()), (422, "/cors_origins/1"));
}

#[tokio::test]
async fn the_node_that_the_page_speaks_to_decides_for_replies_of_others() {
    let (ingress, leader) = (Running::start().await, Running::start().await);
    ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
    ingress.service.peer(2, Peer::Serves(leader.server.clone()));
    let member = ingress.client("cnt_member");
    // The other node's copy of the directory is ahead, or behind.
    allow(&leader, &["*"]).await;
    let answer = get(&member, TASKS, APP).await;
    assert_eq!(
        (answer.status.as_u16(), header(&answer, "access-control-allow-origin")),
        (200, None)
    );
    leader
        .service
        .locate_by(|slug| Location::Here(crate::memory::placement(slug)));
    ingress
        .service
        .locate_by(|slug| Location::Here(crate::memory::placement(slug)));
    allow(&ingress, &[APP]).await;
    allow(&leader, &[]).await;
    ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
    let answer = get(&member, TASKS, APP).await;
    assert_eq!(header(&answer, "access-control-allow-origin"), Some(APP));
}
