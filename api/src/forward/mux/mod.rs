//! Many requests over one stream between two nodes.
//!
//! A connection for each request that is under way costs both nodes a wake-up, a system call and a TLS record for each head and each
//! reply. Here the requests of all clients to one node share a stream: what has come together while the last write was on its way is written
//! together, and so are the replies, in whatever order they are ready. Bodies are small ([`BODY_BYTES`]) or not sent this way at all; a reply
//! that is larger than a piece goes in pieces between those of others.
//!
//! The stream is one that would carry HTTP/1. It begins with [`PREFACE`], which no request of HTTP does, and the other side says the same
//! before anything is sent: an older node answers it with a refusal, and is spoken to by HTTP/1. A node that leaves says up to which request it has
//! taken them; what came after had no effect and is sent elsewhere. A stream that breaks leaves open what became of all that were under way.
//!
//! Both ends are nodes of one region that have proven it to each other. Lengths are bounded all the same, and what is not well formed ends the
//! stream.

mod frame;
mod link;
mod serve;
mod waiting;

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt};

pub(crate) use self::link::{Answer, Links};
pub(crate) use self::serve::serve;

/// What both sides say first: the version is the digit.
pub(crate) const PREFACE: &[u8] = b"\0cloudnest requests 1\n";
/// Largest body of a request that goes this way, in bytes. Raised: small requests wait behind large ones. Lowered: batches take connections.
pub(crate) const BODY_BYTES: usize = 64 * 1024;
/// Largest piece of a reply, in bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// Largest frame, in bytes: a head that HTTP/1 would take, with what ingress adds, and a body or a piece.
const FRAME_BYTES: usize = 2 * crate::limits::HEAD_BYTES + 64 * 1024 + 4 * 1024;
/// Most requests of one stream that are under way. Raised: a node takes more than it can serve. Lowered: ingress waits.
const UNDER_WAY: usize = 4_096;
/// How much is read at a time at least, in bytes. Raised: a body that is kept holds more. Lowered: frames come one by one.
const READ_BYTES: usize = 16 * 1024;
/// How long one side hears the other out when all is said.
const GOODBYE: Duration = Duration::from_secs(1);
/// Frames that are written together.
const BATCH: usize = 256;
/// What is kept to write from. A larger one is given back after it was used.
const KEPT_BYTES: usize = 256 * 1024;

/// Writes frames together, from a buffer that is kept for the next time.
async fn write_together<W: AsyncWrite + Unpin>(writes: &mut W, frames: &mut Vec<BytesMut>, out: &mut BytesMut) -> io::Result<()> {
    out.reserve(frames.iter().map(BytesMut::len).sum());
    frames.drain(..).for_each(|frame| out.extend_from_slice(&frame));
    writes.write_all(out).await?;
    writes.flush().await?;
    out.clear();
    if out.capacity() > KEPT_BYTES {
        *out = BytesMut::new();
    }
    Ok(())
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::frame::Frame;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
