//! Creates at a fixed rate (an open loop): each falls due at its time, whether or not earlier ones were answered. What gaps are
//! measured with.
//!
//! Every create has an idempotency key, 300 ms for an attempt, and goes to the next node where one does not answer, for up to 3 s:
//! what a client library does. Its time counts from when it was due.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::ask::Ask;
use super::line::Line;
use super::{Controls, Workspace, observe};

/// Creates that may be under way at a time. Raised: more connections. Lowered: in an outage what is due is sent late.
const CLIENTS: usize = 200;

/// One create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// When it was due, in microseconds since the load began.
    pub due_us: u64,
    /// When it was acknowledged; none: it was given up.
    pub done_us: Option<u64>,
    /// How often it was sent.
    pub attempts: u32,
}

/// A load at a fixed rate that runs.
pub struct Pulse {
    controls: Arc<Controls>,
    thread: JoinHandle<Vec<Beat>>,
}

/// What the clients share.
struct Shared {
    controls: Arc<Controls>,
    workspace: Workspace,
    start: Instant,
    start_us: u64,
    interval: Duration,
    next: AtomicU64,
}

impl Pulse {
    /// Starts it, with an observer of who leads.
    pub fn start(
        controls: Arc<Controls>,
        nodes: &[SocketAddr],
        workspace: &Workspace,
        token: &str,
        per_second: u32,
    ) -> Result<Self> {
        ensure!(per_second > 0, "the rate must be above zero");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the load's runtime")?;
        let (nodes, token) = (nodes.to_vec(), token.to_owned());
        let (seen, workspace) = (controls.clone(), workspace.clone());
        let run = move || {
            runtime.block_on(async {
                let shared = Arc::new(Shared {
                    controls: seen.clone(),
                    workspace,
                    start: Instant::now(),
                    start_us: seen.now_us(),
                    interval: Duration::from_secs(1) / per_second,
                    next: AtomicU64::new(0),
                });
                let clients: Vec<_> = (0..CLIENTS)
                    .map(|number| tokio::spawn(client(shared.clone(), Line::new(nodes.clone(), number))))
                    .collect();
                let observer = tokio::spawn(observe(nodes, token, seen));
                let mut beats = Vec::new();
                for client in clients {
                    beats.extend(client.await.unwrap_or_default());
                }
                let _ = observer.await;
                beats.sort_by_key(|beat| beat.due_us);
                beats
            })
        };
        let thread = std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(run)
            .context("start the load's thread")?;
        Ok(Self { controls, thread })
    }

    /// Ends it; returns every create that had ended, by the time at which it was due.
    pub fn stop(self) -> Result<Vec<Beat>> {
        self.controls.stop();
        self.thread.join().ok().context("the load's thread panicked")
    }
}

async fn client(shared: Arc<Shared>, mut line: Line) -> Vec<Beat> {
    let mut beats = Vec::new();
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let after = shared.interval * u32::try_from(number).unwrap_or(u32::MAX);
        sleep_until(shared.start + after).await;
        if shared.controls.is_stopped() {
            return beats;
        }
        let title = format!("{}-beat-{number}", shared.workspace.tag);
        let ask = Ask {
            method: "POST",
            path: "/records/tasks".to_owned(),
            body: Some(json!({ "fields": { "title": title } })),
            key: Some(&title),
            again: true,
        };
        let told = line.ask(&ask, &shared.workspace, &shared.controls).await;
        // What was under way at the end was neither acknowledged nor given up.
        if told.good.is_some() || !shared.controls.is_stopped() {
            beats.push(Beat {
                due_us: shared.start_us + u64::try_from(after.as_micros()).unwrap_or(u64::MAX),
                done_us: told.good.is_some().then(|| shared.controls.now_us()),
                attempts: told.attempts,
            });
        }
    }
}
