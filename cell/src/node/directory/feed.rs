//! What a voter tells nodes that keep a copy of the directory: each change, as soon as it is applied here.
//!
//! One stream a node: `'D' | position u64`, the position of its copy, answered by frames, each `length u32 | sealed frame`, for as long
//! as both are there. Numbers are big-endian. What a copy lacks comes in one frame; where that is too much, or not known any more, it is
//! told to fetch the whole state (`node::transfer`) and to come again. A frame comes at least every two seconds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::directory::changes::{self, Delta};
use crate::machine::envelope::{open, seal};
use crate::node::platform::Platform;
use crate::node::replica::Replica;

/// The first byte of a stream of changes.
pub(crate) const MARK: u8 = b'D';
/// Longest time between two frames.
const ALIVE: Duration = Duration::from_secs(2);
/// Longest time in which nothing comes before the other side is taken for gone.
const SILENCE: Duration = Duration::from_secs(6);
/// Largest frame, in bytes.
const FRAME_BYTES: u32 = 16 * 1024 * 1024;

/// One frame. Variants are appended, never moved.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Frame {
    /// Nothing has changed; who leads.
    Alive(Option<u64>),
    /// What has changed; who leads.
    Changed(Option<u64>, Delta),
    /// Fetch the whole state and come again.
    Whole,
}

impl Platform {
    /// Serves one stream of changes whose mark has been read.
    pub(crate) async fn serve_feed(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut at = stream.read_u64().await?;
        let replica = self.directory.seat().and_then(|slot| slot.get());
        let replica = replica.ok_or_else(|| io::Error::other("this node has no replica of the directory"))?;
        loop {
            if let Some(why) = replica.group.stopped() {
                return Err(io::Error::other(why));
            }
            let seen = replica.group.applied();
            let frame = next(&replica, at)?;
            let whole = matches!(frame, Frame::Whole);
            if let Frame::Changed(_, delta) = &frame {
                at = delta.position;
            }
            let bytes = seal(&frame);
            let sent = async {
                stream.write_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).await?;
                stream.write_all(&bytes).await?;
                stream.flush().await
            };
            timeout(SILENCE, sent).await??;
            if whole {
                return Ok(());
            }
            replica.group.wait_applied(seen + 1, ALIVE).await;
        }
    }
}

/// What a copy at a position is told now.
fn next(replica: &Arc<Replica>, at: u64) -> io::Result<Frame> {
    let snapshot = replica.store.begin_read();
    let leader = replica.group.leader().map(|node| node.0);
    let position = changes::position(&snapshot).map_err(io::Error::other)?;
    // A replica that is behind the copy has nothing to tell yet.
    if position <= at {
        return Ok(Frame::Alive(leader));
    }
    let delta = changes::since(&snapshot, at).map_err(io::Error::other)?;
    Ok(delta.map_or(Frame::Whole, |delta| Frame::Changed(leader, delta)))
}

/// The next frame of a stream.
pub(super) async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let length = timeout(SILENCE, stream.read_u32()).await??;
    if length > FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too long"));
    }
    let mut bytes = vec![0; length as usize];
    timeout(SILENCE, stream.read_exact(&mut bytes)).await??;
    open(&bytes).map_err(io::Error::other)
}
