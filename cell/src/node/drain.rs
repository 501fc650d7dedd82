//! A node that is to be emptied of what others wait for: it hands its leaderships over and is not ready, but serves on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::body::node::NodeChange;
use tokio::time::{sleep, timeout};

use super::platform::Platform;

/// How long a leader has to hand over.
const HAND_OVER: Duration = Duration::from_secs(3);
/// Between two looks at whether a node that drains has been elected again.
const AGAIN: Duration = Duration::from_millis(500);

impl Platform {
    /// Does what an operator asks of this node.
    pub(crate) fn change(&self, change: NodeChange) {
        tracing::info!(?change, "an operator asks it of this node");
        match change {
            NodeChange::Drain => self.draining.store(true, Ordering::Release),
            NodeChange::Undrain => self.draining.store(false, Ordering::Release),
            NodeChange::Restart => {
                self.ending.notify_one();
                return;
            }
        }
        self.drains.notify_one();
    }

    /// Whether the node drains.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Hands over what this node leads, where another node can lead it.
    pub(crate) async fn hand_over(&self) {
        for replica in self.replicas().filter(|replica| replica.group.is_leader()) {
            if replica.group.status().voters.len() < 2 {
                continue;
            }
            match timeout(HAND_OVER, replica.group.hand_over(None)).await {
                Ok(Ok(to)) => tracing::info!(cell = %replica.name, to = to.0, "handed the leadership over"),
                Ok(Err(error)) => tracing::warn!(cell = %replica.name, %error, "could not hand the leadership over"),
                Err(_) => tracing::warn!(cell = %replica.name, "nobody took the leadership over in time"),
            }
        }
    }
}

/// Hands over whatever this node leads while it drains, for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    loop {
        if platform.is_draining() {
            platform.hand_over().await;
            sleep(AGAIN).await;
        } else {
            platform.drains.notified().await;
        }
    }
}
