//! Connections against peers that send anything.

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{Frame, Kind, frame, take_frame};
use super::greeting::HelloV1;
use super::message::{
    AppendReplyV1, ReadReplyV1, SnapshotBeginV1, SnapshotReplyV1, TransferReplyV1, TransferV1, VoteReplyV1, VoteRequestV1,
    read_append, write_append,
};
use crate::codec::{MarkV1, MembershipV1, decode, decode_entry, encode, encode_entry, read_mark};
use crate::limits::FRAME_BYTES_MAX;

/// Reads the bytes as what arrives on a connection, frame after frame. What is taken is what `frame` would write.
pub(crate) fn frames(data: &[u8]) {
    let mut received = BytesMut::from(data);
    loop {
        let before = received.len();
        match take_frame(&mut received) {
            Ok(Some(taken)) => {
                let length = before - received.len();
                assert!(length <= FRAME_BYTES_MAX + 4, "a frame of {length} bytes");
                let written = frame(taken.kind, taken.group, taken.request, &taken.payload);
                assert_eq!(written[..], data[data.len() - before..data.len() - received.len()]);
                messages(&taken.payload);
            }
            Ok(None) => {
                assert_eq!(received.len(), before, "what is not whole is left as it is");
                return;
            }
            Err(_) => return,
        }
    }
}

/// Reads the bytes as the payload of every kind of frame.
pub(crate) fn messages(payload: &Bytes) {
    stays::<HelloV1>(payload);
    stays::<VoteRequestV1>(payload);
    stays::<VoteReplyV1>(payload);
    stays::<TransferV1>(payload);
    stays::<TransferReplyV1>(payload);
    stays::<ReadReplyV1>(payload);
    stays::<AppendReplyV1>(payload);
    stays::<SnapshotBeginV1>(payload);
    stays::<SnapshotReplyV1>(payload);
    stays::<MembershipV1>(payload);
    stays::<MarkV1>(payload);
    // What is refused for what it says, and not for its bytes, is refused here.
    if let Ok(begin) = decode::<SnapshotBeginV1>("snapshot", payload) {
        let _ = begin.mark.into_raft();
    }
    let _ = read_mark(&crate::Mark {
        index: 1,
        state: payload.to_vec(),
    });
    if let Ok(entry) = decode_entry(payload) {
        let again = decode_entry(&encode_entry(&entry)).unwrap_or_else(|error| panic!("an entry that was encoded: {error}"));
        assert_eq!(again, entry);
    }
    if let Ok(request) = read_append(payload.clone()) {
        let sealed = write_append(1, &request).seal(1);
        let Ok(Some(Frame { kind, payload, .. })) = take_frame(&mut BytesMut::from(&sealed[..])) else {
            panic!("a frame that was sealed is none");
        };
        assert_eq!(kind, Kind::APPEND);
        let again = read_append(payload).unwrap_or_else(|error| panic!("a request that was written: {error}"));
        assert_eq!(again.entries, request.entries);
    }
}

/// What decodes encodes to what decodes to the same.
fn stays<T: Serialize + DeserializeOwned>(payload: &Bytes) {
    let Ok(value) = decode::<T>("message", payload) else { return };
    let again = encode(&value);
    let back: T = decode("message", &again).unwrap_or_else(|error| panic!("a message that was encoded: {error}"));
    assert_eq!(encode(&back), again);
}
