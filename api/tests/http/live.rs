//! Live connections.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::body::live::{LiveAsk, LiveSaid, Subscribe};
use api::body::record::{Fields, NewRecord};
use api::body::token::Role;
use api::client::{Balance, Call, Client, LiveConnection};
use api::ids::NodeNumber;
use api::server::{LiveTimes, ServerConfig};
use api::service::Location;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::memory::Peer;
use crate::support::{LONG, Running};

async fn said(live: &mut LiveConnection) -> LiveSaid {
    let said = tokio::time::timeout(LONG, live.next()).await.expect("in time");
    said.expect("a message").expect("not the end")
}

fn subscribe(id: &str, after: Option<u64>) -> LiveAsk {
    LiveAsk::Subscribe(Subscribe {
        id: id.into(),
        after,
        ..Subscribe::default()
    })
}

fn presence(topic: &str) -> LiveAsk {
    LiveAsk::Presence {
        topic: topic.into(),
        data: None,
    }
}

async fn make(client: &Client) -> u64 {
    let new = NewRecord {
        id: None,
        fields: Fields::new(),
    };
    let made = client.record_create("acme", "tasks", &new, None).await.expect("created");
    made.position().expect("a position")
}

/// The next event's subscription and position.
async fn event(live: &mut LiveConnection) -> (String, u64) {
    match said(live).await {
        LiveSaid::Event { id, position, event } => {
            assert_eq!(event.position, position);
            (id, position)
        }
        other => panic!("{other:?} is no event"),
    }
}

fn quick() -> ServerConfig {
    ServerConfig {
        live: LiveTimes {
            look: Duration::from_millis(20),
            silence: Duration::from_secs(2),
            slow: Duration::from_millis(200),
        },
        ..ServerConfig::default()
    }
}

