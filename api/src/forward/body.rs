//! The body of a request, on its way to another node.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::read::RequestBody;

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        match this {
            Self::Waiting(incoming) => Pin::new(incoming).poll_frame(cx),
            Self::Kept(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Gone;
                Poll::Ready(
                    Some(bytes)
                        .filter(|bytes| !bytes.is_empty())
                        .map(|bytes| Ok(Frame::data(bytes))),
                )
            }
            Self::Gone => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Waiting(incoming) => incoming.is_end_stream(),
            Self::Kept(bytes) => bytes.is_empty(),
            Self::Gone => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Waiting(incoming) => incoming.size_hint(),
            Self::Kept(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Gone => SizeHint::with_exact(0),
        }
    }
}
