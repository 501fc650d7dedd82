//! The builders of the client, against the front and against servers that break.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::body::record::{BatchVerb, Fields};
use api::body::search::SearchSettings;
use api::client::{Client, ClientError, TypedRecord};
use api::error::{Code, Elsewhere, Error, Outcome};
use api::ids::Id;
use api::service::{Consistency, Location};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{LONG, Running};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Task {
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    points: Option<u32>,
}

fn task(title: &str) -> Task {
    Task {
        title: title.to_owned(),
        points: None,
    }
}

fn record_json(n: usize) -> String {
    json!({
        "id": format!("0198c0de-0000-7000-8000-{n:012}"), "collection": "tasks", "version": 1, "created_at": "2026-11-22T10:00:00Z",
        "updated_at": "2026-11-22T10:00:00Z", "created_by": "token:t", "fields": { "title": format!("task {n}") },
    })
    .to_string()
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\ncloudnest-position: 7\r\n\r\n{body}"
    )
}

/// What a scripted server does with a request that it has read.
enum Step {
    /// Answers.
    Says(String),
    /// Answers so far, and breaks the connection.
    Breaks(String),
    /// Answers so far, and is silent from then on.
    Hangs(String),
}

/// A server that does one step a request, and keeps the requests' texts.
struct Scripted {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        tokio::spawn(async move {
            let (mut steps, mut silent) = (steps.into_iter(), Vec::new());
            while let Ok((mut stream, _)) = listener.accept().await {
                while let Some(request) = request(&mut stream).await {
                    seen.lock().expect("a list").push(request);
                    let Some(step) = steps.next() else { return };
                    let (Step::Says(text) | Step::Breaks(text) | Step::Hangs(text)) = &step;
                    stream.write_all(text.as_bytes()).await.expect("written");
                    match step {
                        Step::Says(_) => {}
                        Step::Breaks(_) => break,
                        Step::Hangs(_) => {
                            silent.push(stream);
                            break;
                        }
                    }
                }
            }
        });
        Self { url, requests }
    }

    fn client(&self) -> Client {
        Client::new(&self.url, "cnt_member").expect("a client").with_timeout(LONG)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("a list").clone()
    }

    /// A header of each request.
    fn headers(&self, name: &str) -> Vec<Option<String>> {
        let value = |request: &String| {
            let line = request.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
            Some(line[name.len() + 2..].to_owned())
        };
        self.requests().iter().map(value).collect()
    }
}

/// A request with its body, where that has a length; none at the end.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    loop {
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
            if text.len() >= end + 4 + length {
                return Some(text);
            }
        }
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[tokio::test]
async fn structs_go_in_and_come_out() {
    let node = Running::start().await;
    let acme = node.client("cnt_member").tenant("acme");
    let tasks = acme.records("tasks").of::<Task>();
    let made = tasks.create(&task("one")).send().await.expect("made");
    assert_eq!((made.fields.clone(), made.version), (task("one"), 1));
    let patched = tasks.patch(made.id, &json!({ "points": 3 })).if_version(1).send().await;
    assert_eq!(patched.expect("patched").fields.points, Some(3));
    let refused = tasks.patch(made.id, &json!({ "points": 4 })).if_version(1).send().await;
    assert_eq!(refused.expect_err("it moved").kind(), Some(Code::VersionMismatch));
    let id = Id(uuid::Uuid::now_v7());
    assert_eq!(tasks.put(id, &task("two")).send().await.expect("put").id, id);
    assert_eq!(tasks.get(id).send().await.expect("read").fields, task("two"));
    tasks.delete(id).send().await.expect("deleted");
    assert!(tasks.get(id).find().await.expect("asked").is_none());
    let page = tasks.list().count().send().await.expect("a page");
    assert_eq!((page.items.len(), page.position), (1, Some(acme.position())));
    assert_eq!(acme.me().await.expect("me").tenant, "acme");
}

