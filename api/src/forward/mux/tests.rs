use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};

use super::frame::{self, Frame};
use super::link::{Answer, Outgoing};
use super::waiting::{self, Patience};
use super::{FRAME_BYTES, PIECE_BYTES};

/// The asking side of a stream, the other side of it, and the way to send requests.
fn stream() -> (mpsc::Sender<Outgoing>, DuplexStream) {
    stream_with(waiting::PATIENCE)
}

fn stream_with(patience: Patience) -> (mpsc::Sender<Outgoing>, DuplexStream) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (sender, requests) = mpsc::channel(16);
    tokio::spawn(waiting::run(near, requests, patience));
    (sender, far)
}

fn outgoing(name: &'static str) -> (Outgoing, oneshot::Receiver<Answer>) {
    let (reply, answer) = oneshot::channel();
    (
        Outgoing {
            frame: sent(name),
            reply,
        },
        answer,
    )
}

async fn next(far: &mut DuplexStream) -> Frame {
    let mut arrived = BytesMut::new();
    loop {
        if let Some(frame) = Frame::take(&mut arrived).expect("well formed") {
            return frame;
        }
        assert!(far.read_buf(&mut arrived).await.expect("read") > 0, "the stream has ended");
    }
}

#[tokio::test]
async fn a_node_that_leaves_is_believed_though_nothing_can_be_written_any_more() {
    for _ in 0..20 {
        let (sender, mut far) = stream();
        let (taken, answer) = outgoing("taken");
        sender.send(taken).await.expect("sent");
        next(&mut far).await;
        let (crosses, crossed) = outgoing("crosses");
        sender.send(crosses).await.expect("sent");
        let reply = Response::builder().status(201).body(()).expect("a head");
        let mut said = frame::leaving(1);
        said.extend(
            frame::reply(1, &reply.into_parts().0, &Bytes::new())
                .expect("a frame")
                .remove(0),
        );
        far.write_all(&said).await.expect("said");
        drop(far);
        assert!(matches!(answer.await, Ok(Answer::Replied(head, _)) if head.status == 201));
        assert!(matches!(crossed.await, Ok(Answer::Unsent)), "it was not taken");
    }
}

/// Ends with the test's deadline, not with the stream's.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("in time")
}

#[tokio::test]
async fn a_node_that_falls_silent_does_not_keep_those_who_wait() {
    let patience = Patience {
        silence: Duration::from_millis(100),
        ..waiting::PATIENCE
    };
    for leaves in [false, true] {
        let (sender, mut far) = stream_with(patience);
        let (taken, answer) = outgoing("taken");
        sender.send(taken).await.expect("sent");
        next(&mut far).await;
        if leaves {
            far.write_all(&frame::leaving(1)).await.expect("said");
        }
        assert!(soon(answer).await.is_err(), "nobody knows what became of it");
        soon(sender.closed()).await;
    }
}

#[tokio::test]
async fn a_stream_that_nobody_uses_is_closed_and_one_that_somebody_waits_at_is_not() {
    let patience = Patience {
        idle: Duration::from_millis(20),
        ..waiting::PATIENCE
    };
    let (sender, mut far) = stream_with(patience);
    let (taken, mut answer) = outgoing("taken");
    sender.send(taken).await.expect("sent");
    next(&mut far).await;
    let much_later = tokio::time::timeout(10 * patience.idle, far.read(&mut [0; 1])).await;
    assert!(much_later.is_err() && answer.try_recv().is_err() && !sender.is_closed());
    far.write_all(&frame::broken(1)).await.expect("said");
    assert!(matches!(soon(answer).await, Ok(Answer::Broken)));
    assert_eq!(soon(far.read(&mut [0; 1])).await.expect("an end"), 0);
    soon(sender.closed()).await;
}

