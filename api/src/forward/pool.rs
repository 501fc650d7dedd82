//! Kept connections to the fronts of other nodes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use crate::ids::NodeNumber;
use crate::read::RequestBody;
use crate::service::Service;

/// Most idle connections to one node. More: descriptors on both sides. Fewer: handshakes when many requests come at once.
const IDLE_CONNECTIONS: usize = 512;
/// Longest time that an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);
/// Longest time to reach another node. A node that does not answer by then is as good as down.
pub(super) const DIAL: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// Idle connections by node.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<HashMap<NodeNumber, Vec<Idle>>>);

impl Pool {
    /// A connection that is ready for a request, and whether it was used before; none: the node cannot be reached.
    pub(crate) async fn take(&self, node: NodeNumber, service: &dyn Service) -> Option<(SendRequest<RequestBody>, bool)> {
        while let Some(mut sender) = self.pop(node) {
            if sender.ready().await.is_ok() {
                return Some((sender, true));
            }
        }
        let dialled = async {
            let stream = service.dial(node).await?;
            http1::handshake::<_, RequestBody>(TokioIo::new(stream))
                .await
                .map_err(std::io::Error::other)
        };
        let (mut sender, connection) = match tokio::time::timeout(DIAL, dialled).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => {
                tracing::debug!(%error, "dial node {node}");
                return None;
            }
            Err(_) => {
                tracing::debug!("dial node {node}: no answer within {DIAL:?}");
                return None;
            }
        };
        // Whoever uses the connection sees why it broke.
        tokio::spawn(connection.with_upgrades());
        sender.ready().await.ok()?;
        Some((sender, false))
    }

    fn pop(&self, node: NodeNumber) -> Option<SendRequest<RequestBody>> {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = nodes.get_mut(&node)?;
        while let Some(Idle { sender, since }) = idle.pop() {
            if since.elapsed() > IDLE {
                // The list is a stack: all below are older.
                idle.clear();
                return None;
            }
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection whose reply has ended.
    pub(crate) fn give_back(&self, node: NodeNumber, sender: SendRequest<RequestBody>) {
        if sender.is_closed() {
            return;
        }
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = nodes.entry(node).or_default();
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }
}
