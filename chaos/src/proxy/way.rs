//! One direction between two nodes: its mode, and how bytes go through it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Mode;

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks that are under way in one direction of a connection. Raised: a delayed link holds more. Lowered: it passes less than a
/// real one of that delay.
const CHUNKS: usize = 256;

/// Why a direction of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The sender closed it, and all that it sent has been passed on.
    Closed,
    /// It is to be reset.
    Reset,
}

/// A direction.
pub(super) struct Way {
    mode: watch::Sender<Mode>,
    /// What it is when nothing is done to it.
    calm: Mutex<Mode>,
    touched: AtomicU64,
}

struct Chunk {
    bytes: Vec<u8>,
    due: Instant,
}

impl Way {
    pub(super) fn new() -> Self {
        Self {
            mode: watch::Sender::new(Mode::Pass),
            calm: Mutex::new(Mode::Pass),
            touched: AtomicU64::new(0),
        }
    }

    pub(super) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// From now on it takes so long when nothing else is done to it.
    pub(super) fn part(&self, distance: Duration) {
        *self.calm.lock().unwrap_or_else(PoisonError::into_inner) = Mode::Delay(distance, Duration::ZERO);
        self.heal();
    }

    pub(super) fn heal(&self) {
        let calm = *self.calm.lock().unwrap_or_else(PoisonError::into_inner);
        self.set(calm);
    }

    pub(super) fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    pub(super) fn touch(&self) {
        self.touched.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn touched(&self) -> u64 {
        self.touched.load(Ordering::Relaxed)
    }

    /// Passes bytes on until one side ends, or until the connection is to be reset.
    pub(super) async fn pump(&self, from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin) -> End {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let (read, write) = (self.read(from, sender), self.write(to, receiver));
        tokio::pin!(read, write);
        // What is on its way when a connection is reset does not arrive any more.
        let read = tokio::select! {
            read = &mut read => read,
            _ = &mut write => return End::Reset,
        };
        match read {
            Ok(End::Closed) if write.await.is_ok() => End::Closed,
            _ => End::Reset,
        }
    }

    async fn read(&self, mut from: impl AsyncRead + Unpin, sender: mpsc::Sender<Chunk>) -> io::Result<End> {
        let mut mode = self.mode.subscribe();
        let mut lost = false;
        let mut buffer = vec![0; CHUNK_BYTES];
        // Bytes that were read: what happens to them is up to the mode after they came, not to the one in which they were awaited.
        let mut came = None;
        // A link that was slow stays in order when it is fast again.
        let mut last_due = Instant::now();
        loop {
            let now = *mode.borrow_and_update();
            let swallows = now == Mode::Swallow;
            if now == Mode::Cut || (lost && !swallows) {
                self.touch();
                return Ok(End::Reset);
            }
            if now == Mode::Stall {
                self.touch();
                // The sender lives as long as the way.
                let _ = mode.changed().await;
                continue;
            }
            let Some(length) = came.take() else {
                came = tokio::select! {
                    _ = mode.changed() => None,
                    () = sender.closed() => return Ok(End::Reset),
                    length = from.read(&mut buffer) => Some(length?),
                };
                continue;
            };
            if length == 0 && !swallows {
                return Ok(End::Closed);
            }
            if swallows {
                self.touch();
                lost = true;
                if length == 0 {
                    // Its end is lost as well: wait for what comes.
                    let _ = mode.changed().await;
                }
                continue;
            }
            last_due = self.due(now, length, last_due);
            let bytes = buffer[..length].to_vec();
            if sender.send(Chunk { bytes, due: last_due }).await.is_err() {
                return Ok(End::Reset);
            }
        }
    }

    fn due(&self, mode: Mode, length: usize, last: Instant) -> Instant {
        let now = Instant::now();
        match mode {
            Mode::Delay(fixed, jitter) => {
                self.touch();
                // Multiples of the golden ratio are spread evenly, and need no generator.
                let part = (self.touched() as f64 * 0.618_033_988_75).fract();
                last.max(now + fixed + jitter.mul_f64(part))
            }
            Mode::Bandwidth(bytes) => {
                self.touch();
                last.max(now) + Duration::from_secs_f64(length as f64 / bytes.max(1) as f64)
            }
            _ => last.max(now),
        }
    }

    async fn write(&self, mut to: impl AsyncWrite + Unpin, mut receiver: mpsc::Receiver<Chunk>) -> io::Result<()> {
        while let Some(chunk) = receiver.recv().await {
            if chunk.due > Instant::now() {
                tokio::time::sleep_until(chunk.due).await;
            }
            to.write_all(&chunk.bytes).await?;
            to.flush().await?;
        }
        to.shutdown().await
    }
}
