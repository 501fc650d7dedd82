//! Strangers who mean harm: what they send is refused or ends their connection, never answered with a fault of the server, and nobody
//! else notices.
//!
//! Each test runs beside a [`Witness`], a client that behaves and is served all the while.

mod corpus;
mod frames;
mod heads;
mod http2;
mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::client::Call;
use api::server::ServerConfig;
use http::Method;
use tokio::task::JoinHandle;

use crate::support::{LONG, Running, until};

/// A client that asks for something again and again.
struct Witness {
    served: Arc<AtomicU64>,
    asking: JoinHandle<()>,
}

impl Witness {
    fn beside(node: &Running) -> Self {
        // On a busy machine it may pause for longer than the server keeps a connection that says nothing.
        let client = node.client("").with_retries(5);
        let served = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&served);
        let asking = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(1));
            loop {
                pace.tick().await;
                let answer = client.call(Call::new(Method::GET, "/livez")).await.expect("an answer");
                assert_eq!(answer.status, 200);
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { served, asking }
    }

    /// It was served all the while, and still is.
    async fn stays_served(self) {
        let before = self.served.load(Ordering::SeqCst);
        let (served, asking) = (&self.served, &self.asking);
        until("the witness is served", || {
            assert!(!asking.is_finished(), "the witness was not served");
            served.load(Ordering::SeqCst) > before + 3
        })
        .await;
        self.asking.abort();
    }
}

/// Limits that a test can wait for.
fn impatient() -> ServerConfig {
    let short = Duration::from_millis(300);
    ServerConfig {
        head: short,
        body: short,
        stream_idle: short,
        ..ServerConfig::default()
    }
}

/// The statuses of the replies on a connection, in their order.
fn statuses(replies: &str) -> Vec<u16> {
    let starts = replies.split("HTTP/1.1 ").skip(1);
    starts.map(|reply| reply[..3].parse().expect("a status")).collect()
}

/// Waits for the end of something that must end.
async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work)
        .await
        .unwrap_or_else(|_| panic!("{what} did not end"))
}
