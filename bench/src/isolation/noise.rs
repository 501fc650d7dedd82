//! What the aggressor asks for besides records: it stores files, searches for words that all its records have, and follows its own events with
//! many streams while it writes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::body::collection::CollectionSchema;
use api::body::search::SearchQuery;
use api::service::Consistency;
use rig::http::Request;
use rig::load::Script;
use rig::random::Random;
use rig::tenant::Tenant;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::setup;
use crate::tasks::{COLLECTION, Place};

/// Bytes of a file: a quarter of a chunk.
const FILE_BYTES: usize = 256 * 1024;
/// Streams of events of its own that it has open.
const STREAMS: usize = 300;
/// Clients that write what they follow, each the next record once the last was answered.
const WRITERS: usize = 2;
/// Line breaks of a server-sent event of the platform.
const LINES_OF_AN_EVENT: u64 = 4;
/// Bytes that one read of a stream asks for.
const READ_BYTES: usize = 64 * 1024;
/// How long its index may take.
const INDEXED_WITHIN: Duration = Duration::from_secs(300);
/// How often it is looked whether it is over.
const LOOK: Duration = Duration::from_millis(10);

/// Files of content that nobody has stored yet, one after the other.
pub(super) struct Upload {
    place: Place,
    prefix: String,
    number: u64,
    content: Vec<u8>,
}

impl Upload {
    pub(super) fn new(place: Place, run: usize, connection: usize) -> Self {
        let mut random = Random::new((run * 1_000 + connection) as u64 ^ setup::moment());
        let content = std::iter::repeat_with(|| random.draw().to_le_bytes());
        Self {
            place,
            prefix: format!("noise-{run}-{connection}"),
            number: 0,
            content: content.flatten().take(FILE_BYTES).collect(),
        }
    }
}

impl Script for Upload {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        self.number += 1;
        self.content[..8].copy_from_slice(&self.number.to_le_bytes());
        Request {
            method: "POST",
            path: &format!("/v1/tenants/{}/files?name={}-{}", self.place.tenant, self.prefix, self.number),
            token: &self.place.token,
            headers: "",
            body: &self.content,
        }
        .write(out);
        0
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        crate::tasks::expect(status, 201, body)
    }
}

/// A search for words that every record has, with all its facets.
pub(super) struct Words(pub(super) Place);

impl Script for Words {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        Request {
            method: "GET",
            path: &format!(
                "/v1/tenants/{}/search?q=quick+seven+wizards+benchm&facets=collection&limit=50",
                self.0.tenant
            ),
            token: &self.0.token,
            headers: "",
            body: b"",
        }
        .write(out);
        0
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        crate::tasks::expect(status, 200, body)
    }
}

/// Has the texts of its records searched, and waits until they are.
pub(super) async fn search_texts(tenant: &Tenant) -> Result<()> {
    let (client, slug) = (&tenant.client, &tenant.slug);
    let mut schema: CollectionSchema = crate::schema::tasks(false)?;
    schema.search = vec!["title".parse()?, "description".parse()?];
    let put = client.collection_put(slug, COLLECTION, &schema, None).await;
    put.context("have the aggressor's records searched")?;
    let query = SearchQuery {
        q: "wizards".to_owned(),
        limit: 1,
        ..SearchQuery::default()
    };
    let until = tokio::time::Instant::now() + INDEXED_WITHIN;
    while client
        .search(slug, &query, Some(Consistency::Strong))
        .await
        .map_or(true, |reply| reply.body.building)
    {
        ensure!(
            tokio::time::Instant::now() < until,
            "the aggressor's records were not indexed within {INDEXED_WITHIN:?}"
        );
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Follows its own events from the first one on with many streams, and writes; counts events that came.
pub(super) async fn follow(tenant: &Tenant, targets: &[SocketAddr], stopped: &AtomicBool, done: &Arc<AtomicU64>) -> Result<()> {
    let mut tasks = JoinSet::new();
    for number in 0..STREAMS {
        let mut stream = TcpStream::connect(targets[number % targets.len()]).await.context("connect")?;
        let mut request = Vec::new();
        Request {
            method: "GET",
            path: &format!("/v1/tenants/{}/events", tenant.slug),
            token: &tenant.token,
            headers: "accept: text/event-stream\r\n",
            body: b"",
        }
        .write(&mut request);
        stream.write_all(&request).await.context("ask for events")?;
        let done = Arc::clone(done);
        tasks.spawn(async move {
            let (mut bytes, mut lines) = (vec![0; READ_BYTES], 0);
            while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                lines += bytes[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
                done.fetch_add(lines / LINES_OF_AN_EVENT, Ordering::Relaxed);
                lines %= LINES_OF_AN_EVENT;
            }
        });
    }
    for writer in 0..WRITERS {
        let tenant = tenant.clone();
        tasks.spawn(async move {
            for number in 0_u64.. {
                let fields = json!({ "key": format!("follow-{writer}-{number}"), "title": "what is followed" });
                let Ok(new) = serde_json::from_value(json!({ "fields": fields })) else {
                    return;
                };
                // One that is refused takes its turn as well.
                let _ = tenant.client.record_create(&tenant.slug, COLLECTION, &new, None).await;
            }
        });
    }
    while !stopped.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
