//! What a connection speaks where no handshake has said so: HTTP/2, and the streams that nodes share, begin with a preface that no request of HTTP/1
//! has.
//!
//! What is read to find out is read again by the one that serves the connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What a client sends first over HTTP/2 (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads until it is clear whether a connection begins with a preface; true: it does. One that says nothing has no deadline here.
pub(super) async fn sniff<S: AsyncRead + Unpin>(mut stream: S, preface: &[u8]) -> io::Result<(bool, Prefixed<S>)> {
    let mut seen = vec![0; preface.len()];
    let mut length = 0;
    while length < seen.len() && preface.starts_with(&seen[..length]) {
        let count = stream.read(&mut seen[length..]).await?;
        if count == 0 {
            break;
        }
        length += count;
    }
    let prefix = Bytes::copy_from_slice(&seen[..length]);
    Ok((prefix == preface, Prefixed { prefix, stream }))
}

/// A stream of which something has been read already. It comes together with what is there by then: who reads a head in one piece needs half the
/// buffer, for as long as the connection lives, of one who gets its first byte alone.
#[derive(Debug)]
pub(super) struct Prefixed<S> {
    prefix: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let count = this.prefix.len().min(buffer.remaining());
        buffer.put_slice(&this.prefix[..count]);
        this.prefix.advance(count);
        if buffer.remaining() > 0
            && let Poll::Ready(Err(error)) = Pin::new(&mut this.stream).poll_read(cx, buffer)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn what_was_read_comes_together_with_what_is_there() {
        let (mut near, far) = tokio::io::duplex(1_024);
        near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
        let (_, mut stream) = sniff(far, PREFACE).await.expect("a stream");
        let mut buffer = [0; 100];
        assert_eq!(stream.read(&mut buffer).await.expect("read"), 18);
    }

    #[tokio::test]
    async fn what_was_read_to_find_out_is_read_again() {
        let preface_and_more = [PREFACE, b"more"].concat();
        let cases: [(&[u8], bool); 6] = [
            (b"GET / HTTP/1.1\r\n\r\n", false),
            (b"PUT / HTTP/1.1\r\n\r\n", false),
            (b"PRI * HTTP/2.0\r\n\r\nSM", false),
            (b"P", false),
            (b"", false),
            (&preface_and_more, true),
        ];
        for (sent, second) in cases {
            let (mut near, far) = tokio::io::duplex(1_024);
            // In two pieces, because the network may cut anywhere.
            let writing = async {
                for piece in sent.chunks(3) {
                    near.write_all(piece).await.expect("sent");
                }
                drop(near);
            };
            let (sniffed, ()) = tokio::join!(sniff(far, PREFACE), writing);
            let (is_second, mut stream) = sniffed.expect("a stream");
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.expect("read");
            assert_eq!(
                (is_second, read.as_slice()),
                (second, sent),
                "{:?}",
                String::from_utf8_lossy(sent)
            );
        }
    }
}
