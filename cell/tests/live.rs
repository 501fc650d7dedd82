//! Followers over HTTP on real nodes: events without gap and repeat whatever happens to nodes, and nothing that a rule hides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::body::control::TenantMove;
use api::body::event::Event;
use api::body::live::{Include, LiveAsk, LiveSaid, Presence, Subscribe};
use api::body::node::NodeChange;
use api::body::token::{NewToken, Role};
use api::client::{Call, Client, EventsFrom, LiveConnection, Method};
use api::ids::Id;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::tenant::{self, Tenant};
use rig::wait::until;
use serde_json::json;

/// How long a node that was killed may take to be there again.
const RESTART: Duration = Duration::from_secs(60);
/// After this a test has failed.
const LONG: Duration = Duration::from_secs(60);

fn up() -> Cluster {
    let mut layout = Layout::one_region(3).expect("a layout");
    layout.dedicated = 1;
    Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster")
}

/// A client of each node.
fn clients(cluster: &Cluster, token: &str) -> Vec<Client> {
    let nodes = cluster.nodes().iter();
    let of = |address| tenant::client_of(address, token).expect("a client");
    nodes.map(|node| of(node.api)).collect()
}

async fn make(tenant: &Tenant, fields: serde_json::Value) -> (Id, u64) {
    let new = serde_json::from_value(json!({ "fields": fields })).expect("a record");
    let made = tenant
        .client
        .record_create(&tenant.slug, "tasks", &new, None)
        .await
        .expect("stored");
    (made.body.id, made.position().expect("a position"))
}

async fn said(live: &mut LiveConnection) -> LiveSaid {
    let said = tokio::time::timeout(LONG, live.next()).await.expect("in time");
    said.expect("a message").expect("not the end")
}

/// The next event that comes over a connection.
async fn heard(live: &mut LiveConnection) -> Event {
    loop {
        if let LiveSaid::Event { event, .. } = said(live).await {
            return *event;
        }
    }
}

async fn subscribe(live: &mut LiveConnection, wanted: Subscribe) {
    live.say(&LiveAsk::Subscribe(wanted)).await.expect("said");
    let answer = said(live).await;
    assert!(matches!(answer, LiveSaid::Subscribed { .. }), "{answer:?}");
}

fn all(after: u64) -> Subscribe {
    Subscribe {
        id: "all".into(),
        after: Some(after),
        ..Subscribe::default()
    }
}

/// How many are at a topic.
async fn members(client: &Client, topic: &str) -> usize {
    let call = Call::new(Method::GET, format!("/v1/tenants/acme/presence?topic={topic}"));
    let answer = client.call(call).await.expect("an answer");
    let there: Presence = serde_json::from_slice(&answer.body).expect("a list");
    there.members.len()
}

/// The node that leads the cells of a kind.
async fn leader(operator: &Client, kind: &str) -> String {
    until("a leader", async || {
        let cells = operator.cells().await.ok()?;
        cells.into_iter().find(|cell| cell.kind == kind)?.leader
    })
    .await
}

