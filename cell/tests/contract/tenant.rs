//! Who asks, what there is, and what every reply has.

use super::*;

/// `GET …/me`, `GET|POST …/tokens`, `DELETE …/tokens/{id}`: keys with role, scopes and expiry; secrets are shown once.
pub(super) async fn me_and_tokens(scene: &Scene) {
    let me = scene.get("me").await.is(200).json();
    assert_eq!(
        (me["tenant"].as_str(), me["role"].as_str()),
        (Some(scene.slug.as_str()), Some("owner"))
    );
    let new = json!({ "name": "reader", "role": "guest", "scopes": ["tasks"], "expires_at": "2999-01-01T00:00:00Z" });
    let made = scene.post("tokens", new).await.is(201).json();
    let secret = made["secret"].as_str().expect("its secret").to_owned();
    let listed = scene.get("tokens").await.is(200).json();
    let items = listed["items"].as_array().expect("items");
    assert_eq!(items.len(), 2, "{listed}");
    assert!(items.iter().all(|token| token["secret"].is_null()), "{listed}");
    for _ in 0..3 {
        let me = scene.ask("GET", "me").token(&secret).send().await.is(200).json();
        assert_eq!(
            (me["name"].as_str(), me["expires_at"].as_str()),
            (Some("reader"), made["expires_at"].as_str())
        );
        assert_eq!(me["scopes"], json!(["tasks"]));
        scene.ask("GET", "records/tasks").token(&secret).send().await.is(200);
        scene
            .ask("GET", "records/comments")
            .token(&secret)
            .send()
            .await
            .refused(403, "forbidden");
        let create = scene.ask("POST", "records/tasks").token(&secret);
        create
            .json(json!({ "fields": { "title": "t" } }))
            .send()
            .await
            .refused(403, "forbidden");
    }
    let gone = format!("tokens/{}", made["id"].as_str().expect("an id"));
    scene.ask("DELETE", &gone).send().await.is(204);
    for _ in 0..3 {
        scene.ask("GET", "me").token(&secret).send().await.is(401);
    }
    scene.ask("DELETE", &gone).send().await.refused(404, "not_found");
    scene.ask("GET", "me").token("").send().await.refused(401, "unauthenticated");
}

/// `GET …/collections`, `GET|PUT|DELETE …/collections/{c}`: every type of field, indexes, a workflow and rules.
pub(super) async fn collections(scene: &Scene) {
    let all = scene.get("collections").await.is(200).json();
    let names: Vec<_> = all["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["name"].clone())
        .collect();
    assert_eq!(names, ["comments", "projects", "tasks"]);
    let schema = json!({
        "fields": {
            "name": { "type": "text", "required": true, "max_length": 50 },
            "amount": { "type": "number", "min": 0.0 },
            "pieces": { "type": "integer", "default": 1 },
            "paid": { "type": "bool", "default": false },
            "due": { "type": "date" },
            "sent": { "type": "timestamp" },
            "state": { "type": "select", "options": ["open", "closed"], "default": "open" },
            "colours": { "type": "multi_select", "options": ["red", "blue"] },
            "labels": { "type": "tags" },
            "task": { "type": "reference", "collection": "tasks", "on_delete": "set_null" },
            "owner": { "type": "user" },
            "extra": { "type": "json" },
            "number": { "type": "sequence" },
        },
        "indexes": { "by_state": { "fields": ["state", "created_at"] }, "by_name": { "fields": ["name"], "unique": true } },
        "search": ["name"],
        "workflow": { "field": "state", "initial": ["open"], "transitions": [{ "from": ["open"], "to": "closed" }] },
        "rules": { "read": "record.paid || record.created_by == auth.id" },
    });
    let made = scene
        .ask("PUT", "collections/bills")
        .json(schema.clone())
        .send()
        .await
        .is(201);
    assert_eq!((made.json()["version"].as_u64(), made.header("etag")), (Some(1), "\"1\""));
    for _ in 0..3 {
        let read = scene.get("collections/bills").await.is(200);
        assert_eq!((read.header("etag"), keys(&read.json()["fields"]).len()), ("\"1\"", 13));
    }
    let fields = json!({
        "name": "a", "amount": 1.5, "due": "2026-11-22", "sent": 1_795_000_000, "colours": ["red"], "labels": ["x", "y"], "owner": "ada",
        "extra": { "deep": [1, null] }, "paid": true,
    });
    let bill = scene.post("records/bills", json!({ "fields": fields })).await.is(201).json();
    assert_eq!(
        (bill["fields"]["number"].as_u64(), bill["fields"]["pieces"].as_u64()),
        (Some(1), Some(1))
    );
    assert!(
        bill["fields"]["sent"].as_str().is_some_and(|time| time.ends_with('Z')),
        "{bill}"
    );
    let path = format!("records/bills/{}", bill["id"].as_str().expect("an id"));
    let patch = |state: &str| json!({ "fields": { "state": state } });
    scene.ask("PATCH", &path).json(patch("closed")).send().await.is(200);
    scene
        .ask("PATCH", &path)
        .json(patch("open"))
        .send()
        .await
        .refused(409, "transition_refused");
    let taken = scene.post("records/bills", json!({ "fields": { "name": "a" } })).await;
    taken.refused(409, "unique_violation");
    let mut larger = schema;
    larger["fields"]["note"] = json!({ "type": "text" });
    let stale = scene
        .ask("PUT", "collections/bills")
        .json(larger.clone())
        .header("if-match", "\"7\"");
    stale.send().await.refused(412, "version_mismatch");
    let replaced = scene
        .ask("PUT", "collections/bills")
        .json(larger)
        .header("if-match", "\"1\"")
        .send()
        .await
        .is(200);
    assert_eq!(replaced.json()["version"], 2);
    scene
        .ask("PUT", "collections/empty")
        .json(json!({ "fields": {} }))
        .send()
        .await
        .is(201);
    scene.ask("DELETE", "collections/empty").send().await.is(204);
    scene.get("collections/empty").await.refused(404, "not_found");
}

/// Errors are problems with a stable code and an outcome, and name the wrong places of a body.
pub(super) async fn errors_have_one_form(scene: &Scene) {
    let wrong = json!({ "fields": { "titel": "?", "points": "three", "status": "nowhere" } });
    let problem = scene.post("records/tasks", wrong).await.refused(422, "invalid_fields");
    let pointers: BTreeSet<_> = problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|one| one["pointer"].clone().to_string())
        .collect();
    for pointer in ["/fields/titel", "/fields/points", "/fields/status"] {
        assert!(
            pointers.contains(&format!("\"{pointer}\"")),
            "{pointer} is missing in {problem}"
        );
    }
    assert!(
        problem["errors"]
            .as_array()
            .expect("errors")
            .iter()
            .all(|one| one["message"].is_string())
    );
    assert_eq!(problem["outcome"], "not_applied");
    let unknown = scene.post("records/tasks", json!({ "felds": {} })).await;
    assert!(matches!(unknown.status, 400 | 422), "{}", unknown.text);
    let text = scene.ask("POST", "records/tasks").body("application/json", "{").send().await;
    text.refused(400, "malformed_body");
    let xml = scene
        .ask("POST", "records/tasks")
        .body("application/xml", "<a/>")
        .send()
        .await;
    xml.refused(415, "unsupported_media_type");
    scene.get("records/tasks?limit=501").await.refused(400, "invalid_parameter");
    scene.get("records/tasks/not-an-id").await.refused(400, "invalid_parameter");
    scene.get("records/nothing").await.refused(404, "not_found");
    scene
        .ask("DELETE", "records/tasks")
        .send()
        .await
        .refused(405, "method_not_allowed");
    let large = json!({ "fields": { "title": "x".repeat(1_100_000) } });
    scene.post("records/tasks", large).await.refused(413, "too_large");
}

