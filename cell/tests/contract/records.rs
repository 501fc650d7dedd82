//! Records: one, many, together, and once.

use super::*;

/// `POST …/records/{c}` with an id of the client's own: 201, `Location`, the record.
pub(super) async fn create(scene: &Scene) {
    let id = Uuid::now_v7().to_string();
    let body = json!({ "id": id, "fields": { "title": "Order the cake", "labels": ["party"] } });
    let made = scene.post("records/tasks", body.clone()).await.is(201);
    assert_eq!(
        made.header("location"),
        format!("/v1/tenants/{}/records/tasks/{id}", scene.slug)
    );
    assert_eq!(made.header("etag"), "\"1\"");
    let record = made.json();
    let expected = [
        "collection",
        "created_at",
        "created_by",
        "fields",
        "id",
        "updated_at",
        "version",
    ];
    assert_eq!(keys(&record), BTreeSet::from(expected));
    assert_eq!(
        (record["id"].as_str(), record["collection"].as_str()),
        (Some(id.as_str()), Some("tasks"))
    );
    assert_eq!(
        (record["version"].as_u64(), record["fields"]["status"].as_str()),
        (Some(1), Some("backlog"))
    );
    assert_eq!(record["fields"]["priority"], "none");
    for _ in 0..3 {
        assert_eq!(scene.get(&format!("records/tasks/{id}")).await.is(200).json(), record);
    }
    scene.post("records/tasks", body).await.refused(409, "already_exists");
    let own = scene.task(json!({ "title": "without an id" })).await;
    let id: Uuid = own["id"].as_str().expect("an id").parse().expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
}

/// `GET`, `PUT` (creates or replaces), `PATCH` (RFC 7396), `DELETE …/records/{c}/{id}`, `?expand=` on reads.
pub(super) async fn read_replace_change_delete(scene: &Scene) {
    let project = scene
        .post("records/projects", json!({ "fields": { "name": "Party", "key": "PARTY" } }))
        .await
        .is(201)
        .json();
    let path = format!("records/tasks/{}", Uuid::now_v7());
    let put = |fields: Value| scene.ask("PUT", &path).json(json!({ "fields": fields })).send();
    let made = put(json!({ "title": "a", "points": 3, "project": project["id"] }))
        .await
        .is(201);
    assert!(made.header("location").ends_with(&path));
    let expanded = scene.get(&format!("{path}?expand=project")).await.is(200).json();
    assert_eq!(expanded["expand"]["project"]["fields"]["name"], "Party");
    let listed = scene.get("records/tasks?expand=project").await.is(200).json();
    assert_eq!(listed["items"][0]["expand"]["project"]["id"], project["id"]);
    let replaced = put(json!({ "title": "b" })).await.is(200).json();
    assert_eq!(
        (replaced["version"].as_u64(), &replaced["fields"]["points"]),
        (Some(2), &Value::Null)
    );
    let patch = json!({ "fields": { "points": 5, "description": "long" } });
    scene.ask("PATCH", &path).json(patch).send().await.is(200);
    let merge = json!({ "fields": { "description": null } });
    let patched = scene
        .ask("PATCH", &path)
        .body("application/merge-patch+json", &merge.to_string())
        .send()
        .await
        .is(200)
        .json();
    assert_eq!(
        (patched["version"].as_u64(), patched["fields"]["points"].as_u64()),
        (Some(4), Some(5))
    );
    assert!(
        patched["fields"]["description"].is_null() && patched["fields"]["title"] == "b",
        "{patched}"
    );
    scene.ask("DELETE", &path).send().await.is(204);
    for _ in 0..3 {
        scene.get(&path).await.refused(404, "not_found");
    }
    scene.ask("DELETE", &path).send().await.refused(404, "not_found");
    scene.ask("PATCH", &path).json(merge).send().await.refused(404, "not_found");
}