#[tokio::test]
async fn what_does_not_fit_the_type_is_said_so() {
    #[derive(Debug, Deserialize)]
    struct Other {
        #[serde(rename = "amount")]
        _amount: u32,
    }
    let node = Running::start().await;
    let tasks = node.client("cnt_member").tenant("acme").records("tasks");
    let made = tasks.clone().of::<Task>().create(&task("one")).send().await.expect("made");
    let error = tasks.clone().of::<Other>().get(made.id).send().await.expect_err("no amount");
    assert!(
        matches!(&error, ClientError::Unfit { message } if message.contains("amount")),
        "{error}"
    );
    let error = tasks.of::<u32>().create(&7).send().await.expect_err("no struct");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(node.service.count("record_create"), 1);
}

#[tokio::test]
async fn a_search_is_sent_as_it_was_built() {
    let node = Running::start().await;
    let acme = node.client("cnt_member").tenant("acme");
    let tasks = acme.records("tasks").of::<Task>();
    for title in ["a cake", "another cake", "tea"] {
        tasks.create(&task(title)).send().await.expect("made");
    }
    let found = acme.search("cake").within("tasks").facet("collection").highlight().limit(1);
    let page = found.send::<Task>().await.expect("a page");
    assert_eq!(
        (page.items.len(), page.building),
        (1, true),
        "nothing was said of how fresh it is to be"
    );
    assert_eq!(
        (page.items[0].collection.as_str(), page.items[0].record.fields.title.as_str()),
        ("tasks", "a cake")
    );
    let page = acme.search("cake").own_writes().send::<Task>().await.expect("a page");
    assert_eq!((page.items.len(), page.building), (2, false));
    let error = acme
        .search("cake")
        .within("No name")
        .send::<Task>()
        .await
        .expect_err("no name");
    assert_eq!((error.outcome(), node.service.count("search")), (Outcome::NotApplied, 2));
    let client = node.client("cnt_admin");
    let settings = SearchSettings {
        language: Some("de".to_owned()),
    };
    assert_eq!(client.search_set("acme", &settings).await.expect("set").body, settings);
    assert_eq!(client.search_settings("acme").await.expect("shown").body.language, None);
}

#[tokio::test]
async fn a_list_is_sent_as_it_was_built() {
    let node = Running::start().await;
    let acme = node.client("cnt_member").tenant("acme");
    let tasks = acme.records("tasks");
    let list = tasks.list().filter("status == \"todo\"").order("-created_at").limit(50);
    list.fields(["title", "points"])
        .expand("project")
        .equals("points", 3)
        .count()
        .send()
        .await
        .expect("a page");
    let query = node.service.last_query();
    assert_eq!((query.limit, query.count), (50, true));
    assert_eq!(query.filter.as_deref(), Some("status == \"todo\""));
    assert_eq!(query.order.as_deref(), Some("-created_at"));
    assert_eq!(query.fields, Some(vec!["title".to_owned(), "points".to_owned()]));
    assert_eq!(
        (query.expand, query.equals),
        (vec!["project".to_owned()], vec![("points".to_owned(), "3".to_owned())])
    );
}

#[tokio::test]
async fn one_reads_ones_own_writes_from_any_replica() {
    let node = Running::start().await;
    let acme = node.client("cnt_member").tenant("acme");
    let tasks = acme.records("tasks").of::<Task>();
    let barriers = || -> Vec<String> {
        node.service
            .calls()
            .into_iter()
            .filter(|call| call.starts_with("barrier"))
            .collect()
    };
    tasks.list().own_writes().send().await.expect("a page");
    assert_eq!(
        barriers().last().expect("one"),
        "barrier Strong",
        "nothing was written: no position to ask for"
    );
    tasks.create(&task("one")).send().await.expect("made");
    let made = tasks.create(&task("two")).send().await.expect("made");
    assert_eq!(acme.position(), 2);
    acme.clone()
        .records("tasks")
        .get(made.id)
        .own_writes()
        .send()
        .await
        .expect("read");
    assert_eq!(barriers().last().expect("one"), "barrier AtLeast(2)");
    tasks.get(made.id).consistency(Consistency::Local).send().await.expect("read");
    assert_eq!(barriers().last().expect("one"), "barrier Local");
    tasks.list().at_least(1).send().await.expect("a page");
    assert_eq!(barriers().last().expect("one"), "barrier AtLeast(1)");
}

