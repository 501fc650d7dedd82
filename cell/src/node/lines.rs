//! Streams to other nodes that are kept open between exchanges: a handshake with a node of another region takes several round trips.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use raft::{Host, NodeId, PeerStream};
use tokio::io::AsyncReadExt;

/// Streams to one node that are kept. Raised: more connections. Lowered: more handshakes under load.
const KEPT: usize = 8;
/// How long one is kept without use: shorter than the other side waits.
const IDLE: Duration = Duration::from_secs(30);

/// Streams that are open and not in use, with the time since when.
#[derive(Default)]
pub(crate) struct Lines(Mutex<BTreeMap<u64, Vec<(Instant, PeerStream)>>>);

impl Lines {
    /// A stream to a node: one that is open, or a new one.
    pub(super) async fn take(&self, host: &Host, node: NodeId) -> io::Result<PeerStream> {
        while let Some((since, mut stream)) = self.pop(node) {
            // One that has something to read was closed, or is out of step.
            let mut byte = [0];
            if since.elapsed() < IDLE && stream.read(&mut byte).now_or_never().is_none() {
                return Ok(stream);
            }
        }
        host.dial(node).await
    }

    /// Keeps a stream whose exchange has ended in order.
    pub(super) fn keep(&self, node: NodeId, stream: PeerStream) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = lines.entry(node.0).or_default();
        if kept.len() < KEPT {
            kept.push((Instant::now(), stream));
        }
    }

    fn pop(&self, node: NodeId) -> Option<(Instant, PeerStream)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&node.0)?.pop()
    }
}