#[tokio::test]
async fn events_come_with_the_name_of_their_subscription_and_what_was_before_comes_first() {
    let node = Running::start().await;
    let client = node.client("cnt_member");
    assert_eq!(make(&client).await, 1);
    let mut live = client.live("acme").await.expect("a connection");
    live.say(&subscribe("new", None)).await.expect("said");
    assert!(matches!(said(&mut live).await, LiveSaid::Subscribed { id, after: 1 } if id == "new"));
    live.say(&subscribe("all", Some(0))).await.expect("said");
    assert!(matches!(said(&mut live).await, LiveSaid::Subscribed { after: 0, .. }));
    assert_eq!(event(&mut live).await, ("all".into(), 1));
    assert_eq!(make(&client).await, 2);
    let mut both = vec![event(&mut live).await, event(&mut live).await];
    both.sort();
    assert_eq!(both, [("all".into(), 2), ("new".into(), 2)]);
    live.say(&LiveAsk::Unsubscribe { id: "all".into() }).await.expect("said");
    assert!(matches!(said(&mut live).await, LiveSaid::Unsubscribed { .. }));
    make(&client).await;
    assert_eq!(event(&mut live).await, ("new".into(), 3));
    live.say(&LiveAsk::Ping {}).await.expect("said");
    assert!(matches!(said(&mut live).await, LiveSaid::Pong {}));
    live.say(&LiveAsk::Leave {}).await.expect("said");
    match said(&mut live).await {
        LiveSaid::Resume { after, subscriptions } => {
            assert_eq!((after, subscriptions.get("new"), subscriptions.len()), (Some(3), Some(&3), 1));
        }
        other => panic!("{other:?}"),
    }
    assert!(live.next().await.expect("an end").is_none());
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_the_connection_goes_on() {
    let node = Running::start().await;
    let mut live = node.client("cnt_tasks").live("acme").await.expect("a connection");
    let unknown = Subscribe {
        id: "a".into(),
        collections: Some(vec!["unknown".into()]),
        ..Subscribe::default()
    };
    for (ask, code, about) in [
        (LiveAsk::Subscribe(unknown), "invalid_parameter", "a"),
        (subscribe("", None), "invalid_parameter", ""),
        (presence("notes"), "forbidden", "notes"),
        (
            presence("tasks/0198c5f0-0000-7000-8000-00000000000a"),
            "not_found",
            "tasks/0198c5f0-0000-7000-8000-00000000000a",
        ),
        (LiveAsk::Unsubscribe { id: "b".into() }, "not_found", "b"),
        (LiveAsk::Absence { topic: "tasks".into() }, "not_found", "tasks"),
    ] {
        live.say(&ask).await.expect("said");
        match said(&mut live).await {
            LiveSaid::Error { id, problem } => assert_eq!((problem.code.as_str(), id.as_deref()), (code, Some(about))),
            other => panic!("{other:?}"),
        }
    }
    live.say(&LiveAsk::Ping {}).await.expect("said");
    assert!(matches!(said(&mut live).await, LiveSaid::Pong {}));
    for path in ["live", "live?after=1"] {
        let call = Call::new(Method::GET, format!("/v1/tenants/acme/{path}"));
        let plain = node.client("cnt_guest").call(call).await.expect("an answer");
        assert_eq!(plain.status, 400, "{path}: no WebSocket");
    }
    let foreign = node.client("cnt_nobody").live("acme").await.err().expect("refused");
    assert!(matches!(foreign.status(), Some(401 | 404)), "{foreign}");
}

#[tokio::test]
async fn a_browser_names_its_token_among_the_subprotocols() {
    let node = Running::start().await;
    let mut stream = TcpStream::connect(node.address).await.expect("a connection");
    let head = "GET /v1/tenants/acme/live HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                sec-websocket-protocol: cloudnest.v1, bearer.cnt_guest\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut buffer = [0; 2_048];
    let count = stream.read(&mut buffer).await.expect("a reply");
    let reply = String::from_utf8_lossy(&buffer[..count]).to_lowercase();
    assert!(reply.starts_with("http/1.1 101"), "{reply}");
    assert!(
        reply.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=")
            && reply.contains("sec-websocket-protocol: cloudnest.v1\r\n")
    );
    assert!(!reply.contains("cnt_guest"), "{reply}");
}

#[tokio::test]
async fn a_token_that_is_revoked_ends_the_connection() {
    let node = Running::with(quick()).await;
    let mut live = node.client("cnt_guest").live("acme").await.expect("a connection");
    node.service.revoke("cnt_guest");
    match said(&mut live).await {
        LiveSaid::Error { id: None, problem } => assert_eq!(problem.code, "unauthenticated"),
        other => panic!("{other:?}"),
    }
    assert!(live.next().await.expect("an end").is_none());
}

#[tokio::test]
async fn presence_is_told_and_ends_with_the_connection() {
    let node = Running::with(quick()).await;
    let mut one = node.client("cnt_member").live("acme").await.expect("a connection");
    one.say(&presence("tasks")).await.expect("said");
    assert!(matches!(said(&mut one).await, LiveSaid::Presence { members: Some(members), .. } if members.len() == 1));
    let mut other = node.client("cnt_guest").live("acme").await.expect("a connection");
    let data = serde_json::Map::from_iter([("cursor".to_owned(), 3.into())]);
    let there = LiveAsk::Presence {
        topic: "tasks".into(),
        data: Some(data),
    };
    other.say(&there).await.expect("said");
    assert!(matches!(said(&mut other).await, LiveSaid::Presence { members: Some(members), .. } if members.len() == 2));
    let session = match said(&mut one).await {
        LiveSaid::Presence { joined, .. } => {
            assert_eq!(joined[0].data["cursor"], 3);
            joined[0].session.clone()
        }
        other => panic!("{other:?}"),
    };
    let asked = node.ask(Method::GET, "presence?topic=tasks", None).await;
    let there: api::body::live::Presence = serde_json::from_slice(&asked.body).expect("a list");
    assert_eq!((asked.status.as_u16(), there.members.len()), (200, 2));
    // It answers nothing any more, not even a ping: nobody reads it.
    let silent = other;
    let gone = async {
        loop {
            if let LiveSaid::Presence { left, .. } = said(&mut one).await
                && left == [session.clone()]
            {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, gone).await.expect("it expires");
    drop(silent);
    let asked = node.ask(Method::GET, "presence?topic=tasks", None).await;
    let there: api::body::live::Presence = serde_json::from_slice(&asked.body).expect("a list");
    assert_eq!(there.members.len(), 1);
    assert_eq!(node.ask(Method::GET, "presence", None).await.status, 400);
}

#[tokio::test]
async fn a_connection_goes_through_another_node_and_both_can_drain() {
    for drains_ingress in [true, false] {
        let (ingress, leader) = (Running::start().await, Running::start().await);
        ingress.service.locate_by(|_| Location::Node(NodeNumber(2)));
        ingress.service.peer(2, Peer::Serves(leader.server.clone()));
        let client = ingress.client("cnt_member");
        let mut live = client.live("acme").await.expect("a connection");
        live.say(&subscribe("a", Some(0))).await.expect("said");
        assert!(matches!(said(&mut live).await, LiveSaid::Subscribed { .. }));
        make(&client).await;
        assert_eq!(event(&mut live).await, ("a".into(), 1));
        let draining = if drains_ingress {
            ingress.server.clone()
        } else {
            leader.server.clone()
        };
        let draining = tokio::spawn(async move { draining.drain(LONG).await });
        assert!(matches!(said(&mut live).await, LiveSaid::Resume { after: Some(1), .. }));
        assert!(live.next().await.expect("an end").is_none());
        assert_eq!(draining.await.expect("a task"), 0, "nothing was cut");
    }
}

#[tokio::test]
async fn a_feed_goes_on_at_another_node_where_it_was() {
    let (one, other) = (Running::start().await, Running::start().await);
    make(&one.client("cnt_member")).await;
    for _ in 0..2 {
        make(&other.client("cnt_member")).await;
    }
    let urls = [one.url(), other.url()];
    let client = one
        .client("cnt_guest")
        .with_base_urls(&urls, Balance::Failover)
        .expect("a client");
    let wanted = Subscribe {
        id: "a".into(),
        after: Some(0),
        ..Subscribe::default()
    };
    let mut feed = client.follow_live("acme", wanted);
    assert_eq!(feed.next().await.expect("an event").position, 1);
    assert_eq!(one.server.drain(LONG).await, 0);
    assert_eq!(feed.next().await.expect("an event").position, 2);
    assert_eq!(feed.position(), Some(2));
}

#[tokio::test]
async fn a_feed_that_is_sent_on_before_its_subscription_stands_begins_where_it_wanted() {
    let (one, other) = (Running::start().await, Running::start().await);
    for node in [&one, &other] {
        make(&node.client("cnt_member")).await;
        make(&node.client("cnt_member")).await;
    }
    one.service.has_left.store(true, Ordering::SeqCst);
    let mut live = one.client("cnt_guest").live("acme").await.expect("a connection");
    live.say(&subscribe("a", Some(0))).await.expect("said");
    match said(&mut live).await {
        LiveSaid::Resume { after, subscriptions } => assert_eq!((after, subscriptions.len()), (None, 0)),
        other => panic!("{other:?}"),
    }
    let client = one
        .client("cnt_guest")
        .with_base_urls(&[one.url(), other.url()], Balance::Failover)
        .expect("a client");
    let wanted = Subscribe {
        id: "a".into(),
        after: Some(0),
        ..Subscribe::default()
    };
    let mut feed = client.follow_live("acme", wanted);
    for position in [1, 2] {
        let event = tokio::time::timeout(LONG, feed.next()).await.expect("in time");
        assert_eq!(event.expect("an event").position, position);
    }
}

#[tokio::test]
async fn whoever_is_not_told_of_an_update_has_to_synchronise_again() {
    let node = Running::with(quick()).await;
    let id = api::ids::Id(uuid::Uuid::now_v7());
    let mut connections = Vec::new();
    for _ in 0..2 {
        let opened = node.client("cnt_member").document("acme", "tasks", id, "text").await;
        connections.push(opened.expect("a connection"));
    }
    let heard = async |connection: &mut api::client::DocumentConnection| {
        let heard = tokio::time::timeout(LONG, connection.next()).await.expect("in time");
        heard.expect("a message").map(|message| message.to_vec())
    };
    for connection in &mut connections {
        assert_eq!(heard(connection).await, Some(vec![0, 0, 1, 0]));
    }
    for number in 0..40 {
        connections[0].send(vec![0, 2, 1, number]).await.expect("sent");
        assert_eq!(heard(&mut connections[1]).await, Some(vec![0, 2, 1, number]));
    }
    // The one who wrote it was answered that nobody knows, or it was written at another leader, and this node leads again.
    node.service.document.lock().expect("a lock").push(vec![5].into());
    for connection in &mut connections {
        assert_eq!(heard(connection).await, None, "it is to come back");
    }
}

#[tokio::test]
async fn whoever_was_refused_something_synchronises_once_it_may_write() {
    let node = Running::with(quick()).await;
    let id = api::ids::Id(uuid::Uuid::now_v7());
    let opened = node.client("cnt_guest").document("acme", "tasks", id, "text").await;
    let mut connection = opened.expect("a connection");
    let heard = async |connection: &mut api::client::DocumentConnection| {
        let heard = tokio::time::timeout(LONG, connection.next()).await.expect("in time");
        heard.expect("a message").map(|message| message.to_vec())
    };
    assert_eq!(heard(&mut connection).await, Some(vec![0, 0, 1, 0]));
    connection.send(vec![0, 2, 1, 7]).await.expect("sent");
    let refused = heard(&mut connection).await.expect("a refusal");
    assert_eq!(refused[..2], [2, 0]);
    node.service.has_role("cnt_guest", Role::Member);
    connection.send(vec![0, 2, 1, 8]).await.expect("sent");
    assert_eq!(
        heard(&mut connection).await,
        None,
        "what was refused comes with the next synchronisation alone"
    );
    assert_eq!(node.service.document.lock().expect("a lock").as_slice(), [vec![8_u8]]);
}

#[tokio::test]
async fn a_document_is_synchronised_told_to_others_and_kept_from_those_who_only_watch() {
    let node = Running::with(quick()).await;
    let id = api::ids::Id(uuid::Uuid::now_v7());
    let open = async |token: &str| {
        node.client(token)
            .document("acme", "tasks", id, "text")
            .await
            .expect("a connection")
    };
    let heard = async |connection: &mut api::client::DocumentConnection| {
        let heard = tokio::time::timeout(LONG, connection.next()).await.expect("in time");
        heard.expect("a message").expect("not the end").to_vec()
    };
    let (mut one, mut guest) = (open("cnt_member").await, open("cnt_guest").await);
    // Step 1: how much the document has.
    assert_eq!(
        (heard(&mut one).await, heard(&mut guest).await),
        (vec![0, 0, 1, 0], vec![0, 0, 1, 0])
    );
    one.send(vec![0, 2, 3, 7, 8, 9]).await.expect("sent");
    assert_eq!(heard(&mut guest).await, [0, 2, 3, 7, 8, 9]);
    guest.send(vec![0, 0, 1, 0]).await.expect("sent");
    assert_eq!(heard(&mut guest).await, [0, 1, 3, 7, 8, 9], "step 2: what it lacks");
    guest.send(vec![0, 2, 1, 5]).await.expect("sent");
    let refused = heard(&mut guest).await;
    assert_eq!(refused[..2], [2, 0], "{refused:?}");
    assert!(String::from_utf8_lossy(&refused).contains("only watches"));
    // One client of one, with the clock 4, says {}.
    let says = [1, 6, 1, 1, 4, 2, b'{', b'}'];
    guest.send(says.to_vec()).await.expect("sent");
    assert_eq!(heard(&mut one).await, says);
    drop(guest);
    assert_eq!(
        heard(&mut one).await,
        [1, 8, 1, 1, 5, 4, b'n', b'u', b'l', b'l'],
        "it has gone"
    );
    assert_eq!(node.service.document.lock().expect("a lock").len(), 1);
    one.send(vec![9]).await.expect("sent");
    assert!(one.next().await.expect("an end").is_none(), "no message of the protocol");
    let missing = node.client("cnt_member").document("acme", "tasks", id, "other").await;
    assert_eq!(missing.err().expect("refused").status(), Some(404));
}
