//! The lines that were read and are not settled yet: what has to be sent again when a connection breaks.
//!
//! The server says how many lines are settled (stored, or refused and reported). What is settled is forgotten here, so an import
//! of any length, also from standard input, can be continued on another connection without reading its source again. A new
//! connection gets every line again under its number: a filler for the settled ones, which the server skips because it knows how
//! far the import of this id is, and then the window. The head of a CSV file goes before all of them.
//!
//! CAVEAT: while [`WINDOW_BYTES`] are not settled nothing more is read; the server settles in pieces far smaller than that.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};

use super::form::Form;
use super::source::Chunk;

/// Most bytes that may be unsettled. Raised: more memory. Lowered: a slow server is waited for earlier.
const WINDOW_BYTES: usize = 64 * 1024 * 1024;
/// How many settled lines are sent in one piece.
const FILLER_LINES: u64 = 16 * 1024;
/// How long a connection may be without a byte while the source is slow: less than the server waits for.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Lines between their source and their being settled.
#[derive(Debug)]
pub(super) struct Window {
    form: Form,
    state: Mutex<State>,
    /// Rung when lines were settled.
    settled: Notify,
    source: AsyncMutex<mpsc::Receiver<io::Result<Chunk>>>,
}

#[derive(Debug, Default)]
struct State {
    /// The head of a CSV file.
    head: Bytes,
    /// Unsettled lines, in order.
    chunks: VecDeque<Chunk>,
    /// Their bytes.
    bytes: usize,
    /// The last line that is settled.
    settled: u64,
    /// How far into the file that is, in bytes.
    offset: u64,
    /// The last line that was read.
    read: u64,
    /// Whether the source has ended.
    ended: bool,
    /// Why the source cannot be read on.
    failed: Option<String>,
}

/// What a connection has to do at a line.
enum Step {
    Send(Bytes, u64),
    Read,
    Wait,
    End,
}

impl Window {
    pub(super) fn new(form: Form, source: mpsc::Receiver<io::Result<Chunk>>) -> Arc<Self> {
        Arc::new(Self {
            form,
            state: Mutex::default(),
            settled: Notify::new(),
            source: AsyncMutex::new(source),
        })
    }

    /// Forgets the lines up to this one.
    pub(super) fn settle(&self, line: u64) {
        let mut state = self.lock();
        state.settled = state.settled.max(line.min(state.read));
        while let Some(chunk) = state.chunks.front().filter(|chunk| chunk.last() <= state.settled) {
            let (bytes, offset) = (chunk.bytes.len(), chunk.offset);
            state.bytes -= bytes;
            state.offset = offset;
            state.chunks.pop_front();
        }
        drop(state);
        self.settled.notify_waiters();
    }

    /// How many lines are settled.
    pub(super) fn settled(&self) -> u64 {
        self.lock().settled
    }

