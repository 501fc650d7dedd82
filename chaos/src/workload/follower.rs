//! A consumer of a tenant's events, from the first one on, which goes on at another node where it was cut off.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rig::http::{Connection, Request};
use tokio::time::{Instant, timeout};

use super::controls::Controls;
use super::tenants::Workspace;
use crate::ending::Event;

/// Longest time for one request: it waits up to a second for an event.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest time for one request when everybody is quiet.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(60);
/// Events of one request.
const LIMIT: usize = 2_000;
/// How long it goes on after the load ended, to get what was acknowledged last.
const CATCH_UP: Duration = Duration::from_secs(2);

/// Follows until the load ends. What is delivered twice or out of order is kept as it came: that is what is checked.
pub(super) async fn follow(nodes: Vec<SocketAddr>, workspace: Workspace, controls: Arc<Controls>) -> Vec<Event> {
    let (mut events, mut after, mut node) = (Vec::new(), 0, workspace.place % nodes.len());
    let mut connection = None;
    let mut ends = None;
    loop {
        if controls.is_stopped() && *ends.get_or_insert_with(|| Instant::now() + CATCH_UP) < Instant::now() {
            return events;
        }
        let asked = timeout(TIMEOUT, page(&mut connection, nodes[node], &workspace, &controls, (after, 1))).await;
        match asked {
            Ok(Some(page)) => {
                after = page.last().map_or(after, |event| event.position);
                if page.is_empty() && ends.is_some() {
                    return events;
                }
                events.extend(page);
            }
            _ => {
                connection = None;
                node = (node + 1) % nodes.len();
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// All events that there are, from the first one.
pub(crate) async fn read_all(node: SocketAddr, workspace: &Workspace, controls: &Controls) -> anyhow::Result<Vec<Event>> {
    let mut events: Vec<Event> = Vec::new();
    let mut connection = None;
    loop {
        let after = events.last().map_or(0, |event| event.position);
        let asked = timeout(READ_TIMEOUT, page(&mut connection, node, workspace, controls, (after, 0))).await;
        let page = asked
            .ok()
            .flatten()
            .ok_or_else(|| anyhow::anyhow!("no answer after {after}"))?;
        if page.is_empty() {
            return Ok(events);
        }
        events.extend(page);
    }
}

async fn page(
    connection: &mut Option<Connection>,
    node: SocketAddr,
    workspace: &Workspace,
    controls: &Controls,
    (after, wait): (u64, u32),
) -> Option<Vec<Event>> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(node).await.ok()?,
    };
    let path = format!(
        "/v1/tenants/{}/events?after={after}&limit={LIMIT}&wait={wait}",
        workspace.slug
    );
    let mut bytes = Vec::new();
    Request {
        method: "GET",
        path: &path,
        token: &workspace.token,
        headers: "accept: application/x-ndjson\r\n",
        body: b"",
    }
    .write(&mut bytes);
    let reply = open.exchange(&bytes).await.ok()?;
    if reply.status != 200 {
        return None;
    }
    if let Some(tag) = workspace.foreign(reply.body) {
        controls.foreign(format!("events of {}: {tag}", workspace.slug));
    }
    let page = parse(reply.body);
    if reply.keep_alive {
        *connection = Some(open);
    }
    page
}

/// Reads NDJSON of events. None: a line is none.
pub(crate) fn parse(body: &[u8]) -> Option<Vec<Event>> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let event = |line: &[u8]| -> Option<Event> { Some(taken(serde_json::from_slice(line).ok()?)) };
    lines.map(event).collect()
}

/// An event as a consumer keeps it. The fields of its record are no part of it.
pub(crate) fn taken(mut event: api::body::event::Event) -> Event {
    event.fields = None;
    let told = serde_json::to_vec(&event).unwrap_or_default();
    // FNV-1a.
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    Event {
        told: told.iter().fold(0xCBF2_9CE4_8422_2325, hash),
        position: event.position,
        kind: event.kind,
        collection: event.collection,
        id: event.record,
        version: event.version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_line_by_line() {
        let line = r#"{"specversion":"1.0","id":"a/1","source":"/v1/tenants/a","type":"record.created","time":"2026-01-01T00:00:00Z","position":1,"actor":"x","collection":"tasks","record":"r","version":1}"#;
        let events = parse(format!("{line}\n\n{line}\n").as_bytes()).unwrap();
        assert_eq!((events.len(), events[0].position, events[1].id.as_deref()), (2, 1, Some("r")));
        assert_eq!(parse(b"{\"half\":"), None);
        let other = line.replace("\"actor\":\"x\"", "\"actor\":\"y\"");
        assert_ne!(parse(other.as_bytes()).unwrap()[0].told, events[0].told, "all that it says");
    }
}