#[tokio::test]
async fn a_retry_after_a_broken_connection_has_the_same_key() {
    let made = answer("201 Created", &record_json(1));
    let steps = vec![
        Step::Breaks(String::new()),
        Step::Breaks("HTTP/1.1 201 Cr".into()),
        Step::Says(made.clone()),
        Step::Says(made),
    ];
    let server = Scripted::start(steps).await;
    let tasks = server.client().with_retries(3).tenant("acme").records("tasks").of::<Task>();
    tasks.create(&task("task 1")).send().await.expect("the third attempt");
    tasks.create(&task("task 1")).send().await.expect("another call");
    let keys = server.headers("idempotency-key");
    assert!(keys.len() == 4 && keys[0].is_some(), "{keys:?}");
    assert!(keys[0] == keys[1] && keys[1] == keys[2], "{keys:?}");
    assert_ne!(keys[2], keys[3], "another call is another effect");
}

#[tokio::test]
async fn what_has_no_key_is_not_made_again_in_doubt() {
    let server = Scripted::start(vec![
        Step::Breaks(String::new()),
        Step::Breaks(String::new()),
        Step::Breaks(String::new()),
    ])
    .await;
    let tasks = server.client().with_retries(3).tenant("acme").records("tasks").of::<Task>();
    let error = tasks
        .put(Id(uuid::Uuid::now_v7()), &task("one"))
        .send()
        .await
        .expect_err("broken");
    assert_eq!((error.outcome(), server.requests().len()), (Outcome::Unknown, 1));
    let error = tasks.delete(Id(uuid::Uuid::now_v7())).send().await.expect_err("broken");
    assert_eq!((error.outcome(), server.requests().len()), (Outcome::Unknown, 2));
    let patient = server.client().tenant("acme").records("tasks").of::<Task>();
    patient
        .create(&task("one"))
        .send()
        .await
        .expect_err("broken, and not to be made again");
    assert_eq!(server.headers("idempotency-key"), [None, None, None]);
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_a_silent_server_is_left() {
    let silent = Scripted::start(vec![Step::Hangs(String::new()), Step::Hangs(String::new())]).await;
    let node = Running::start().await;
    let client = silent
        .client()
        .with_timeout(Duration::from_millis(50))
        .with_retries(1_000_000);
    let error = client
        .clone()
        .with_deadline(Duration::from_millis(120))
        .me("acme")
        .await
        .expect_err("silence");
    assert!(error.to_string().contains("no reply within"), "{error}");
    let urls = [silent.url.clone(), node.url()];
    let both = client
        .with_timeout(LONG)
        .with_base_urls(&urls, api::client::Balance::Failover)
        .expect("a client");
    let both = both.with_timeout(Duration::from_millis(500));
    both.me("acme").await.expect("the next one answers");
    assert_eq!(node.service.count("me"), 1);
}

#[tokio::test]
async fn another_region_is_followed_and_remembered() {
    let (here, there) = (Running::start().await, Running::start().await);
    let (endpoint, asked) = (there.url(), Arc::new(AtomicUsize::new(0)));
    let counted = asked.clone();
    here.service.locate_by(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Location::Region(Elsewhere {
            region: "there".into(),
            endpoint: endpoint.clone(),
        })
    });
    let client = here.client("cnt_member").with_retries(1);
    let acme = client.tenant("acme");
    let tasks = acme.records("tasks").of::<Task>();
    tasks.create(&task("one")).send().await.expect("made there");
    tasks.create(&task("two")).send().await.expect("made there");
    tasks.import().rows([task("three")]).await.expect("imported there");
    assert_eq!((there.service.count("record_create"), there.service.count("import")), (2, 1));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "only the first call asks here");
    // An import is the first to ask: its source is read again, there.
    let fresh = here.client("cnt_member").tenant("acme").records("tasks").of::<Task>();
    assert_eq!(fresh.import().rows([task("four")]).await.expect("imported there").imported, 1);
    // The tenant moves back, and the place that is remembered is gone.
    here.service.locate_by(|slug| Location::Here(crate::memory::placement(slug)));
    there.server.drain(Duration::ZERO).await;
    drop(there);
    tasks.create(&task("five")).send().await.expect("made here");
    assert_eq!(here.service.count("record_create"), 1);
    // Whoever asks for the answer itself gets it.
    let nowhere = Scripted::start(Vec::new()).await.url;
    here.service.locate_by(move |_| {
        Location::Region(Elsewhere {
            region: "there".into(),
            endpoint: nowhere.clone(),
        })
    });
    let call = api::client::Call::new(http::Method::GET, "/v1/tenants/acme/me");
    assert_eq!(client.call(call).await.expect("an answer").status, 421);
}