    /// How far into the file the settled lines reach, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.lock().offset
    }

    /// The head of a CSV file, as it was sent.
    pub(super) fn head(&self) -> Bytes {
        self.lock().head.clone()
    }

    /// A line that is not settled, as it was sent; empty where it is not there any more.
    pub(super) fn line(&self, number: u64) -> Bytes {
        let state = self.lock();
        let found = state.chunks.partition_point(|chunk| chunk.last() < number);
        let chunk = state.chunks.get(found);
        chunk.and_then(|chunk| chunk.line(number)).unwrap_or_default()
    }

    /// Why the source cannot be read on, where it cannot.
    pub(super) fn failed(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    /// Whether lines were read that are not settled, or all were read: the server owes an answer.
    pub(super) fn is_owed(&self) -> bool {
        let state = self.lock();
        state.ended || !state.chunks.is_empty()
    }

    /// Everything that one connection has to send: the head, where there is one, and all lines from 1. Only the newest of these streams may be polled.
    pub(super) fn stream(self: &Arc<Self>) -> impl Stream<Item = io::Result<Bytes>> + use<> {
        futures_util::stream::unfold(Some((self.clone(), 0)), |cursor| async move {
            let (window, line) = cursor?;
            match window.next(line).await {
                Ok(Some((bytes, line))) => Some((Ok(bytes), Some((window, line)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// What follows from a line on, and the line after it; none at the end.
    async fn next(&self, mut line: u64) -> io::Result<Option<(Bytes, u64)>> {
        loop {
            // Registered before the look, so that what is settled in between is not missed.
            let settled = self.settled.notified();
            match self.step(line) {
                // No head: an empty piece of a body might be taken for its end.
                Step::Send(bytes, after) if bytes.is_empty() => line = after,
                Step::Send(bytes, after) => return Ok(Some((bytes, after))),
                Step::Read => match tokio::time::timeout(KEEP_ALIVE, self.read()).await {
                    Ok(read) => read?,
                    Err(_) => return Ok(Some((Bytes::from_static(blank(self.form)), line))),
                },
                Step::Wait => settled.await,
                Step::End => return Ok(None),
            }
        }
    }

    fn step(&self, line: u64) -> Step {
        let state = self.lock();
        if line == 0 {
            return match self.form {
                Form::Csv if state.head.is_empty() && !state.ended => Step::Read,
                _ => Step::Send(state.head.clone(), 1),
            };
        }
        let found = state.chunks.partition_point(|chunk| chunk.first < line);
        match state.chunks.get(found) {
            Some(chunk) if chunk.first == line => Step::Send(chunk.bytes.clone(), chunk.last() + 1),
            // What lies before the window is settled.
            Some(chunk) => filler(self.form, line, chunk.first),
            None if line <= state.read => filler(self.form, line, state.read + 1),
            None if state.ended => Step::End,
            None if state.bytes >= WINDOW_BYTES => Step::Wait,
            None => Step::Read,
        }
    }

    /// Takes a chunk from the source into the window.
    async fn read(&self) -> io::Result<()> {
        let chunk = self.source.lock().await.recv().await;
        let mut state = self.lock();
        match chunk {
            None => state.ended = true,
            Some(Ok(chunk)) if chunk.lines == 0 => state.head = chunk.bytes,
            Some(Ok(chunk)) => {
                state.read = chunk.last();
                state.bytes += chunk.bytes.len();
                state.chunks.push_back(chunk);
            }
            Some(Err(error)) => {
                state.failed = Some(error.to_string());
                return Err(error);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Settled lines from one up to another, exclusive, as many as go into a piece.
fn filler(form: Form, from: u64, to: u64) -> Step {
    let line = match form {
        Form::Jsonl => "{}\n",
        // A line that is empty would be none.
        Form::Csv => "\"\"\n",
    };
    let lines = (to - from).min(FILLER_LINES);
    Step::Send(line.repeat(usize::try_from(lines).unwrap_or_default()).into(), from + lines)
}

/// What is sent between two lines so that the server hears something: it changes nothing there.
fn blank(form: Form) -> &'static [u8] {
    match form {
        Form::Jsonl => b" ",
        Form::Csv => b"\n",
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn chunk(first: u64, lines: u64) -> io::Result<Chunk> {
        let text: String = (first..first + lines).map(|line| format!("{line}\n")).collect();
        let ends = (1..=lines).map(|line| u32::try_from(2 * line).expect("short")).collect();
        Ok(Chunk {
            first,
            lines,
            bytes: text.into(),
            ends,
            offset: first + lines,
        })
    }

    async fn all(window: &Arc<Window>) -> String {
        let pieces: Vec<Bytes> = window.stream().map(|piece| piece.expect("a piece")).collect().await;
        String::from_utf8(pieces.concat()).expect("UTF-8")
    }

    #[tokio::test]
    async fn a_second_connection_gets_every_line_under_its_number() {
        let (sender, receiver) = mpsc::channel(8);
        let window = Window::new(Form::Jsonl, receiver);
        for made in [chunk(1, 2), chunk(3, 2), chunk(5, 1)] {
            sender.send(made).await.expect("sent");
        }
        let mut first = Box::pin(window.stream());
        first.next().await.expect("a piece").expect("lines");
        first.next().await.expect("a piece").expect("lines");
        assert_eq!((&window.line(4)[..], window.line(5).len()), (&b"4\n"[..], 0));
        window.settle(3);
        drop(first);
        drop(sender);
        assert_eq!(window.settled(), 3);
        assert_eq!(all(&window).await, "{}\n{}\n3\n4\n5\n");
        window.settle(100);
        assert_eq!((window.settled(), all(&window).await.as_str()), (5, "{}\n{}\n{}\n{}\n{}\n"));
        assert!(window.is_owed(), "the summary is owed");
    }

    #[tokio::test]
    async fn the_head_goes_before_every_line_of_every_connection() {
        let (sender, receiver) = mpsc::channel(8);
        let window = Window::new(Form::Csv, receiver);
        let head = Chunk {
            first: 0,
            lines: 0,
            bytes: Bytes::from_static(b"a\n"),
            ends: Vec::new(),
            offset: 0,
        };
        for made in [Ok(head), chunk(1, 2), chunk(3, 1)] {
            sender.send(made).await.expect("sent");
        }
        drop(sender);
        assert_eq!(all(&window).await, "a\n1\n2\n3\n");
        window.settle(2);
        assert_eq!(all(&window).await, "a\n\"\"\n\"\"\n3\n");
        assert_eq!(&window.head()[..], b"a\n");
        let (sender, receiver) = mpsc::channel(1);
        drop(sender);
        assert_eq!(all(&Window::new(Form::Csv, receiver)).await, "", "an empty file has no head");
    }

    #[tokio::test]
    async fn nothing_more_is_read_while_too_much_is_unsettled() {
        let (sender, receiver) = mpsc::channel(8);
        let window = Window::new(Form::Jsonl, receiver);
        let large = Bytes::from(vec![b'\n'; WINDOW_BYTES]);
        sender
            .send(Ok(Chunk {
                first: 1,
                lines: 1,
                bytes: large,
                ends: Vec::new(),
                offset: 1,
            }))
            .await
            .expect("sent");
        sender.send(chunk(2, 1)).await.expect("sent");
        let mut stream = Box::pin(window.stream());
        stream.next().await.expect("a piece").expect("lines");
        let mut second = Box::pin(stream.next());
        assert!(futures_util::poll!(&mut second).is_pending());
        window.settle(1);
        assert_eq!(&second.await.expect("a piece").expect("lines")[..], b"2\n");
    }

    #[tokio::test]
    async fn a_source_that_fails_is_remembered() {
        let (sender, receiver) = mpsc::channel(8);
        let window = Window::new(Form::Jsonl, receiver);
        sender.send(Err(io::Error::other("damaged"))).await.expect("sent");
        let mut stream = Box::pin(window.stream());
        assert!(stream.next().await.expect("an item").is_err());
        assert!(stream.next().await.is_none());
        assert_eq!(window.failed().as_deref(), Some("damaged"));
    }
}