/// `ETag` is the record's version; `If-Match` on PUT, PATCH and DELETE gives 412 when it moved.
pub(super) async fn if_match(scene: &Scene) {
    let made = scene.task(json!({ "title": "one" })).await;
    let path = format!("records/tasks/{}", made["id"].as_str().expect("an id"));
    let body = json!({ "fields": { "title": "two" } });
    scene
        .ask("PATCH", &path)
        .json(body.clone())
        .header("if-match", "\"1\"")
        .send()
        .await
        .is(200);
    for method in ["PUT", "PATCH", "DELETE"] {
        let ask = scene.ask(method, &path).header("if-match", "\"1\"");
        let ask = if method == "DELETE" { ask } else { ask.json(body.clone()) };
        ask.send().await.refused(412, "version_mismatch");
    }
    let read = scene.get(&path).await.is(200);
    assert_eq!((read.header("etag"), read.json()["version"].as_u64()), ("\"2\"", Some(2)));
    scene.ask("DELETE", &path).header("if-match", "\"2\"").send().await.is(204);
}

/// `?limit=` (default 50, at most 500), `?cursor=`, `?fields=`, `?count=true`; cursors stay right while records change.
pub(super) async fn lists(scene: &Scene) {
    let operations: Vec<Value> = (0..60)
        .map(|n| json!({ "op": "create", "collection": "tasks", "fields": { "title": format!("{n:02}"), "points": n } }))
        .collect();
    scene.post("batch", json!({ "operations": operations })).await.is(200);
    let page = scene.get("records/tasks").await.is(200).json();
    assert_eq!(keys(&page), BTreeSet::from(["items", "next_cursor"]));
    assert_eq!(page["items"].as_array().map(Vec::len), Some(50));
    assert!(page["next_cursor"].is_string());
    let all = scene
        .get("records/tasks?limit=500&count=true&fields=title")
        .await
        .is(200)
        .json();
    assert_eq!((all["count"].as_u64(), &all["next_cursor"]), (Some(60), &Value::Null));
    assert!(
        all["items"]
            .as_array()
            .expect("items")
            .iter()
            .all(|item| keys(&item["fields"]) == BTreeSet::from(["title"]))
    );
    scene.get("records/tasks?limit=0").await.refused(400, "invalid_parameter");
    scene
        .get("records/tasks?cursor=nonsense")
        .await
        .refused(400, "invalid_cursor");
    // Between the pages one of the past is deleted, one of the future too, and one is added at the end.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for round in 0.. {
        let page = scene.get(&format!("records/tasks?limit=20{cursor}")).await.is(200).json();
        seen.extend(column(&page, "title"));
        if round == 0 {
            for gone in [&all["items"][3], &all["items"][45]] {
                let path = format!("records/tasks/{}", gone["id"].as_str().expect("an id"));
                scene.ask("DELETE", &path).send().await.is(204);
            }
            scene.task(json!({ "title": "late" })).await;
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let mut expected: Vec<String> = (0..60).filter(|n| *n != 45).map(|n| format!("{n:02}")).collect();
    expected.push("late".to_owned());
    assert_eq!(seen, expected, "each once, in order");
}

/// `GET …/records/{c}?filter=&order=`: CEL, an index where one fits, and the index that would help where a scan would be too much.
pub(super) async fn filters_and_orders(scene: &Scene) {
    for (title, points) in [("a", 1), ("b", 3), ("c", 5)] {
        let task = scene.task(json!({ "title": title, "points": points })).await;
        if title != "a" {
            let path = format!("records/tasks/{}", task["id"].as_str().expect("an id"));
            scene
                .ask("PATCH", &path)
                .json(json!({ "fields": { "status": "todo" } }))
                .send()
                .await
                .is(200);
        }
    }
    for (query, expected) in [
        (
            "filter=status%20%3D%3D%20%22todo%22%20%26%26%20points%20%3E%3D%204",
            vec!["c"],
        ),
        ("filter=status%20%3D%3D%20%22todo%22", vec!["b", "c"]),
        ("status=todo&points=3", vec!["b"]),
        ("order=-created_at", vec!["c", "b", "a"]),
        ("order=status,created_at", vec!["a", "b", "c"]),
        ("order=-points,title&limit=2", vec!["c", "b"]),
        ("filter=points%20%3E%20100", vec![]),
    ] {
        for _ in 0..3 {
            let page = scene.get(&format!("records/tasks?{query}")).await.is(200).json();
            assert_eq!(column(&page, "title"), expected, "{query}");
        }
    }
    let many: String = (0..20_001).map(|number| format!("{{\"title\":\"{number}\"}}\n")).collect();
    let said = scene
        .ask("POST", "records/tasks/import")
        .body("application/x-ndjson", &many)
        .send()
        .await
        .is(200);
    assert_eq!(
        said.lines().last().expect("a summary")["imported"],
        20_001,
        "{:?}",
        said.lines().last()
    );
    let problem = scene
        .get("records/tasks?order=title&points=100")
        .await
        .refused(400, "filter_too_broad");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("[points, title] would help")),
        "{problem}"
    );
    scene
        .get("records/tasks?filter=status%20%3D%3D")
        .await
        .refused(400, "invalid_parameter");
}