#[tokio::test]
async fn a_feed_goes_on_behind_the_last_event_that_it_gave_out() {
    let event = |position: u64| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"acme/{position}\",\"source\":\"/v1/tenants/acme\",\"type\":\"record.created\",\
             \"time\":\"2026-11-22T10:00:00Z\",\"position\":{position},\"actor\":\"token:t\"}}\n"
        )
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let third = event(6);
    let steps = vec![
        // Two events, and a third that is cut in the middle.
        Step::Breaks(format!(
            "{head}{}{}",
            chunk(&(event(4) + &event(5))),
            chunk(&third[..third.len() / 2])
        )),
        Step::Breaks(answer("503 Service Unavailable", "{}")),
        // One that was seen already, and a sign of life.
        Step::Hangs(format!("{head}{}{}", chunk(&(event(5) + &event(6))), chunk("\n"))),
        // A node that drains.
        Step::Breaks(format!("{head}{}0\r\n\r\n", chunk(&event(9)))),
        Step::Breaks(answer(
            "410 Gone",
            r#"{"type":"urn:cloudnest:problem:position_trimmed","title":"t","status":410,"detail":"d","code":"position_trimmed","outcome":"not_applied"}"#,
        )),
    ];
    let server = Scripted::start(steps).await;
    let acme = server.client().tenant("acme");
    let mut feed = acme.events().after(3).silence(Duration::from_millis(100)).follow();
    for position in [4, 5, 6, 9] {
        assert_eq!(feed.next().await.expect("an event").expect("no end").position, position);
    }
    assert_eq!(feed.next().await.expect_err("trimmed").kind(), Some(Code::PositionTrimmed));
    assert_eq!(feed.position(), 9);
    let asked: Vec<String> = server
        .requests()
        .iter()
        .map(|request| {
            request
                .split("after=")
                .nth(1)
                .expect("a position")
                .chars()
                .take_while(char::is_ascii_digit)
                .collect()
        })
        .collect();
    assert_eq!(asked, ["3", "5", "5", "6", "9"]);
}

#[tokio::test]
async fn events_end_where_nobody_follows_and_a_revoked_follower_is_told() {
    let node = Running::start().await;
    let acme = node.client("cnt_member").tenant("acme");
    for _ in 0..3 {
        node.service.happen("tasks");
    }
    let mut some = acme.events().after(1).limit(1).send();
    assert_eq!(some.next().await.expect("events").map(|event| event.position), Some(2));
    assert!(some.next().await.expect("the end").is_none());
    let mut all = acme.events().send();
    let mut count = 0;
    while all.next().await.expect("events").is_some() {
        count += 1;
    }
    assert_eq!(count, 3);
    let mut follower = acme.events().after(2).follow();
    assert_eq!(follower.next().await.expect("events").map(|event| event.position), Some(3));
    node.service.revoke("cnt_member");
    node.service.happen("tasks");
    let error = loop {
        match follower.next().await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Some(Code::Unauthenticated));
}

