//! Write progress: a client that reads nothing does not hold a reply for ever.
//!
//! Whoever asks for a lot and then does not read keeps buffers, a connection and, for streams, a producer. Nothing else ends
//! that: the time of a request ends with its head, and a stream has no limit. So the stream under the connection counts how long
//! it has had bytes to write of which none could be written, and fails when that is too long.
//!
//! CAVEAT: progress is what the system's send buffer takes, not what the client's program reads; a client that reads steadily
//! but very slowly (less than a third of that buffer in the time) looks like one that does not read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A stream whose writes fail when there is no progress for too long.
#[derive(Debug)]
pub(super) struct Progress<S> {
    stream: S,
    within: Duration,
    /// Runs while a write waits. It is kept for the next wait.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl<S> Progress<S> {
    /// A stream whose writes wait at most `within`.
    pub(super) fn new(stream: S, within: Duration) -> Self {
        Self {
            stream,
            within,
            timer: None,
            waiting: false,
        }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = false;
            return polled;
        }
        let within = self.within;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        if !std::mem::replace(&mut self.waiting, true) {
            timer.as_mut().reset(Instant::now() + within);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let detail = format!("the client took nothing for {within:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, detail)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Progress<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Progress<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.judge(cx, polled)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.judge(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(cx);
        this.judge(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.judge(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_write_that_is_never_taken_fails_and_one_that_is_taken_in_pieces_does_not() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut near = Progress::new(near, Duration::from_secs(1));
        let reading = tokio::spawn(async move {
            let mut looks = tokio::time::interval(Duration::from_millis(10));
            let mut read = Vec::new();
            while read.len() < 1_200 {
                looks.tick().await;
                let mut piece = [0; 8];
                let count = far.read(&mut piece).await.expect("a piece");
                read.extend_from_slice(&piece[..count]);
            }
            far
        });
        // Taken slowly, but taken: far longer than the limit in all.
        near.write_all(&[1; 1_200]).await.expect("taken");
        let _far = reading.await.expect("a reader");
        let error = near.write_all(&[1; 9]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
