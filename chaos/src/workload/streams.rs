//! Consumers of event streams: server-sent events and live connections at every node, all of a tenant's events or a part of them, which go
//! on at another node wherever they are cut off.
//!
//! What is delivered is kept as it came, repeats included: that is what is checked (`invariants/streams.rs`). They follow on after the load has
//! ended, until each has got the last event that it is to get, so that one that never resumed is seen.

mod live;
mod sse;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;

use super::controls::Controls;
use super::follower;
use super::tenants::Workspace;
use crate::ending::{Event, Stream, Wanted};
use crate::invariants::names;

/// How long one may take, after all is healed, to get the last event: a live connection notices after 20 s that its server is silent.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// Between two connections of a stream.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked whether it is over.
const LOOK: Duration = Duration::from_millis(20);
/// What the names of claims end with that one of each tenant's streams asks for.
const LAST_DIGIT: &str = "3";

/// How a stream comes.
#[derive(Clone, Copy)]
enum By {
    /// Server-sent events, resumed by `Last-Event-ID`, with the fields of records.
    LastEventId,
    /// Server-sent events, resumed by `after`.
    After,
    /// A live connection, message by message, which begins with what is yet to come.
    Live,
    /// The typed client's feed.
    Feed,
}

/// What one stream is and where it stands.
struct Following {
    nodes: Vec<SocketAddr>,
    /// The node that it is at now.
    at: usize,
    workspace: Workspace,
    controls: Arc<Controls>,
    stream: Stream,
    /// The position after which it was told to go on.
    told: Option<u64>,
    /// The last position that it has, for whoever waits.
    reached: Arc<AtomicU64>,
}

/// All streams of a run.
pub struct Streams {
    over: Arc<AtomicBool>,
    reached: Vec<(usize, Wanted, Arc<AtomicU64>)>,
    thread: Option<JoinHandle<Vec<Stream>>>,
}

impl Streams {
    /// Starts them: four a tenant.
    pub fn start(controls: &Arc<Controls>, nodes: &[SocketAddr], workspaces: &[Workspace]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the streams' runtime")?;
        let (mut all, mut reached) = (Vec::new(), Vec::new());
        for workspace in workspaces {
            for (by, wanted) in wanted(workspace) {
                let known = Arc::new(AtomicU64::new(0));
                reached.push((workspace.place, wanted.clone(), known.clone()));
                let stream = Stream {
                    by: by.name().to_owned(),
                    wanted,
                    began: (!matches!(by, By::Live)).then_some(0),
                    events: Vec::new(),
                    connections: 0,
                    resumes: 0,
                    odd: Vec::new(),
                };
                let following = Following {
                    at: all.len() % nodes.len(),
                    nodes: nodes.to_vec(),
                    workspace: workspace.clone(),
                    controls: controls.clone(),
                    stream,
                    told: None,
                    reached: known,
                };
                all.push((by, following));
            }
        }
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let run = move || {
            runtime.block_on(async {
                let tasks: Vec<_> = all
                    .into_iter()
                    .map(|(by, following)| tokio::spawn(following.run(by, ends.clone())))
                    .collect();
                let mut streams = Vec::new();
                for task in tasks {
                    streams.extend(task.await);
                }
                streams
            })
        };
        let thread = std::thread::Builder::new()
            .name("streams".to_owned())
            .spawn(run)
            .context("start the streams' thread")?;
        Ok(Self {
            over,
            reached,
            thread: Some(thread),
        })
    }