#[tokio::test]
async fn a_list_goes_from_page_to_page_and_a_page_that_fails_is_asked_again() {
    let page = |range: std::ops::Range<usize>, cursor: &str| {
        let items: Vec<String> = range.map(record_json).collect();
        answer(
            "200 OK",
            &format!("{{\"items\":[{}],\"next_cursor\":{cursor}}}", items.join(",")),
        )
    };
    let steps = vec![
        Step::Says(page(0..2, "\"a b&c\"")),
        Step::Breaks("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{".into()),
        // A page of which rules hid everything, and that is not the last.
        Step::Says(page(0..0, "\"d\"")),
        Step::Says(page(2..3, "null")),
    ];
    let server = Scripted::start(steps).await;
    let tasks = server.client().tenant("acme").records("tasks").of::<Task>();
    let mut list = tasks.list().filter("points > 1").limit(2).stream();
    for _ in 0..2 {
        list.next().await.expect("a record").expect("one");
    }
    list.next().await.expect_err("the page breaks");
    let rest: Vec<TypedRecord<Task>> = list.all().await.expect("the rest");
    assert_eq!(
        rest.iter().map(|record| record.fields.title.as_str()).collect::<Vec<_>>(),
        ["task 2"]
    );
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    assert!(
        requests[1].contains("cursor=a%20b%26c") && requests[2].contains("cursor=a%20b%26c"),
        "{requests:?}"
    );
    assert!(
        requests[3].contains("cursor=d") && requests[3].contains("filter=points%20%3E%201"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_batch_names_what_it_makes() {
    let node = Running::start().await;
    let acme = node.client("cnt_member").tenant("acme");
    let mut batch = acme.batch();
    let first = batch.create("tasks", &task("one"));
    batch.patch("tasks", first, &json!({ "points": 1 })).if_version(1);
    batch.check("tasks", first);
    batch.delete("tasks", first);
    assert_eq!(batch.len(), 4);
    let results = batch.send().await.expect("a reply").results;
    let seen: Vec<_> = results.iter().map(|result| (result.op, result.id == first)).collect();
    let expected = [BatchVerb::Create, BatchVerb::Patch, BatchVerb::Check, BatchVerb::Delete];
    assert_eq!(seen, expected.map(|op| (op, true)));
    let mut bad = acme.batch();
    bad.create("No such name", &task("one"));
    assert_eq!(bad.send().await.expect_err("a bad name").outcome(), Outcome::NotApplied);
}

#[tokio::test]
async fn an_import_goes_on_over_another_connection() {
    let node = Running::start().await;
    let tasks = node.client("cnt_member").tenant("acme").records("tasks").of::<Task>();
    let rows: Vec<Fields> = (0..3)
        .map(|n| json!({ "title": format!("{n}") }).as_object().expect("an object").clone())
        .collect();
    node.service.fail_next(Error::new(Code::Unavailable, "later"));
    let mut progress = Vec::new();
    let import = tasks.import().on_progress(|line| progress.push(line));
    let summary = import.rows(&rows).await.expect("imported");
    assert_eq!((summary.imported, node.service.count("import")), (3, 2));
    assert_eq!(progress, [1, 2, 3]);
    let mut failures = Vec::new();
    let lines = || futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"{}\nnonsense\n"))]);
    let summary = tasks
        .import()
        .on_failure(|failure| failures.push(failure.line))
        .send(lines)
        .await;
    assert_eq!((summary.expect("imported").failed, failures), (1, vec![2]));
    let broken = || futures_util::stream::iter([Err(std::io::Error::other("the file is gone"))]);
    let error = tasks.import().send(broken).await.expect_err("nothing to read");
    assert!(error.to_string().contains("the file is gone"), "{error}");
    let refused = tasks.import().id("refused").rows(&rows).await.expect_err("refused");
    assert_eq!(refused.kind(), Some(Code::InvalidParameter));
}

#[test]
fn texts_of_users_are_quoted() {
    type List = api::client::ListBuilder<Fields>;
    assert_eq!(List::quoted("a \"b\" \\ c\n\u{1}ü"), r#""a \"b\" \\ c\n\u0001ü""#);
}
