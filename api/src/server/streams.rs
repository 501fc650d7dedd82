//! The streams of one HTTP/2 connection: how many there are, which of them make no progress, and their end.
//!
//! Over HTTP/1 a connection is one request: its end is the request's end, and whoever takes nothing of a reply is seen by the
//! socket. Over HTTP/2 the requests of a connection are tasks of their own, and a client can keep a reply waiting while it takes
//! others. So each task is known here with the time since which a piece of its reply waits for the client; one that waits too long
//! is ended, which resets its stream and leaves the others alone.
//!
//! A client that opens streams and resets them costs work for which it waits for nothing. What it takes back before it is answered
//! is counted against what it lets come to an end; who takes back too much loses the connection.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::sync::Notify;
use tokio::task::{self, AbortHandle};
use tokio::time::Instant;

use crate::limits::{FRAME_BYTES, RESET_STREAMS};
use crate::reply::ReplyBody;

/// The streams of a connection. Clones are the same streams.
#[derive(Clone)]
pub(super) struct Streams(Arc<Shared>);

struct Shared {
    tasks: Mutex<Tasks>,
    /// Somebody has taken back too many requests.
    abused: Notify,
    /// A reply went out that should be the connection's last.
    leaving: Notify,
    /// The open streams of all connections.
    all: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Tasks {
    open: HashMap<task::Id, Open>,
    /// Since when none is open.
    idle_since: Option<Instant>,
    answered: u64,
    taken_back: u64,
}

struct Open {
    abort: AbortHandle,
    /// Since when a piece of the reply waits for the client.
    waits_since: Option<Instant>,
}

impl Streams {
    pub(super) fn new(all: Arc<AtomicUsize>) -> Self {
        let tasks = Tasks {
            idle_since: Some(Instant::now()),
            ..Tasks::default()
        };
        Self(Arc::new(Shared {
            tasks: Mutex::new(tasks),
            abused: Notify::new(),
            leaving: Notify::new(),
            all,
        }))
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        // Counters and a map: a panic in between leaves them whole.
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request that is under way: as taken back, unless it is told to be answered.
    pub(super) fn asked(&self) -> AskedFor {
        AskedFor {
            streams: self.clone(),
            answered: false,
        }
    }

    /// Lets the connection end after what is under way.
    pub(super) fn leave(&self) {
        self.0.leaving.notify_one();
    }

    /// Resolves when the connection should end after what is under way.
    pub(super) async fn leaving(&self) {
        self.0.leaving.notified().await;
    }

    /// Resolves when the client has taken back too many requests.
    pub(super) async fn abused(&self) {
        self.0.abused.notified().await;
    }

    /// Ends streams whose reply has waited for the client for longer than `stuck`, until there has been no stream for `idle` from now on.
    pub(super) async fn watch(&self, idle: Duration, stuck: Duration) {
        let begun = Instant::now();
        let mut looks = tokio::time::interval(idle.min(stuck) / 2);
        loop {
            looks.tick().await;
            let tasks = self.tasks();
            for open in tasks.open.values() {
                if open.waits_since.is_some_and(|since| since.elapsed() >= stuck) {
                    open.abort.abort();
                }
            }
            if tasks.idle_since.is_some_and(|since| since.max(begun).elapsed() >= idle) {
                return;
            }
        }
    }

    /// Ends all streams.
    pub(super) fn abort(&self) {
        self.tasks().open.values().for_each(|open| open.abort.abort());
    }

    /// Says whether a piece of the reply of the running task waits for the client.
    fn waits(&self, waits: bool) {
        let Some(id) = task::try_id() else { return };
        if let Some(open) = self.tasks().open.get_mut(&id) {
            open.waits_since = waits.then(Instant::now);
        }
    }

    fn ended(&self, id: task::Id) {
        let mut tasks = self.tasks();
        tasks.open.remove(&id);
        if tasks.open.is_empty() {
            tasks.idle_since = Some(Instant::now());
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // Held until the task is known, so that it cannot end before.
        let mut tasks = self.tasks();
        self.0.all.fetch_add(1, Ordering::Relaxed);
        let ended = Ended(self.clone());
        let task = tokio::spawn(async move {
            let _ended = ended;
            stream.await;
        });
        tasks.idle_since = None;
        let open = Open {
            abort: task.abort_handle(),
            waits_since: None,
        };
        tasks.open.insert(task.id(), open);
    }
}

/// Lives as long as a stream's task.
struct Ended(Streams);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.0.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(id) = task::try_id() {
            self.0.ended(id);
        }
    }
}

/// A request that is under way.
pub(super) struct AskedFor {
    streams: Streams,
    answered: bool,
}

impl AskedFor {
    /// Its reply is there.
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for AskedFor {
    fn drop(&mut self) {
        let mut tasks = self.streams.tasks();
        if self.answered {
            tasks.answered += 1;
            return;
        }
        tasks.taken_back += 1;
        if tasks.taken_back > RESET_STREAMS + tasks.answered {
            self.streams.0.abused.notify_one();
        }
    }
}

/// The body of a reply over HTTP/2: in frames of a size that the client has to ask for, one after the other.
pub(super) struct Framed {
    body: ReplyBody,
    /// What is left of the last piece of the body.
    rest: Bytes,
    streams: Streams,
}

impl Framed {
    pub(super) fn new(body: ReplyBody, streams: Streams) -> Self {
        let rest = Bytes::new();
        Self { body, rest, streams }
    }
}

impl Body for Framed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        this.streams.waits(false);
        if this.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        this.streams.waits(true);
        let piece = this.rest.split_to(this.rest.len().min(FRAME_BYTES));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
