//! What a call sends: nothing, one buffer, or a stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// The body of a call.
pub(super) enum Payload {
    /// All of it, at once.
    Full(Option<Bytes>),
    /// Pieces as they come; none is the body's end. An error breaks the connection, and so does a channel that closes before the
    /// end: its sender was dropped half way, and what was sent is not the whole.
    Stream(mpsc::Receiver<io::Result<Option<Bytes>>>),
}

impl Payload {
    /// All of a body, which may be empty.
    pub(super) fn full(bytes: Bytes) -> Self {
        Self::Full(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let receiver = match this {
            Self::Full(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(receiver) => receiver,
        };
        let piece = std::task::ready!(receiver.poll_recv(cx));
        Poll::Ready(match piece {
            Some(Ok(Some(bytes))) => Some(Ok(Frame::data(bytes))),
            Some(Ok(None)) => {
                *this = Self::Full(None);
                None
            }
            Some(Err(error)) => Some(Err(error)),
            None => Some(Err(io::Error::other("the body was given up before its end"))),
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_body_ends_where_its_sender_says_so_and_breaks_off_where_it_is_dropped() {
        for ends in [true, false] {
            let (sender, receiver) = mpsc::channel(2);
            sender.send(Ok(Some(Bytes::from_static(b"half")))).await.expect("room");
            if ends {
                sender.send(Ok(None)).await.expect("room");
            }
            drop(sender);
            let mut body = Payload::Stream(receiver);
            let piece = body.frame().await.expect("a frame").expect("a piece");
            assert_eq!(piece.into_data().expect("data"), "half");
            match body.frame().await {
                None => assert!(ends && body.is_end_stream(), "half of a body is not the whole"),
                Some(frame) => assert!(!ends && frame.is_err()),
            }
        }
    }
}