/// The same key and body answer the first reply again, with secrets as null; the same key with another body is 422.
pub(super) async fn idempotency_keys(scene: &Scene) {
    let create = |title: &str| {
        let ask = scene.ask("POST", "records/tasks").header("idempotency-key", "order-42");
        ask.json(json!({ "fields": { "title": title } })).send()
    };
    let first = create("one").await.is(201);
    for _ in 0..3 {
        let again = create("one").await.is(201);
        assert_eq!(
            (&again.text, again.header("location")),
            (&first.text, first.header("location"))
        );
    }
    create("two").await.refused(422, "idempotency_mismatch");
    let path = format!("records/tasks/{}", first.json()["id"].as_str().expect("an id"));
    let patch = |points: u64| {
        let ask = scene.ask("PATCH", &path).header("idempotency-key", "points");
        ask.json(json!({ "fields": { "points": points } })).send()
    };
    let patched = patch(3).await.is(200);
    assert_eq!(patch(3).await.is(200).text, patched.text);
    patch(4).await.refused(422, "idempotency_mismatch");
    let batch = || {
        let operations = json!([{ "op": "create", "collection": "tasks", "fields": { "title": "three" } }]);
        let ask = scene.ask("POST", "batch").header("idempotency-key", "order-42");
        ask.json(json!({ "operations": operations })).send()
    };
    assert_eq!(
        batch().await.is(200).text,
        batch().await.is(200).text,
        "a key belongs to its path"
    );
    let token = || {
        let ask = scene.ask("POST", "tokens").header("idempotency-key", "key");
        ask.json(json!({ "name": "once", "role": "guest" })).send()
    };
    let (made, again) = (token().await.is(201).json(), token().await.is(201).json());
    assert!(
        made["secret"].is_string() && again.get("secret") == Some(&Value::Null),
        "{again}"
    );
    assert_eq!(made["id"], again["id"]);
    let all = scene.get("records/tasks?count=true").await.is(200).json();
    assert_eq!(
        (all["count"].as_u64(), scene.get(&path).await.json()["version"].as_u64()),
        (Some(2), Some(2))
    );
}

