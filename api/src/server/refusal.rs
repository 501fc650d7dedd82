//! Heads that hyper refuses by itself: answered with a problem all the same.
//!
//! hyper answers what it cannot read (400), a line that is too long (414) and a head that is too large (431) before anybody else has
//! seen it, with a head of its own and no body, and then closes. That head is the last that it writes, and it is the only one without
//! an `x-request-id`: every reply of the front has one. So it is recognised on its way to the socket, and exchanged.
//!
//! CAVEAT: this depends on how hyper writes that head. If that changes, clients get the bare status again, and a test says so.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::{Code, Error};
use crate::front::Front;
use crate::problem::{MEDIA_TYPE, Problem};
use crate::service::Timing;
use crate::trace::Trace;

/// Longest head that hyper makes up, in bytes.
const HEAD_BYTES: usize = 200;
const START: &[u8] = b"HTTP/1.1 4";

/// A reply with one problem, which is the connection's last.
pub(super) fn last_reply(error: &Error) -> Vec<u8> {
    let problem = Problem::of(error);
    let (status, body) = (problem.status, problem.to_json());
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let again = if status == 503 { "retry-after: 1\r\n" } else { "" };
    let mut reply = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: {MEDIA_TYPE}\r\n{again}cache-control: no-store\r\nx-content-type-options: nosniff\r\n\
         x-request-id: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        reason.unwrap_or_default(),
        Trace::of(&HeaderMap::new()).request_id(),
        body.len()
    )
    .into_bytes();
    reply.extend_from_slice(&body);
    reply
}

/// A stream on which bare refusals become problems.
pub(super) struct Refusals<S> {
    stream: S,
    front: Arc<Front>,
    /// What is written in place of a refusal.
    own: Bytes,
}

impl<S: AsyncWrite + Unpin> Refusals<S> {
    pub(super) fn new(stream: S, front: &Arc<Front>) -> Self {
        Self {
            stream,
            front: Arc::clone(front),
            own: Bytes::new(),
        }
    }

    /// Writes what is left of a problem.
    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.own.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.own))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.own.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes bytes that end with a refusal; false: they do not.
    fn exchange(&mut self, bytes: &[u8]) -> bool {
        let Some((start, status)) = refusal(bytes) else { return false };
        let error = match status {
            414 => Error::new(Code::UriTooLong, "the request's path and query are too long"),
            431 => Error::new(Code::HeadersTooLarge, "the request's head has too many or too large headers"),
            _ => Error::new(Code::MalformedRequest, "the request's head is not well-formed HTTP"),
        };
        self.front.metrics.finish(None, status, Duration::ZERO, &Timing::default());
        self.own = [&bytes[..start], &last_reply(&error)].concat().into();
        true
    }
}

/// Where a refusal of hyper's begins, if bytes end with one, and its status.
fn refusal(bytes: &[u8]) -> Option<(usize, u16)> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = bytes.len().saturating_sub(HEAD_BYTES);
    let tail = &bytes[from..];
    let start = tail.windows(START.len()).rposition(|window| window == START)?;
    let head = std::str::from_utf8(&tail[start..]).ok()?;
    if head.contains("x-request-id") || !head.contains("\r\ncontent-length: 0\r\n") {
        return None;
    }
    let status = head.get(9..12)?.parse().ok()?;
    matches!(status, 400 | 414 | 431).then_some((from + start, status))
}

impl<S: AsyncRead + Unpin> AsyncRead for Refusals<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Refusals<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_own(cx))?;
        if this.exchange(bytes) {
            // What does not go out now goes out when it is flushed.
            return match this.poll_own(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Ready(Ok(bytes.len())),
            };
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // A refusal has no body, so that it comes alone.
        if let [only] = bytes {
            return self.poll_write(cx, only);
        }
        let this = self.get_mut();
        ready!(this.poll_own(cx))?;
        Pin::new(&mut this.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_own(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_own(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_head_that_hyper_made_up_is_a_refusal() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(refusal(bare.as_bytes()), Some((0, 431)));
        let ours = "HTTP/1.1 204 No Content\r\nx-request-id: 1\r\n\r\n";
        assert_eq!(refusal(format!("{ours}{bare}").as_bytes()), Some((ours.len(), 431)));
        for other in [
            ours,
            "HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 10\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nbody",
            "HTTP/1.1 4\r\ncontent-length: 0\r\n\r\n",
            "",
        ] {
            assert_eq!(refusal(other.as_bytes()), None, "{other:?}");
        }
    }
}
