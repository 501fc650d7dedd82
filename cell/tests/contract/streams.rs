//! What is streamed: imports, exports, events.

use super::*;

/// `POST …/records/{c}/import`: NDJSON progress, bad lines by number, a summary; the same `Import-Id` goes on after the last stored line.
pub(super) async fn import(scene: &Scene) {
    let lines = |count: usize| -> String {
        (1..=count)
            .map(|n| format!("{{\"title\":\"{n}\",\"created_at\":{}}}\n", 1_700_000_000 + n))
            .collect()
    };
    let import = |body: String| {
        let ask = scene.ask("POST", "records/tasks/import").header("import-id", "tasks-2026");
        async move { ask.body("application/x-ndjson", &body).send().await.is(200) }
    };
    let said = import(lines(700) + "not json\n{\"points\":\"many\"}\n").await;
    let answers = said.lines();
    let summary = answers.last().expect("a summary");
    assert_eq!(keys(summary), BTreeSet::from(["failed", "imported", "position"]));
    assert_eq!(
        (summary["imported"].as_u64(), summary["failed"].as_u64()),
        (Some(700), Some(2))
    );
    let failed: Vec<_> = answers
        .iter()
        .filter_map(|line| Some((line["line"].as_u64()?, line["code"].as_str()?.to_owned())))
        .collect();
    assert_eq!(
        failed,
        [(701, "malformed_body".to_owned()), (702, "invalid_fields".to_owned())]
    );
    let stored: Vec<_> = answers.iter().filter_map(|line| line["stored"].as_u64()).collect();
    assert!(stored.is_sorted() && stored.last() == Some(&702), "{stored:?}");
    // The same again, with more behind it: only that is new.
    let said = import(lines(700) + "not json\n{\"points\":\"many\"}\n{\"title\":\"703\"}\n").await;
    let again = said.lines().pop().expect("a summary");
    assert_eq!((again["imported"].as_u64(), again["failed"].as_u64()), (Some(701), Some(2)));
    assert_eq!(
        again["position"].as_u64(),
        summary["position"].as_u64().map(|position| position + 1)
    );
    let page = scene
        .get("records/tasks?count=true&limit=1&order=created_at")
        .await
        .is(200)
        .json();
    assert_eq!(
        (page["count"].as_u64(), page["items"][0]["created_at"].as_str()),
        (Some(701), Some("2023-11-14T22:13:21Z"))
    );
    let csv = scene
        .ask("POST", "records/tasks/import")
        .body("text/csv", "title,points,labels\nc,3,\"a,b\"\nd,x,\n");
    let said = csv.send().await.is(200).lines();
    assert_eq!(
        said.last().map(|line| (line["imported"].as_u64(), line["failed"].as_u64())),
        Some((Some(1), Some(1)))
    );
}

/// `GET …/export`: NDJSON of everything that the tenant owns, at one position.
pub(super) async fn export(scene: &Scene) {
    let task = scene.task(json!({ "title": "one", "labels": ["ü"] })).await;
    for _ in 0..3 {
        let said = scene.get("export").await.is(200);
        let lines = said.lines();
        let (first, last) = (&lines[0], lines.last().expect("a trailer"));
        assert_eq!(
            (first["kind"].as_str(), first["tenant"].as_str()),
            (Some("header"), Some(scene.slug.as_str()))
        );
        assert_eq!(first["position"].as_u64(), Some(said.position()));
        assert_eq!((last["kind"].as_str(), last["records"].as_u64()), (Some("trailer"), Some(1)));
        let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
        assert_eq!((of("collection"), of("record"), of("token")), (3, 1, 1));
        let record = lines.iter().find(|line| line["kind"] == "record").expect("a record");
        assert_eq!((&record["id"], &record["fields"]), (&task["id"], &task["fields"]));
        assert!(!said.text.contains(&scene.token), "no secret leaves");
    }
}

/// `GET …/events?after=N`: server-sent events (`Last-Event-ID` resumes) or NDJSON; CloudEvents fields; positions without gaps.
pub(super) async fn events(scene: &Scene) {
    let task = scene.task(json!({ "title": "one" })).await;
    let path = format!("records/tasks/{}", task["id"].as_str().expect("an id"));
    scene
        .ask("PATCH", &path)
        .json(json!({ "fields": { "points": 1 } }))
        .send()
        .await
        .is(200);
    let last = scene.ask("DELETE", &path).send().await.is(204).position();
    let ndjson = |query: String| {
        scene
            .ask("GET", &format!("events?{query}"))
            .header("accept", "application/x-ndjson")
            .send()
    };
    for _ in 0..3 {
        let all = ndjson("after=0".into()).await.is(200);
        assert_eq!(all.header("content-type"), "application/x-ndjson");
        let positions: Vec<_> = all
            .lines()
            .iter()
            .map(|event| event["position"].as_u64().expect("a position"))
            .collect();
        assert_eq!(positions, (1..=last).collect::<Vec<_>>(), "no gap, from the first on");
    }
    let mine = ndjson(format!("after={}", last - 3)).await.is(200).lines();
    let kinds: Vec<_> = mine.iter().map(|event| event["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds, ["record.created", "record.updated", "record.deleted"]);
    let event = &mine[0];
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["id"], format!("{}/{}", scene.slug, last - 2));
    assert_eq!(event["source"], format!("/v1/tenants/{}", scene.slug));
    assert!(
        event["subject"].as_str().is_some_and(|subject| subject.starts_with("tasks/")),
        "{event}"
    );
    assert!(
        event["time"].as_str().is_some_and(|time| time.ends_with('Z')) && event["actor"].is_string(),
        "{event}"
    );
    assert_eq!(
        (&event["record"], event["collection"].as_str(), event["version"].as_u64()),
        (&task["id"], Some("tasks"), Some(1))
    );
    assert_eq!(ndjson(format!("after={}&limit=1", last - 3)).await.is(200).lines().len(), 1);
    let sse = || {
        scene
            .ask("GET", "events?after=0&follow=false")
            .header("accept", "text/event-stream")
    };
    let said = sse().header("last-event-id", &(last - 2).to_string()).send().await.is(200);
    assert_eq!(said.header("content-type"), "text/event-stream");
    let ids: Vec<_> = said.text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, [(last - 1).to_string(), last.to_string()]);
    assert_eq!(said.text.matches("event: record.").count(), 2);
    let data = said.text.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    assert_eq!(serde_json::from_str::<Value>(data).expect("an event"), mine[1]);
    sse()
        .header("last-event-id", "x")
        .send()
        .await
        .refused(400, "invalid_parameter");
    // Who waits hears of what happens meanwhile, from another node.
    let waiting = ndjson(format!("after={last}&wait=30"));
    let (heard, _) = tokio::join!(waiting, scene.task(json!({ "title": "meanwhile" })));
    assert_eq!(heard.is(200).lines()[0]["type"], "record.created");
}