/// `POST …/batch`: all or nothing over any collections, at most 1,000; an id that is given can be referred to.
pub(super) async fn batches(scene: &Scene) {
    let (project, task) = (Uuid::now_v7().to_string(), scene.task(json!({ "title": "old" })).await);
    let other = scene.task(json!({ "title": "to go" })).await;
    let operations = json!([
        { "op": "create", "collection": "projects", "id": project, "fields": { "name": "Party", "key": "P" } },
        { "op": "create", "collection": "tasks", "fields": { "title": "new", "project": project } },
        { "op": "patch", "collection": "tasks", "id": task["id"], "if_match": 1, "fields": { "project": project } },
        { "op": "put", "collection": "tasks", "id": Uuid::now_v7(), "fields": { "title": "put" } },
        { "op": "delete", "collection": "tasks", "id": other["id"] },
        { "op": "check", "collection": "projects", "id": project },
    ]);
    let reply = scene.post("batch", json!({ "operations": operations })).await.is(200).json();
    let results = reply["results"].as_array().expect("results");
    let ops: Vec<_> = results
        .iter()
        .map(|result| result["op"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(ops, ["create", "create", "patch", "put", "delete", "check"]);
    assert_eq!(results[1]["record"]["fields"]["project"], project.as_str());
    assert!(results[4]["record"].is_null() && results[5]["record"].is_null(), "{reply}");
    // One wrong operation, and nothing of the others has happened.
    let before = scene.get("records/tasks?count=true").await.is(200);
    let refuse = async |last: Value, status: u16, code: &str| {
        let create = json!({ "op": "create", "collection": "tasks", "fields": { "title": "never" } });
        let said = scene.post("batch", json!({ "operations": [create, last] })).await;
        said.refused(status, code)
    };
    refuse(
        json!({ "op": "check", "collection": "tasks", "id": Uuid::now_v7() }),
        404,
        "not_found",
    )
    .await;
    refuse(
        json!({ "op": "check", "collection": "tasks", "id": task["id"], "if_match": 1 }),
        412,
        "version_mismatch",
    )
    .await;
    let wrong = json!({ "op": "create", "collection": "tasks", "fields": { "points": "x" } });
    let problem = refuse(wrong, 422, "invalid_fields").await;
    assert!(problem.to_string().contains("/operations/1/fields/points"), "{problem}");
    let after = scene.get("records/tasks?count=true").await.is(200);
    assert_eq!(
        (after.json()["count"].as_u64(), after.position()),
        (before.json()["count"].as_u64(), before.position())
    );
    let check = json!({ "op": "check", "collection": "tasks", "id": task["id"] });
    let many = |count: usize| json!({ "operations": vec![check.clone(); count] });
    scene.post("batch", many(1_000)).await.is(200);
    let too_many = scene.post("batch", many(1_001)).await;
    assert!(matches!(too_many.status, 400 | 413 | 422), "{}", too_many.text);
}

/// Sequences are allotted in operation order and never reused; an imported number raises the counter.
pub(super) async fn sequences(scene: &Scene) {
    let project = scene
        .post("records/projects", json!({ "fields": { "name": "P", "key": "P" } }))
        .await
        .is(201)
        .json();
    let number = async |task: Value| task["fields"]["number"].as_u64().expect("a number");
    let first = scene.task(json!({ "title": "1", "project": project["id"] })).await;
    let path = format!("records/tasks/{}", first["id"].as_str().expect("an id"));
    assert_eq!(number(first).await, 1);
    scene.ask("DELETE", &path).send().await.is(204);
    let create =
        |title: &str| json!({ "op": "create", "collection": "tasks", "fields": { "title": title, "project": project["id"] } });
    let reply = scene
        .post("batch", json!({ "operations": [create("2"), create("3")] }))
        .await
        .is(200)
        .json();
    for (place, number) in [(0, 2), (1, 3)] {
        assert_eq!(reply["results"][place]["record"]["fields"]["number"], number, "{reply}");
    }
    let line = json!({ "title": "imported", "project": project["id"], "number": 41 }).to_string();
    let import = scene
        .ask("POST", "records/tasks/import")
        .body("application/x-ndjson", &line)
        .send()
        .await
        .is(200);
    assert_eq!(import.lines().last().expect("a summary")["imported"], 1);
    assert_eq!(
        number(scene.task(json!({ "title": "next", "project": project["id"] })).await).await,
        42
    );
}