    /// Waits until each has the last event that it is to get, as far as that comes in time, and ends them. `last`: the position of that event,
    /// of what a stream of a tenant wants. What each tenant's streams got, by the tenant's place.
    pub fn end(mut self, last: impl Fn(usize, &Wanted) -> u64) -> Result<Vec<(usize, Stream)>> {
        let goals: Vec<_> = self.reached.iter().map(|(place, wanted, _)| last(*place, wanted)).collect();
        let is_there = || {
            let pairs = self.reached.iter().zip(&goals);
            pairs
                .into_iter()
                .all(|((_, _, known), goal)| known.load(Ordering::Relaxed) >= *goal)
        };
        // Whoever is not there by then is told by the checker.
        let _ = rig::cluster::poll(ENDS_WITHIN, || is_there() || crate::stop::is_asked());
        self.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the streams have ended before")?;
        let streams = thread.join().ok().context("the streams' thread panicked")?;
        let places = self.reached.iter().map(|(place, _, _)| *place);
        Ok(places.zip(streams).collect())
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The streams of a tenant.
fn wanted(workspace: &Workspace) -> [(By, Wanted); 4] {
    let some = [names::REGISTERS, names::CLAIMS].map(str::to_owned).to_vec();
    let other = if workspace.place.is_multiple_of(2) {
        By::Feed
    } else {
        By::Live
    };
    [
        (By::LastEventId, Wanted::All),
        (By::Live, Wanted::All),
        (By::After, Wanted::Claims(LAST_DIGIT.to_owned())),
        (other, Wanted::Collections(some)),
    ]
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::LastEventId => "server-sent events by Last-Event-ID",
            Self::After => "server-sent events by after",
            Self::Live => "a live connection",
            Self::Feed => "the client's live feed",
        }
    }
}

impl Following {
    /// Follows until it is over.
    async fn run(mut self, by: By, over: Arc<AtomicBool>) -> Stream {
        let ended = async {
            while !over.load(Ordering::Relaxed) {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = self.follow(by) => {}
        }
        self.stream
    }

    async fn follow(&mut self, by: By) {
        loop {
            self.stream.connections += 1;
            // However a connection ends, the next one goes on.
            let _ = match by {
                By::LastEventId => self.server_sent(true).await.ok(),
                By::After => self.server_sent(false).await.ok(),
                By::Live => self.live().await.ok(),
                By::Feed => self.feed().await.ok(),
            };
            self.at = (self.at + 1) % self.nodes.len();
            sleep(PAUSE).await;
        }
    }

    /// The position after which it goes on; none: it has not begun.
    fn position(&self) -> Option<u64> {
        let last = self.stream.events.last().map(|event| event.position);
        last.max(self.told).max(self.stream.began)
    }

    /// Takes an event as it came.
    fn take(&mut self, event: api::body::event::Event) {
        let event = follower::taken(event);
        self.reached.store(event.position, Ordering::Relaxed);
        self.stream.events.push(event);
    }

    /// Notes what is not as it should be. One is enough to fail a run.
    fn odd(&mut self, what: String) {
        const KEPT: usize = 20;
        if self.stream.odd.len() < KEPT {
            self.stream.odd.push(what);
        }
    }

    /// The part of the events that it wants, as parameters of a query that begin with `&`.
    fn parameters(&self) -> String {
        match &self.stream.wanted {
            Wanted::All => String::new(),
            Wanted::Collections(names) => format!("&collections={}", names.join(",")),
            Wanted::Claims(end) => format!(
                "&collections={}&filter={}.endsWith(%22{end}%22)",
                names::CLAIMS,
                names::CLAIM_NAME
            ),
        }
    }
}

/// The events of a stream's kind among all, by the claims' names.
pub fn among<'a>(
    all: &'a [Event],
    wanted: &'a Wanted,
    claims: &'a dyn Fn(&str) -> Option<&'a str>,
) -> impl Iterator<Item = &'a Event> {
    all.iter().filter(move |event| {
        let collection = event.collection.as_deref();
        match wanted {
            Wanted::All => true,
            Wanted::Collections(names) => collection.is_some_and(|name| names.iter().any(|known| known == name)),
            Wanted::Claims(end) => {
                let is_record = [names::CREATED, names::UPDATED, names::DELETED].contains(&event.kind.as_str());
                let name = event.id.as_deref().and_then(claims);
                is_record && collection == Some(names::CLAIMS) && name.is_some_and(|name| name.ends_with(end.as_str()))
            }
        }
    })
}