#[tokio::test]
async fn a_node_that_took_what_was_never_sent_is_not_believed() {
    for last in [2, u64::MAX] {
        let (sender, mut far) = stream();
        let (taken, answer) = outgoing("taken");
        sender.send(taken).await.expect("sent");
        next(&mut far).await;
        far.write_all(&frame::leaving(last)).await.expect("said");
        assert!(answer.await.is_err(), "nobody knows what became of it");
    }
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_sent() {
    let (sender, mut far) = stream();
    let (given_up, answer) = outgoing("given up");
    let (waited_for, _answer) = outgoing("waited for");
    drop(answer);
    sender.send(given_up).await.expect("sent");
    sender.send(waited_for).await.expect("sent");
    let Frame::Request(1, head, _) = next(&mut far).await else {
        panic!("another number")
    };
    assert_eq!(head.headers["a"], "waited for");
}

fn sent(name: &'static str) -> BytesMut {
    let request = Request::post("/v1/tenants/acme/records/tasks?x=1").header("a", name).body(());
    let mut frame = frame::request(&request.expect("a request"), b"{}").expect("a frame");
    frame::set_number(&mut frame, 7);
    frame
}

#[test]
fn a_request_is_written_as_other_versions_read_it() {
    let wanted = [
        b"\0\0\0\x3a\x01\0\0\0\0\0\0\0\x07\x04POST\0\x22/v1/tenants/acme/records/tasks?x=1".as_slice(),
        b"\x01\x01a\0\x01b{}",
    ];
    assert_eq!(sent("b"), wanted.concat().as_slice());
}

#[test]
fn frames_come_whole_whatever_arrives_at_a_time() {
    let mut all = sent("first");
    all.extend_from_slice(&sent("second"));
    let mut arrived = BytesMut::new();
    let mut seen = Vec::new();
    for byte in all {
        arrived.extend_from_slice(&[byte]);
        while let Some(frame) = Frame::take(&mut arrived).expect("well formed") {
            let Frame::Request(7, head, body) = frame else {
                panic!("{frame:?}")
            };
            assert_eq!(
                (head.method.as_str(), head.uri.path(), body.as_ref()),
                ("POST", "/v1/tenants/acme/records/tasks", b"{}".as_slice())
            );
            seen.push(head.headers["a"].clone());
        }
    }
    assert_eq!(seen, [HeaderValue::from_static("first"), HeaderValue::from_static("second")]);
}

#[test]
fn a_reply_goes_in_as_many_pieces_as_it_takes() {
    for (bytes, pieces) in [(0, 1), (PIECE_BYTES, 1), (PIECE_BYTES + 1, 2), (5 * PIECE_BYTES, 5)] {
        let head = Response::builder()
            .status(201)
            .header("etag", "\"1\"")
            .body(())
            .expect("a head");
        let frames = frame::reply(9, &head.into_parts().0, &Bytes::from(vec![b'x'; bytes])).expect("frames");
        assert_eq!(frames.len(), pieces);
        let mut arrived: BytesMut = frames.into_iter().flatten().collect();
        let (mut length, mut lasts) = (0, Vec::new());
        while let Some(frame) = Frame::take(&mut arrived).expect("well formed") {
            match frame {
                Frame::Reply(9, head, piece, is_last) => {
                    assert_eq!(
                        (head.status.as_u16(), &head.headers["etag"]),
                        (201, &HeaderValue::from_static("\"1\""))
                    );
                    length += piece.len();
                    lasts.push(is_last);
                }
                Frame::Piece(9, piece, is_last) => {
                    length += piece.len();
                    lasts.push(is_last);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            (length, lasts.iter().filter(|last| **last).count(), lasts.last()),
            (bytes, 1, Some(&true))
        );
    }
}

#[test]
fn what_is_too_long_is_not_sent_and_what_is_not_well_formed_is_not_taken() {
    let long = Request::get("/").header("a", "x".repeat(70_000)).body(()).expect("a request");
    assert!(frame::request(&long, b"").is_none());
    let large = Request::get("/").body(()).expect("a request");
    assert!(frame::request(&large, &vec![0; FRAME_BYTES]).is_none());
    let too_long = u32::try_from(FRAME_BYTES + 1).expect("a length").to_be_bytes();
    let whole = sent("b");
    let cut = |bytes: usize| {
        let mut short = whole[..bytes].to_vec();
        short[..4].copy_from_slice(&u32::try_from(bytes - 4).expect("a length").to_be_bytes());
        short
    };
    // All but the body is needed.
    let cuts = (4..whole.len() - 2).map(cut);
    for wrong in cuts.chain([too_long.to_vec(), b"\0\0\0\x09\x09\0\0\0\0\0\0\0\0".to_vec()]) {
        let mut arrived = BytesMut::from(wrong.as_slice());
        assert!(Frame::take(&mut arrived).is_err(), "{wrong:?}");
    }
}
