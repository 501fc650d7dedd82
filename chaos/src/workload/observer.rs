//! Asks every node ten times a second who leads and how much log it keeps: the report's timeline, and what faults mean by "the leader".
//!
//! Of several answers the one of the highest term counts; a deposed leader that does not know it yet is outvoted so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::body::control::Cell;
use api::body::record::Page;
use rig::http::{Connection, Request};
use tokio::time::timeout;

use super::controls::{Controls, Seen};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(100);
/// How long a node may take to answer.
const TIMEOUT: Duration = Duration::from_millis(250);

/// Observes until the load ends.
pub(crate) async fn observe(nodes: Vec<SocketAddr>, token: String, controls: Arc<Controls>) {
    let mut connections: Vec<Option<Connection>> = nodes.iter().map(|_| None).collect();
    let mut names: Vec<String> = Vec::new();
    while !controls.is_stopped() {
        let mut best: Vec<Cell> = Vec::new();
        for (place, (connection, node)) in connections.iter_mut().zip(&nodes).enumerate() {
            let cells = timeout(TIMEOUT, ask(connection, *node, &token))
                .await
                .ok()
                .flatten()
                .unwrap_or_default();
            for cell in cells {
                controls.keeps(place, cell.log_bytes);
                match best.iter_mut().find(|other| other.name == cell.name) {
                    Some(other) if (cell.term, cell.leader.is_some()) > (other.term, other.leader.is_some()) => *other = cell,
                    Some(_) => {}
                    None => best.push(cell),
                }
            }
        }
        for cell in best {
            if names.is_empty() && cell.kind != "directory" {
                names = cell.replicas.iter().map(|replica| replica.node.clone()).collect();
            }
            let place = cell
                .leader
                .as_ref()
                .and_then(|leader| names.iter().position(|name| name == leader));
            let seen = Seen {
                at_us: controls.now_us(),
                group: cell.name,
                leader: cell.leader,
                term: cell.term,
            };
            controls.see(seen, place, cell.kind != "directory");
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn ask(connection: &mut Option<Connection>, node: SocketAddr, token: &str) -> Option<Vec<Cell>> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(node).await.ok()?,
    };
    let mut bytes = Vec::new();
    Request {
        method: "GET",
        path: "/v1/cells",
        token,
        headers: "",
        body: b"",
    }
    .write(&mut bytes);
    let reply = open.exchange(&bytes).await.ok()?;
    if reply.status != 200 {
        return None;
    }
    let page: Page<Cell> = serde_json::from_slice(reply.body).ok()?;
    if reply.keep_alive {
        *connection = Some(open);
    }
    Some(page.items)
}
