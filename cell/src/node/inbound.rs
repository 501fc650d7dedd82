//! Streams that other nodes open to this one, and what each is for.

use std::sync::Arc;
use std::time::Duration;

use api::server::Server;
use raft::StreamOffer;
use tokio::io::AsyncReadExt;
use tokio::sync::{OnceCell, Semaphore};

use super::platform::Platform;
use super::{REQUESTS, directory, relay, transfer};

/// Most streams from other nodes at a time.
const STREAMS: usize = 4_096;
/// How long another node has to say what its stream is for.
const GREETING: Duration = Duration::from_secs(5);

/// What streams from other nodes need.
pub(super) struct Inbound {
    pub(super) platform: Arc<Platform>,
    pub(super) server: Server,
    places: Arc<Semaphore>,
}

impl Inbound {
    pub(super) fn new(platform: Arc<Platform>, server: Server) -> Self {
        Self {
            platform,
            server,
            places: Arc::new(Semaphore::new(STREAMS)),
        }
    }
}

/// Serves one stream from another node. What belongs to tenants stays between the nodes of a region.
pub(super) async fn accept(inbound: Arc<OnceCell<Inbound>>, offer: StreamOffer) {
    let Some(inbound) = inbound.get() else { return };
    let Ok(_place) = inbound.places.try_acquire() else {
        tracing::warn!(limit = STREAMS, "too many streams from other nodes; one was refused");
        return;
    };
    let greeted = tokio::time::timeout(GREETING, async {
        let (node, mut stream) = offer.accept().await?;
        let what = stream.read_u8().await?;
        std::io::Result::Ok((node, what, stream))
    });
    let (node, what, stream) = match greeted.await {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return tracing::warn!(%error, "refused a stream from another node");
        }
        Ok(Err(error)) => return tracing::debug!(%error, "a stream from another node broke off"),
        Err(_) => return tracing::debug!("a stream from another node said nothing"),
    };
    let platform = &inbound.platform;
    let near = platform.region_of(node).is_some_and(|region| region == platform.me.region);
    let ended = match what {
        REQUESTS if near => {
            inbound.server.serve_forwarded(Box::new(stream)).await;
            Ok(())
        }
        REQUESTS => {
            return tracing::warn!(
                node = node.0,
                "a node of another region tried to forward requests; it was refused"
            );
        }
        relay::MARK => platform.serve_relay(stream, node, near).await,
        transfer::MARK => platform.serve_transfer(stream, near).await,
        directory::MARK => platform.serve_feed(stream).await,
        other => return tracing::warn!(node = node.0, other, "another node opened a stream of an unknown kind"),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, node = node.0, what = %char::from(what), "a stream from another node broke off");
    }
}
