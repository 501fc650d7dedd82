//! What the routes answer when all is well.

use api::body::control::{NewTenant, TenantMove, TenantPatch};
use api::body::node::NodeChange;
use api::body::record::{Fields, ListQuery, NewRecord};
use api::body::topology::NewTopology;
use api::client::Call;
use api::service::Consistency;
use http::Method;
use serde_json::{Value, json};

use crate::support::{JSON, Running, problem};

fn fields(value: Value) -> Fields {
    value.as_object().expect("an object").clone()
}

#[tokio::test]
async fn a_record_lives_and_dies() {
    let node = Running::start().await;
    let client = node.client("cnt_member");
    let new = NewRecord {
        id: None,
        fields: fields(json!({ "title": "a" })),
    };
    let made = client.record_create("acme", "tasks", &new, None).await.expect("created");
    let id = made.body.id;
    assert_eq!(
        (made.status.as_u16(), made.version(), made.position()),
        (201, Some(1), Some(1))
    );
    assert_eq!(
        made.headers["location"],
        format!("/v1/tenants/acme/records/tasks/{id}").as_str()
    );

    let patched = client
        .record_patch("acme", "tasks", id, &fields(json!({ "b": 1 })), Some(1), None)
        .await
        .expect("patched");
    assert_eq!(
        (patched.version(), patched.body.fields.get()),
        (Some(2), r#"{"b":1,"title":"a"}"#)
    );
    let late = client
        .record_put("acme", "tasks", id, &Fields::new(), Some(1))
        .await
        .expect_err("a stale version");
    assert_eq!((late.status(), late.code()), (Some(412), Some("version_mismatch")));
    let replaced = client
        .record_put("acme", "tasks", id, &Fields::new(), Some(2))
        .await
        .expect("replaced");
    assert_eq!(
        (replaced.status.as_u16(), replaced.headers.contains_key("location")),
        (200, false)
    );

    let read = client
        .record("acme", "tasks", id, Consistency::AtLeast(3))
        .await
        .expect("read");
    assert_eq!((read.body.version, read.position()), (3, Some(3)));
    let known = Call::new(Method::GET, format!("/v1/tenants/acme/records/tasks/{id}")).header("if-none-match", "\"3\"");
    let unchanged = client.call(known).await.expect("an answer");
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    let head = client
        .call(Call::new(Method::HEAD, format!("/v1/tenants/acme/records/tasks/{id}")))
        .await
        .expect("a head");
    assert_eq!((head.status.as_u16(), head.body.len(), head.version()), (200, 0, Some(3)));

    let deleted = client.record_delete("acme", "tasks", id, None).await.expect("deleted");
    assert_eq!((deleted.status.as_u16(), deleted.position()), (204, Some(3)));
    let gone = client
        .record("acme", "tasks", id, Consistency::Local)
        .await
        .expect_err("gone");
    assert_eq!(gone.code(), Some("not_found"));
}

#[tokio::test]
async fn an_idempotency_key_stands_for_method_path_and_body() {
    let node = Running::start().await;
    let client = node.client("cnt_member");
    let new = NewRecord {
        id: None,
        fields: Fields::new(),
    };
    let first = client
        .record_create("acme", "tasks", &new, Some("k1"))
        .await
        .expect("created");
    let again = client
        .record_create("acme", "tasks", &new, Some("k1"))
        .await
        .expect("replayed");
    assert_eq!(first.body.id, again.body.id);
    let elsewhere = client
        .record_create("acme", "notes", &new, Some("k1"))
        .await
        .expect("another path");
    assert_ne!(first.body.id, elsewhere.body.id);
    let other = NewRecord {
        id: None,
        fields: fields(json!({ "a": 1 })),
    };
    let mismatch = client
        .record_create("acme", "tasks", &other, Some("k1"))
        .await
        .expect_err("another body");
    assert_eq!(
        (mismatch.status(), mismatch.code()),
        (Some(422), Some("idempotency_mismatch"))
    );
    let long = "k".repeat(256);
    let refused = client
        .record_create("acme", "tasks", &new, Some(&long))
        .await
        .expect_err("too long");
    assert_eq!(refused.code(), Some("invalid_parameter"));
}

#[tokio::test]
async fn a_lists_parameters_reach_the_service() {
    let node = Running::start().await;
    let query = ListQuery {
        filter: Some("points > 3".to_owned()),
        expand: vec!["project".to_owned()],
        limit: 7,
        cursor: Some("good".into()),
        order: Some("-created_at,title".into()),
        equals: vec![("status".into(), "in progress & more".into())],
        fields: Some(vec!["title".into()]),
        count: true,
    };
    node.client("cnt_guest")
        .records("acme", "tasks", &query, Consistency::Strong)
        .await
        .expect("a page");
    assert_eq!(node.service.last_query(), query);
    node.client("cnt_guest")
        .records("acme", "tasks", &ListQuery::default(), Consistency::Local)
        .await
        .expect("a page");
    assert_eq!(node.service.last_query().limit, api::limits::LIST_DEFAULT);
}

#[tokio::test]
async fn lists_have_items_and_a_cursor() {
    let node = Running::start().await;
    let answer = node.ask(Method::GET, "collections?limit=1", None).await;
    let page: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(
        (page["items"][0]["name"].as_str(), page["next_cursor"].as_str()),
        (Some("notes"), Some("notes"))
    );
    let scoped = node.client("cnt_tasks").collections("acme").await.expect("collections");
    assert_eq!(scoped.body.items.len(), 1);
    let regions = node.client("cno_op").regions().await.expect("regions");
    assert_eq!(
        regions.iter().map(|region| region.name.as_str()).collect::<Vec<_>>(),
        ["here", "there"]
    );
}

#[tokio::test]
async fn operators_make_change_and_erase_tenants() {
    let node = Running::start().await;
    let operator = node.client("cno_op");
    let new: NewTenant = serde_json::from_value(json!({ "slug": "acme", "region": "here" })).expect("a tenant");
    let made = operator.tenant_create(&new, Some("k")).await.expect("created");
    assert_eq!(
        (made.status.as_u16(), made.body.admin_token.as_deref()),
        (201, Some("cnt_first"))
    );
    let patch = TenantPatch {
        plan: Some("team".into()),
        cors_origins: None,
    };
    assert_eq!(
        operator.tenant_patch("acme", &patch).await.expect("changed").body.plan,
        "team"
    );
    let to = TenantMove {
        cell: Some("c2".into()),
        dedicated: false,
        ..TenantMove::default()
    };
    let moving = operator.tenant_move("acme", &to, Some("m")).await.expect("accepted");
    assert_eq!((moving.status.as_u16(), moving.body.tenant.as_str()), (202, "acme to c2"));
    let off = operator.operation_call_off(moving.body.id).await.expect("accepted");
    assert_eq!((off.status.as_u16(), off.body.id), (202, moving.body.id));
    let operation = operator.tenant_delete("acme").await.expect("accepted");
    assert_eq!(operation.status.as_u16(), 202);
    assert_eq!(
        operation.headers["location"],
        format!("/v1/operations/{}", operation.body.id).as_str()
    );
    assert_eq!(
        operator.operation(operation.body.id).await.expect("an operation").body.status,
        "running"
    );
    assert!(operator.initialize(false).await.expect("initialised"));
    assert!(!operator.initialize(true).await.expect("initialised already"));
    let array = Call::new(Method::PATCH, "/v1/tenants/acme").body("application/json", "[null, null]");
    assert_eq!(operator.call(array).await.expect("an answer").status.as_u16(), 422);
    operator.node_change("n1", NodeChange::Drain).await.expect("drains");
    operator.node_change("n1", NodeChange::Undrain).await.expect("serves again");
    let unknown = operator
        .node_change("n2", NodeChange::Restart)
        .await
        .expect_err("no such node");
    assert_eq!(unknown.problem().map(|problem| problem.status), Some(404));
    let cluster = operator.cluster().await.expect("a cluster");
    let mut wanted = NewTopology {
        after: cluster.version,
        topology: cluster.topology,
    };
    assert!(operator.cluster_apply(&wanted).await.expect("nothing to do").is_none());
    wanted.topology.regions.push("other".into());
    assert_eq!(
        operator
            .cluster_apply(&wanted)
            .await
            .expect("begun")
            .expect("an operation")
            .status,
        "running"
    );
    wanted.after = 7;
    let refused = operator.cluster_apply(&wanted).await.expect_err("another version");
    assert_eq!(refused.problem().map(|problem| problem.code.as_str()), Some("contention"));
    let none = operator.cluster_cancel().await.expect_err("nothing is under way");
    assert_eq!(none.problem().map(|problem| problem.status), Some(404));
    assert_eq!(operator.cell_hash("c1").await.expect("a hash").cell, "c1");
    assert_eq!(operator.scrub_begin("c1").await.expect("a scrub").status, "running");
    assert_eq!(operator.cell_scrub("c1").await.expect("a scrub").status, "equal");
}

#[tokio::test]
async fn every_reply_has_its_ids_and_times() {
    let node = Running::start().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let call = Call::new(Method::GET, "/v1/tenants/acme/me")
        .header("x-request-id", "mine-1")
        .header("traceparent", parent);
    let answer = node.client("cnt_guest").call(call).await.expect("an answer");
    assert_eq!(answer.request_id(), Some("mine-1"));
    assert!(
        answer.headers["traceparent"]
            .to_str()
            .expect("text")
            .starts_with(&parent[..36])
    );
    let timing = answer.server_timing().expect("times");
    assert!(
        timing.contains("barrier;dur=0.005") && timing.contains("total;dur="),
        "{timing}"
    );
    let missing = node
        .client("")
        .call(Call::new(Method::GET, "/nowhere"))
        .await
        .expect("an answer");
    assert_eq!(missing.request_id().map(str::len), Some(32));
}

#[tokio::test]
async fn a_defect_is_not_told() {
    let node = Running::start().await;
    node.service
        .fail_next(api::error::Error::new(api::error::Code::Internal, "secret place /var/x").unknown());
    let answer = node.ask(Method::POST, "records/tasks", Some((JSON, "{\"fields\":{}}"))).await;
    let problem = problem(&answer);
    assert_eq!((problem.status, problem.detail.contains("secret")), (500, false));
}

#[tokio::test]
async fn probes_need_no_token() {
    let node = Running::start().await;
    let client = node.client("");
    client.livez().await.expect("alive");
    client.readyz().await.expect("ready");
    node.service.unready.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(client.readyz().await.expect_err("not ready").status(), Some(503));
    let metrics = client.metrics().await.expect("metrics");
    assert!(
        metrics.contains("cloudnest_test 1") && metrics.contains("cloudnest_http_connections 1"),
        "{metrics}"
    );
    assert!(!metrics.contains("acme"), "{metrics}");
    assert_eq!(client.openapi().await.expect("a document")["openapi"], "3.1.0");
    let json = client.call(Call::new(Method::GET, "/")).await.expect("a page");
    assert_eq!(json.headers["content-type"], "application/json");
    let html = client
        .call(Call::new(Method::GET, "/").header("accept", "text/html,*/*"))
        .await
        .expect("a page");
    assert!(html.body.starts_with(b"<!doctype html>"));
    let page = String::from_utf8_lossy(&html.body);
    assert!(
        page.contains("/openapi.json") && !page.contains("{NODE}") && !page.contains("{VERSION}"),
        "{page}"
    );
    let policy = html.headers["content-security-policy"].to_str().expect("a text");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    for (header, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(html.headers[header], value);
    }
}

#[tokio::test]
async fn any_version_will_do_for_what_exists() {
    let node = Running::start().await;
    let put = async |path: &str, tag: &str, body: &'static str| {
        let call = Call::new(Method::PUT, format!("/v1/tenants/acme/{path}")).header("if-match", tag);
        let answer = node.client("cnt_admin").call(call.body(JSON, body)).await.expect("an answer");
        (answer.status.as_u16(), answer.version())
    };
    let record = "records/tasks/0198c0de-0000-7000-8000-000000000001";
    assert_eq!(put(record, "*", "{\"fields\":{}}").await, (412, None), "nothing new is made");
    let new = Call::new(Method::PUT, format!("/v1/tenants/acme/{record}")).body(JSON, "{\"fields\":{}}");
    assert_eq!(node.client("cnt_admin").call(new).await.expect("an answer").status, 201);
    assert_eq!(put(record, "*", "{\"fields\":{\"a\":1}}").await, (200, Some(2)));
    assert_eq!(put(record, " * ", "{\"fields\":{\"a\":2}}").await, (200, Some(3)));
    assert_eq!(put(record, "\"1\"", "{\"fields\":{}}").await, (412, None));
    assert_eq!(
        put("collections/fresh", "*", "{\"fields\":{}}").await,
        (412, None),
        "nothing new is made"
    );
    assert_eq!(put("collections/tasks", "*", "{\"fields\":{}}").await.0, 200);
    for (method, status) in [(Method::PATCH, 200), (Method::DELETE, 204), (Method::DELETE, 404)] {
        let call = Call::new(method, format!("/v1/tenants/acme/{record}")).header("if-match", "*");
        let answer = node
            .client("cnt_admin")
            .call(call.body(JSON, "{\"fields\":{}}"))
            .await
            .expect("an answer");
        assert_eq!(answer.status, status);
    }
}
