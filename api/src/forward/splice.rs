//! WebSockets through this node: both connections are turned over, and bytes go from one to the other.
//!
//! Where this node drains, its clients must go, though all is well at the other node. So the way from the client is followed frame by
//! frame, and between two messages this node says what the client would say if it wanted to go: `leave`, after which the other node
//! tells the client to resume, or, where that has no meaning, that it closes.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Attempt, strip};
use crate::front::Asked;
use crate::reply::ReplyBody;
use crate::routes::table::Endpoint;
use crate::server::Phase;

/// What is read at a time, in bytes, each way.
const PIECE_BYTES: usize = 4 * 1024;
/// A text of 16 bytes under a mask of zeros.
const LEAVE: &[u8] = b"\x81\x90\0\0\0\0{\"type\":\"leave\"}";

/// A close under a mask of zeros: the service restarts.
const CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xf4";

/// What this node says where it lets go of a connection; none: the route is none of WebSockets.
fn farewell(asked: &Asked<'_>) -> Option<&'static [u8]> {
    match asked.found.route.endpoint {
        Endpoint::Live => Some(LEAVE),
        Endpoint::Document => Some(CLOSE),
        _ => None,
    }
}

/// Whether a request is for a WebSocket.
pub(super) fn is_wanted(asked: &Asked<'_>) -> bool {
    farewell(asked).is_some() && asked.head.extensions.get::<OnUpgrade>().is_some()
}

/// Asks the other node to turn the connection over.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Joins the connection of a client with the one to the node that has turned it over.
pub(super) fn join(asked: &Asked<'_>, response: Response<Incoming>) -> Attempt {
    let near = asked.head.extensions.get::<OnUpgrade>().cloned();
    let (Some(near), Some(farewell)) = (near, farewell(asked)) else {
        return Attempt::Broken;
    };
    let front = asked.front;
    let Some(slot) = front.metrics.keep(front.config.connections) else {
        return Attempt::Unsent;
    };
    let (mut head, far) = {
        let mut response = response;
        let far = hyper::upgrade::on(&mut response);
        (response.into_parts().0, far)
    };
    strip(&mut head.headers);
    ask(&mut head.headers);
    let draining = front.phases.reached(Phase::Draining);
    let within = front.config.head;
    // It counts for its tenant for as long as it is open.
    let client = asked.client.cloned();
    front.sockets.spawn(async move {
        let _kept = (slot, client);
        let both = async { tokio::try_join!(near, far) };
        match tokio::time::timeout(within, both).await {
            Ok(Ok((near, far))) => carry(near, far, draining, farewell).await,
            Ok(Err(error)) => tracing::debug!(%error, "turn a connection over"),
            Err(_) => {}
        }
    });
    Attempt::Answered(Box::new(Response::from_parts(head, ReplyBody::Empty)))
}

/// Carries bytes both ways until one side ends.
async fn carry(near: Upgraded, far: Upgraded, draining: impl Future<Output = ()>, farewell: &'static [u8]) {
    let (mut near_in, mut near_out) = tokio::io::split(TokioIo::new(near));
    let (mut far_in, mut far_out) = tokio::io::split(TokioIo::new(far));
    let there = async {
        let mut frames = Frames::default();
        let mut draining = std::pin::pin!(draining);
        let (mut leaves, mut said) = (false, false);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            if leaves && !said && frames.is_between() {
                far_out.write_all(farewell).await?;
                said = true;
            }
            let count = tokio::select! {
                count = near_in.read(&mut piece) => count?,
                () = &mut draining, if !leaves => {
                    leaves = true;
                    continue;
                }
            };
            if count == 0 {
                return far_out.shutdown().await;
            }
            frames.pass(&piece[..count]);
            far_out.write_all(&piece[..count]).await?;
        }
    };
    let back = async {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = far_in.read(&mut piece).await?;
            if count == 0 {
                return near_out.shutdown().await;
            }
            near_out.write_all(&piece[..count]).await?;
        }
    };
    // The end of the other node is the end of both; the end of the client's way is followed by the other node's.
    let ended = async {
        tokio::pin!(back);
        tokio::select! {
            ended = &mut back => ended,
            ended = there => match ended {
                Ok(()) => back.await,
                Err(error) => Err(error),
            },
        }
    };
    if let Err(error) = ended.await {
        tracing::debug!(%error, "carry a WebSocket");
    }
}

/// Where in the frames of a client its bytes are (RFC 6455, 5.2).
#[derive(Debug, Default)]
struct Frames {
    /// What has come of a head that is not whole yet.
    head: [u8; 14],
    have: usize,
    /// Bytes of the frame that are yet to come.
    left: u64,
    /// A message has more frames to come.
    is_open: bool,
}

impl Frames {
    /// Whether no message is under way.
    fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0 && !self.is_open
    }

    /// Follows bytes.
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.left -= count as u64;
                bytes = &bytes[count..];
                continue;
            }
            self.head[self.have] = bytes[0];
            self.have += 1;
            bytes = &bytes[1..];
            if let Some(length) = self.length() {
                let (is_last, is_control) = (self.head[0] & 0x80 != 0, self.head[0] & 0x08 != 0);
                if !is_control {
                    self.is_open = !is_last;
                }
                self.have = 0;
                self.left = length;
            }
        }
    }

    /// How long the frame's content is; none: its head is not whole.
    fn length(&self) -> Option<u64> {
        if self.have < 2 {
            return None;
        }
        let mask = if self.head[1] & 0x80 != 0 { 4 } else { 0 };
        let (extra, short) = match self.head[1] & 0x7f {
            126 => (2, None),
            127 => (8, None),
            short => (0, Some(u64::from(short))),
        };
        if self.have < 2 + extra + mask {
            return None;
        }
        let long = self.head[2..2 + extra]
            .iter()
            .fold(0, |length, byte| length << 8 | u64::from(*byte));
        Some(short.unwrap_or(long))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(0x80 | length as u8),
            126..65_536 => {
                frame.push(0xfe);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                frame.push(0xff);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[1, 2, 3, 4]);
        frame.extend(std::iter::repeat_n(0xff, length));
        frame
    }

    #[test]
    fn the_place_between_two_messages_is_found_however_bytes_come() {
        for length in [0, 1, 125, 126, 70_000] {
            for piece in [1, 3, 1_000] {
                let mut frames = Frames::default();
                let whole = frame(0x81, length);
                let (last, first) = whole.split_last().expect("bytes");
                for part in first.chunks(piece) {
                    frames.pass(part);
                    assert!(!frames.is_between(), "{length} in {piece}");
                }
                frames.pass(&[*last]);
                assert!(frames.is_between(), "{length} in {piece}");
            }
        }
        let mut frames = Frames::default();
        frames.pass(&frame(0x01, 3));
        assert!(!frames.is_between(), "the message goes on");
        frames.pass(&frame(0x89, 0));
        assert!(!frames.is_between(), "a ping in between");
        frames.pass(&frame(0x80, 3));
        assert!(frames.is_between());
    }

    #[test]
    fn what_this_node_says_is_one_whole_frame() {
        for said in [LEAVE, CLOSE] {
            let mut frames = Frames::default();
            frames.pass(said);
            assert!(frames.is_between());
        }
        assert_eq!(
            serde_json::from_slice::<crate::body::live::LiveAsk>(&LEAVE[6..]).expect("a message"),
            crate::body::live::LiveAsk::Leave {}
        );
    }
}