/// In the region, an unknown slug and a foreign token get the same 404; without a token, a tenant that is there says 401.
pub(super) async fn an_unknown_tenant_looks_like_a_foreign_one(scene: &Scene) {
    let mut answers = BTreeSet::new();
    for (slug, token) in [
        ("nobody-here", scene.token.as_str()),
        ("nobody-here", ""),
        (&scene.slug, &scene.foreign),
    ] {
        for path in ["me", "records/tasks", "events?after=0"] {
            let mut ask = scene.ask("GET", path).token(token);
            ask.call.path = format!("/v1/tenants/{slug}/{path}");
            let said = ask.send().await;
            answers.insert(said.text.replace(slug, "SLUG"));
            said.refused(404, "not_found");
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    scene.ask("GET", "me").token("").send().await.refused(401, "unauthenticated");
}

/// `traceparent` is accepted and answered; every reply has `X-Request-Id` and says where the time went.
pub(super) async fn traces_and_request_ids(scene: &Scene) {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut ids = BTreeSet::new();
    for path in ["me", "records/tasks", "records/tasks/not-an-id", "nothing", "records/tasks"] {
        let said = scene.ask("GET", path).header("traceparent", parent).send().await;
        let answered = said.header("traceparent");
        assert!(answered.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{answered}");
        assert!(
            ids.insert(said.header("x-request-id").to_owned()),
            "a request's id is its own"
        );
        assert!(said.header("server-timing").contains("total;dur="));
    }
}

/// Every reply about a tenant carries the number of the last event that it reflects, and reads are as fresh as they are asked to be.
pub(super) async fn every_reply_has_a_position(scene: &Scene) {
    let made = scene
        .post("records/tasks", json!({ "fields": { "title": "one" } }))
        .await
        .is(201);
    let (position, id) = (made.position(), made.json()["id"].as_str().expect("an id").to_owned());
    for path in [
        "me",
        "tokens",
        "collections",
        "collections/tasks",
        "records/tasks",
        &format!("records/tasks/{id}"),
    ] {
        for _ in 0..3 {
            assert_eq!(scene.get(path).await.is(200).position(), position, "{path}");
        }
    }
    let patched = scene
        .ask("PATCH", &format!("records/tasks/{id}"))
        .json(json!({ "fields": { "title": "two" } }));
    let patched = patched.send().await.is(200).position();
    assert_eq!(patched, position + 1);
    for consistency in ["strong".to_owned(), format!("at-least:{patched}")] {
        for _ in 0..3 {
            let read = scene
                .get(&format!("records/tasks/{id}?consistency={consistency}"))
                .await
                .is(200);
            assert_eq!(
                (read.json()["fields"]["title"].as_str(), read.position()),
                (Some("two"), patched)
            );
        }
    }
    // A local read is what the replica has: something, and of a position that it names.
    let local = scene.get("records/tasks?consistency=local").await.is(200);
    assert!(local.position() <= patched);
    scene
        .get("records/tasks?consistency=eventual")
        .await
        .refused(400, "invalid_parameter");
}
