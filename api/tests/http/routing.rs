//! Where a request goes, and who may make it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use api::body::token::{NewToken, Role};
use api::client::Call;
use api::error::{Elsewhere, Outcome};
use api::ids::NodeNumber;
use api::service::Location;
use http::Method;

use crate::memory::{Peer, placement};
use crate::support::{JSON, Running, problem};

fn get(path: &str) -> Call {
    Call::new(Method::GET, path)
}

#[tokio::test]
async fn another_region_answers_421_before_the_body_is_read() {
    let node = Running::start().await;
    node.service.locate_by(|_| {
        Location::Region(Elsewhere {
            region: "eu-west-1".into(),
            endpoint: "http://eu".into(),
        })
    });
    // No token, and a body that never comes.
    let request = "POST /v1/tenants/acme/records/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n";
    let reply = node.raw(request.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 421 "), "{reply}");
    assert!(
        reply.contains("\"region\":\"eu-west-1\"") && reply.contains("\"endpoint\":\"http://eu\""),
        "{reply}"
    );
    assert!(
        reply.contains("cloudnest-region: eu-west-1") && reply.contains("cloudnest-endpoint: http://eu"),
        "{reply}"
    );
}

#[tokio::test]
async fn an_unknown_tenant_and_a_foreign_token_look_the_same() {
    let node = Running::start().await;
    let mut bodies = Vec::new();
    for (tenant, token) in [
        ("nobody", "cnt_member"),
        ("nobody", ""),
        ("acme", "cnt_foreign"),
        ("No!", "cnt_member"),
    ] {
        let answer = node
            .client(token)
            .call(get(&format!("/v1/tenants/{tenant}/me")))
            .await
            .expect("an answer");
        assert_eq!(problem(&answer).status, 404, "{tenant} {token}");
        bodies.push(String::from_utf8_lossy(&answer.body).replace(tenant, "T"));
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn a_tenant_that_another_node_created_is_looked_for_before_it_is_said_not_to_exist() {
    let node = Running::start().await;
    node.service.locate_by(|_| Location::Nowhere);
    node.service.locate_after_refresh_by(|slug| Location::Here(placement(slug)));
    let client = node.client("cnt_member");
    client.me("acme").await.expect("found after a refresh");
    client.me("acme").await.expect("found at once");
    assert_eq!(node.service.count("refresh"), 1);
    node.service.locate_by(|_| Location::Nowhere);
    assert_eq!(client.me("acme").await.expect_err("nowhere").status(), Some(404));
    assert_eq!(node.service.count("refresh"), 2);
}

#[tokio::test]
async fn a_node_that_cannot_ask_the_directory_does_not_say_that_a_tenant_is_not_there() {
    let node = Running::start().await;
    node.service.locate_by(|_| Location::Nowhere);
    node.service.leave_the_directory_unasked();
    let error = node.client("cnt_member").me("acme").await.expect_err("nobody knows");
    assert_eq!((error.status(), error.outcome()), (Some(503), Outcome::NotApplied));
}

#[tokio::test]
async fn tokens_and_roles_are_checked_inside_a_tenant() {
    let node = Running::start().await;
    let schema = "{\"fields\":{}}";
    let cases = [
        ("", Method::GET, "me", 401),
        ("cnt_unknown", Method::GET, "me", 401),
        ("cno_op", Method::GET, "me", 403),
        ("cno_unknown", Method::GET, "me", 401),
        ("cnt_guest", Method::GET, "records/tasks", 200),
        ("cnt_guest", Method::POST, "records/tasks", 403),
        ("cnt_member", Method::POST, "records/tasks", 201),
        ("cnt_member", Method::PUT, "collections/things", 403),
        ("cnt_admin", Method::PUT, "collections/things", 201),
        ("cnt_member", Method::GET, "tokens", 403),
        ("cnt_admin", Method::GET, "tokens", 200),
        ("cnt_member", Method::GET, "export", 403),
        ("cnt_tasks", Method::POST, "records/tasks", 201),
        ("cnt_tasks", Method::POST, "records/notes", 403),
        ("cnt_tasks", Method::GET, "export", 403),
        ("cnt_tasks", Method::GET, "tokens", 403),
        (
            "cnt_tasks",
            Method::DELETE,
            "tokens/0198c0de-0000-7000-8000-000000000001",
            403,
        ),
        (
            "cnt_admin",
            Method::DELETE,
            "tokens/0198c0de-0000-7000-8000-000000000001",
            204,
        ),
    ];
    for (token, method, path, status) in cases {
        let mut call = Call::new(method.clone(), format!("/v1/tenants/acme/{path}"));
        if method != Method::GET {
            call = call.body(JSON, schema);
        }
        let answer = node.client(token).call(call).await.expect("an answer");
        assert_eq!(answer.status.as_u16(), status, "{token} {method} {path}: {:?}", answer.body);
        if status == 401 {
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn nobody_makes_a_token_above_his_own() {
    let node = Running::start().await;
    let new = |role, scopes: Option<&[&str]>| NewToken {
        name: "n".into(),
        role,
        scopes: scopes.map(|scopes| scopes.iter().map(|scope| scope.to_string()).collect()),
        expires_at: None,
    };
    let cases = [
        ("cnt_admin", new(Role::Owner, None), Some(403)),
        ("cnt_owner", new(Role::Owner, None), None),
        ("cnt_tasks", new(Role::Guest, None), Some(403)),
        ("cnt_tasks", new(Role::Guest, Some(&["notes"])), Some(403)),
        ("cnt_tasks", new(Role::Guest, Some(&["tasks"])), None),
        ("cno_op", new(Role::Owner, None), None),
        ("cno_bad", new(Role::Owner, None), Some(401)),
    ];
    for (token, new, status) in cases {
        let made = node.client(token).token_create("acme", &new, None).await;
        assert_eq!(
            made.as_ref().err().and_then(|error| error.status()),
            status,
            "{token} {new:?}: {made:?}"
        );
    }
    assert_eq!(node.service.count("tenant_token"), 1);
}

#[tokio::test]
async fn a_token_that_an_operator_mints_honours_its_key() {
    let (ingress, leader) = (Running::start().await, Running::start().await);
    ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
    // The connection breaks after the request was sent: only the key makes it safe to send it again.
    let breaks = Arc::new(AtomicU64::new(1));
    ingress.service.peer(2, Peer::Breaks(breaks, leader.server.clone()));
    let new = |name: &str| NewToken {
        name: name.into(),
        role: Role::Member,
        scopes: None,
        expires_at: None,
    };
    let client = ingress.client("cno_op");
    let first = client.token_create("acme", &new("n"), Some("k")).await.expect("minted");
    let again = client
        .token_create("acme", &new("n"), Some("k"))
        .await
        .expect("the same again");
    assert_eq!(first.body, again.body);
    let other = client
        .token_create("acme", &new("o"), Some("k"))
        .await
        .expect_err("another body");
    assert_eq!(other.code(), Some("idempotency_mismatch"));
    assert_eq!(leader.service.count("tenant_token"), 3);
}

#[tokio::test]
async fn strong_reads_pass_the_barrier_before_the_token_is_read() {
    let node = Running::start().await;
    for (query, barrier) in [
        ("", "barrier Strong"),
        ("?consistency=local", "barrier Local"),
        ("?consistency=at-least:7", "barrier AtLeast(7)"),
    ] {
        let before = node.service.calls().len();
        assert_eq!(
            node.ask(Method::GET, &format!("records/tasks{query}"), None).await.status,
            200
        );
        assert_eq!(node.service.calls()[before..], [barrier, "authenticate", "records"]);
    }
    let before = node.service.calls().len();
    node.ask(Method::POST, "records/tasks", Some((JSON, "{\"fields\":{}}"))).await;
    assert_eq!(node.service.calls()[before..], ["authenticate", "record_create"]);
    let answer = node.ask(Method::GET, "records/tasks?consistency=weak", None).await;
    assert_eq!(problem(&answer).code, "invalid_parameter");
}

#[tokio::test]
async fn wrong_paths_methods_and_ids_are_told_apart() {
    let node = Running::start().await;
    let client = node.client("cnt_member");
    let cases = [
        (Method::GET, "/v2", 404),
        (Method::GET, "/v1/tenants/acme/nothing", 404),
        (Method::POST, "/v1/tenants/acme/me", 405),
        (Method::TRACE, "/livez", 405),
        (Method::GET, "/v1/tenants/acme/records/tasks/not-an-id", 400),
        (
            Method::GET,
            "/v1/tenants/acme/records/Tasks/0198c0de-0000-7000-8000-000000000001",
            400,
        ),
        (
            Method::GET,
            "/v1/tenants/acme/records/tasks/0198c0de-0000-7000-8000-000000000001",
            404,
        ),
        (Method::GET, "/v1/tenants/acme/records/tasks?expand=A", 400),
        (Method::GET, "/v1/tenants/acme/records/tasks?cursor=bad", 400),
        (Method::GET, "/v1/tenants/acme/records/tasks?limit=0", 400),
        (Method::GET, "/v1/tenants/acme/me?x=1", 400),
        (Method::GET, "/v1/operations/7", 403),
    ];
    for (method, path, status) in cases {
        let answer = client.call(Call::new(method.clone(), path)).await.expect("an answer");
        assert_eq!(problem(&answer).status, status, "{method} {path}");
        if status == 405 {
            assert!(
                answer.headers["allow"].to_str().expect("text").contains("GET"),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn control_takes_an_operators_token() {
    let node = Running::start().await;
    for (token, status) in [("", 401), ("cnt_owner", 403), ("cno_bad", 401), ("cno_op", 200)] {
        let answer = node.client(token).call(get("/v1/regions")).await.expect("an answer");
        assert_eq!(answer.status.as_u16(), status, "{token}");
    }
}

#[tokio::test]
async fn control_writes_wait_for_the_directorys_leader() {
    let node = Running::start().await;
    node.service.locate_by(|_| Location::NoLeader);
    let client = node.client("cno_op");
    let service = node.service.clone();
    let deleting = tokio::spawn(async move { client.tenant_delete("acme").await });
    // Reads of the directory's copy are served meanwhile.
    node.client("cno_op").tenants(10, None).await.expect("tenants");
    service.locate_by(|slug| Location::Here(placement(slug)));
    deleting.await.expect("a task").expect("an operation");
}