/// Reads positions until `last`, and wants each of them once and in order.
async fn read_to(what: &str, last: u64, mut next: impl AsyncFnMut() -> u64) {
    for wanted in 1..=last {
        let position = tokio::time::timeout(LONG, next())
            .await
            .unwrap_or_else(|_| panic!("{what}: position {wanted} of {last} does not come"));
        assert_eq!(position, wanted, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_miss_nothing_and_hear_nothing_twice() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let ends = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (acme, ends) = (acme.clone(), Arc::clone(&ends));
        async move {
            let (mut last, mut count) = (0, 0);
            while !ends.load(Ordering::Relaxed) {
                count += 1;
                last = make(&acme, json!({ "title": format!("{count}") })).await.1;
            }
            last
        }
    });
    let mut feed = acme.client.tenant("acme").events().after(0).follow();
    let mut live = acme.client.follow_live("acme", all(0));
    // Each comes in the middle of it.
    let (mut fed, mut told) = (Vec::new(), Vec::new());
    let mut read = async |count: usize| {
        for _ in 0..count {
            fed.push(
                tokio::time::timeout(LONG, feed.next())
                    .await
                    .expect("in time")
                    .expect("read")
                    .expect("no end")
                    .position,
            );
            told.push(
                tokio::time::timeout(LONG, live.next())
                    .await
                    .expect("in time")
                    .expect("read")
                    .position,
            );
        }
    };
    read(20).await;
    let victim = leader(&operator, "shared").await;
    let pid = cluster.kill(&victim).expect("killed");
    read(20).await;
    cluster.wait_restarted(&victim, pid, RESTART).expect("started again");
    cluster.wait_ready(&victim, RESTART).expect("ready");
    let victim = leader(&operator, "shared").await;
    operator.node_change(&victim, NodeChange::Restart).await.expect("asked");
    read(20).await;
    let to = TenantMove {
        dedicated: true,
        ..TenantMove::default()
    };
    let begun = operator.tenant_move("acme", &to, None).await.expect("a move").body;
    until("the end of the move", async || {
        let now = operator.operation(begun.id).await.ok()?.body;
        assert_ne!(now.status, "failed", "{now:?}");
        (now.status == "done").then_some(())
    })
    .await;
    read(20).await;
    ends.store(true, Ordering::Relaxed);
    let last = writing.await.expect("a task");
    let mut fed = fed.into_iter();
    read_to("the stream", last, async || match fed.next() {
        Some(position) => position,
        None => feed.next().await.expect("read").expect("no end").position,
    })
    .await;
    let mut told = told.into_iter();
    read_to("the live connection", last, async || match told.next() {
        Some(position) => position,
        None => live.next().await.expect("read").position,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_rules_hold_for_every_event_on_every_node() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", None).await.expect("a tenant");
    let schema = json!({
        "fields": { "title": { "type": "text" }, "open": { "type": "bool" }, "points": { "type": "integer" } },
        "rules": { "read": "record.open == true" },
    });
    let schema = serde_json::from_value(schema).expect("a schema");
    for collection in ["tasks", "notes"] {
        acme.client
            .collection_put("acme", collection, &schema, None)
            .await
            .expect("a collection");
    }
    let new = NewToken {
        name: "guest".into(),
        role: Role::Guest,
        scopes: None,
        expires_at: None,
    };
    let guest = acme.client.token_create("acme", &new, None).await.expect("a token").body;
    let guests = clients(&cluster, &guest.secret.expect("a secret"));
    let admins = clients(&cluster, &acme.token);
    let (shown, _) = make(&acme, json!({ "title": "shown", "open": true, "points": 1 })).await;
    let (hidden, _) = make(&acme, json!({ "title": "hidden", "open": false, "points": 9 })).await;
    let patch = serde_json::from_value(json!({ "points": 7 })).expect("fields");
    let changed = acme
        .client
        .record_patch("acme", "tasks", shown, &patch, None, None)
        .await
        .expect("changed");
    let last = changed.position().expect("a position");
    let of = |events: &[Event]| -> Vec<String> {
        let records = events.iter().filter(|event| event.kind.starts_with("record."));
        records
            .map(|event| {
                format!(
                    "{} {}",
                    event.record.clone().unwrap_or_default(),
                    event.version.unwrap_or_default()
                )
            })
            .collect()
    };
    for (admin, guest) in admins.iter().zip(&guests) {
        let read = async |client: &Client, query: &str| -> Vec<Event> {
            let path = format!("/v1/tenants/acme/events?after=0&consistency=at-least:{last}{query}");
            let call = Call::new(Method::GET, path).header("accept", "application/x-ndjson");
            let answer = client.call(call).await.expect("an answer");
            assert_eq!(answer.status.as_u16(), 200, "{query}: {:?}", answer.body);
            let lines = answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.map(|line| serde_json::from_slice(line).expect("an event")).collect()
        };
        let (first, second) = (format!("{shown} 1"), format!("{shown} 2"));
        let other = format!("{hidden} 1");
        assert_eq!(of(&read(admin, "").await), [first.clone(), other.clone(), second.clone()]);
        assert_eq!(of(&read(guest, "").await), [first.clone(), second.clone()]);
        assert_eq!(
            of(&read(admin, "&filter=points+%3E+5").await),
            [other.clone(), second.clone()]
        );
        assert_eq!(of(&read(guest, "&filter=points+%3E+5").await), std::slice::from_ref(&second));
        assert_eq!(
            of(&read(admin, &format!("&record=tasks/{hidden}")).await),
            std::slice::from_ref(&other)
        );
        assert!(of(&read(guest, &format!("&record=tasks/{hidden}")).await).is_empty());
        assert!(of(&read(admin, "&collections=notes").await).is_empty());
        let with = read(guest, "&include=fields&collections=tasks").await;
        let points = |event: &Event| event.fields.as_ref().and_then(|fields| fields["points"].as_i64());
        let points: Vec<_> = with
            .iter()
            .filter(|event| event.kind.starts_with("record."))
            .map(points)
            .collect();
        assert_eq!(points, [Some(1), Some(7)], "as each change left it");
        let mut live = guest.live("acme").await.expect("a connection");
        let filtered = Subscribe {
            filter: Some("points > 5".into()),
            ..all(0)
        };
        subscribe(&mut live, filtered).await;
        let event = heard(&mut live).await;
        assert_eq!((event.record, event.version), (Some(shown.to_string()), Some(2)));
        for (query, wrong) in [
            ("&collections=none", "none"),
            ("&filter=nothing+%3E+5", "nothing"),
            ("&record=tasks", "record"),
        ] {
            let path = format!("/v1/tenants/acme/events?follow=false{query}");
            let answer = guest.call(Call::new(Method::GET, path)).await.expect("an answer");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(answer.status.as_u16() == 400 && text.contains(wrong), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_the_same_from_every_node_and_a_drained_node_lets_go() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let (task, _) = make(&acme, json!({ "title": "looked at" })).await;
    let topic = format!("tasks/{task}");
    let nodes = clients(&cluster, &acme.token);
    let mut lives = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let mut live = node.live("acme").await.expect("a connection");
        let there = LiveAsk::Presence {
            topic: topic.clone(),
            data: None,
        };
        live.say(&there).await.expect("said");
        match said(&mut live).await {
            LiveSaid::Presence {
                members: Some(members), ..
            } => assert_eq!(members.len(), number + 1),
            other => panic!("{other:?}"),
        }
        lives.push(live);
    }
    for node in &nodes {
        assert_eq!(members(node, &topic).await, 3);
    }
    // All that go through a node that restarts are told to go on elsewhere; if it leads, all.
    let name = cluster.nodes()[1].name.clone();
    let mut events = nodes[1]
        .events(
            "acme",
            EventsFrom {
                follow: true,
                ..EventsFrom::default()
            },
        )
        .await
        .expect("events");
    operator.node_change(&name, NodeChange::Restart).await.expect("asked");
    let told = async { while !matches!(said(&mut lives[1]).await, LiveSaid::Resume { .. }) {} };
    tokio::time::timeout(LONG, told).await.expect("told to resume");
    let ended = async { while events.next().await.expect("an end, not a break").is_some() {} };
    tokio::time::timeout(LONG, ended).await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_is_told_to_resume_and_nobody_else_waits() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let name = leader(&operator, "shared").await;
    let node = cluster.nodes().iter().find(|node| node.name == name).expect("a node");
    let client = tenant::client_of(node.api, &acme.token).expect("a client");
    let everything = Subscribe {
        include: Some(Include::Fields),
        ..all(0)
    };
    let mut slow = client.live("acme").await.expect("a connection");
    subscribe(&mut slow, everything.clone()).await;
    let mut quick = client.live("acme").await.expect("a connection");
    subscribe(&mut quick, everything).await;
    let there = LiveAsk::Presence {
        topic: "tasks".into(),
        data: None,
    };
    slow.say(&there).await.expect("said");
    until("it is there", async || (members(&client, "tasks").await == 1).then_some(())).await;
    // One reads while it is written, the other does not.
    let (sender, last) = tokio::sync::oneshot::channel();
    let reading = tokio::spawn(async move {
        let mut last = std::pin::pin!(last);
        let (mut reached, mut wanted) = (0, None);
        while wanted.is_none_or(|wanted| reached < wanted) {
            tokio::select! {
                event = heard(&mut quick) => reached = event.position,
                told = &mut last, if wanted.is_none() => wanted = Some(told.expect("a position")),
            }
        }
    });
    // More than what the buffers between two processes hold.
    let description = "x".repeat(60_000);
    let mut last = 0;
    for number in 0..300 {
        last = make(&acme, json!({ "title": format!("{number}"), "description": description }))
            .await
            .1;
    }
    sender.send(last).expect("it reads");
    let keeping_up = tokio::time::timeout(LONG, reading).await;
    keeping_up.expect("nobody waits for the slow one").expect("a task");
    until("it was told, and is gone", async || {
        (members(&client, "tasks").await == 0).then_some(())
    })
    .await;
    let mut reached = 0;
    let resume = async {
        loop {
            match said(&mut slow).await {
                LiveSaid::Event { position, .. } => reached = position,
                LiveSaid::Resume { after, .. } => return after.expect("a subscription stood"),
                _ => {}
            }
        }
    };
    let after = tokio::time::timeout(LONG, resume).await.expect("told to resume");
    assert_eq!(after, reached, "it goes on behind what it got");
    assert!(after < last);
}
