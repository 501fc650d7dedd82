//! The messages in the frames, in our own versioned structs, and their way to and from openraft's.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use openraft::errors::{RPCError, Unreachable};

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
    VoteResponse,
};
use serde::{Deserialize, Serialize};

use super::frame::{FrameWriter, Kind};
use crate::codec::{LogIdV1, MarkV1, VoteV1, decode_entry, decode_head, encode_entry_into, encode_into, entry_size_hint};
use crate::typ::Types;

/// The head of an append request; the entries follow, each with its length (u32) in front.
#[derive(Serialize, Deserialize)]
struct AppendHeadV1 {
    vote: VoteV1,
    previous: Option<LogIdV1>,
    committed: Option<LogIdV1>,
    entries: u32,
}

/// The answer to an append request.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AppendReplyV1 {
    /// All of it is durable.
    Matched,
    /// It is durable up to here.
    Partly(Option<LogIdV1>),
    /// The entry before the first one is not there.
    Conflict,
    /// Another leader or candidate is ahead.
    HigherVote(VoteV1),
}

/// A request for a vote, real or hypothetical.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VoteRequestV1 {
    vote: VoteV1,
    last: Option<LogIdV1>,
    transfer: bool,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VoteReplyV1 {
    vote: VoteV1,
    granted: bool,
    last: Option<LogIdV1>,
}

/// The leader hands over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TransferV1 {
    from: VoteV1,
    to: u64,
    last: Option<LogIdV1>,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum TransferReplyV1 {
    Accepted,
    VoteChanged {
        expected: VoteV1,
        actual: VoteV1,
    },
    NotFlushed {
        expected: Option<LogIdV1>,
        actual: Option<LogIdV1>,
    },
}

/// The leader's answer to a follower that wants to read.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReadReplyV1 {
    /// All that was acknowledged is at or below this index.
    Index(u64),
    /// This node does not lead, or cannot prove it now.
    NotLeader,
}

/// The beginning of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotBeginV1 {
    pub(crate) vote: VoteV1,
    pub(crate) mark: MarkV1,
}

/// The answer to the end of a snapshot: the receiver's vote.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotReplyV1 {
    pub(crate) vote: VoteV1,
}

/// A frame with an append request.
pub(crate) fn write_append(group: u64, request: &AppendEntriesRequest<Types>) -> FrameWriter {
    let head = AppendHeadV1 {
        vote: (&request.vote).into(),
        previous: request.prev_log_id.map(Into::into),
        committed: request.leader_commit.map(Into::into),
        entries: u32::try_from(request.entries.len()).unwrap_or(u32::MAX),
    };
    let size: usize = request.entries.iter().map(|entry| 4 + entry_size_hint(entry)).sum();
    let mut writer = FrameWriter::new(Kind::APPEND, group, size + 64);
    let out = writer.payload();
    encode_into(&head, out);
    for entry in &request.entries {
        let start = out.len();
        out.put_u32_le(0);
        encode_entry_into(entry, out);
        let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }
    writer
}

/// The append request in a payload. The payloads of its entries share its bytes.
pub(crate) fn read_append(mut payload: Bytes) -> io::Result<AppendEntriesRequest<Types>> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "decode append request: it is cut short");
    let (head, used): (AppendHeadV1, usize) = decode_head("append request", &payload)?;
    payload.advance(used);
    let mut entries = Vec::with_capacity((head.entries as usize).min(payload.len() / 4));
    for _ in 0..head.entries {
        if payload.len() < 4 {
            return Err(short());
        }
        let length = payload.get_u32_le() as usize;
        if payload.len() < length {
            return Err(short());
        }
        entries.push(decode_entry(&payload.split_to(length))?);
    }
    if !payload.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "decode append request: bytes are left over",
        ));
    }
    Ok(AppendEntriesRequest {
        vote: head.vote.into(),
        prev_log_id: head.previous.map(Into::into),
        leader_commit: head.committed.map(Into::into),
        entries,
    })
}

impl From<AppendEntriesResponse<Types>> for AppendReplyV1 {
    fn from(response: AppendEntriesResponse<Types>) -> AppendReplyV1 {
        match response {
            AppendEntriesResponse::Success => AppendReplyV1::Matched,
            AppendEntriesResponse::PartialSuccess(upto) => AppendReplyV1::Partly(upto.map(Into::into)),
            AppendEntriesResponse::Conflict => AppendReplyV1::Conflict,
            AppendEntriesResponse::HigherVote(vote) => AppendReplyV1::HigherVote((&vote).into()),
        }
    }
}

impl From<AppendReplyV1> for AppendEntriesResponse<Types> {
    fn from(reply: AppendReplyV1) -> AppendEntriesResponse<Types> {
        match reply {
            AppendReplyV1::Matched => AppendEntriesResponse::Success,
            AppendReplyV1::Partly(upto) => AppendEntriesResponse::PartialSuccess(upto.map(Into::into)),
            AppendReplyV1::Conflict => AppendEntriesResponse::Conflict,
            AppendReplyV1::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote.into()),
        }
    }
}

impl From<&VoteRequest<Types>> for VoteRequestV1 {
    fn from(request: &VoteRequest<Types>) -> VoteRequestV1 {
        VoteRequestV1 {
            vote: (&request.vote).into(),
            last: request.last_log_id.map(Into::into),
            transfer: request.leadership_transfer,
        }
    }
}

impl From<VoteRequestV1> for VoteRequest<Types> {
    fn from(request: VoteRequestV1) -> VoteRequest<Types> {
        VoteRequest {
            vote: request.vote.into(),
            last_log_id: request.last.map(Into::into),
            leadership_transfer: request.transfer,
        }
    }
}

impl From<VoteResponse<Types>> for VoteReplyV1 {
    fn from(response: VoteResponse<Types>) -> VoteReplyV1 {
        VoteReplyV1 {
            vote: (&response.vote).into(),
            granted: response.vote_granted,
            last: response.last_log_id.map(Into::into),
        }
    }
}

impl From<VoteReplyV1> for VoteResponse<Types> {
    fn from(reply: VoteReplyV1) -> VoteResponse<Types> {
        VoteResponse {
            vote: reply.vote.into(),
            vote_granted: reply.granted,
            last_log_id: reply.last.map(Into::into),
        }
    }
}

impl From<&TransferLeaderRequest<Types>> for TransferV1 {
    fn from(request: &TransferLeaderRequest<Types>) -> TransferV1 {
        TransferV1 {
            from: request.from_leader().into(),
            to: *request.to_node_id(),
            last: request.last_log_id().map(|id| (*id).into()),
        }
    }
}

impl From<TransferV1> for TransferLeaderRequest<Types> {
    fn from(request: TransferV1) -> TransferLeaderRequest<Types> {
        TransferLeaderRequest::new(request.from.into(), request.to, request.last.map(Into::into))
    }
}

impl From<TransferLeaderResponse<Types>> for TransferReplyV1 {
    fn from(response: TransferLeaderResponse<Types>) -> TransferReplyV1 {
        match response {
            Ok(()) => TransferReplyV1::Accepted,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => TransferReplyV1::VoteChanged {
                expected: (&expected).into(),
                actual: (&actual).into(),
            },
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => TransferReplyV1::NotFlushed {
                expected: expected.map(Into::into),
                actual: actual.map(Into::into),
            },
        }
    }
}

impl From<TransferReplyV1> for TransferLeaderResponse<Types> {
    fn from(reply: TransferReplyV1) -> TransferLeaderResponse<Types> {
        match reply {
            TransferReplyV1::Accepted => Ok(()),
            TransferReplyV1::VoteChanged { expected, actual } => Err(TransferLeaderError::VoteChanged {
                expected: expected.into(),
                actual: actual.into(),
            }),
            TransferReplyV1::NotFlushed { expected, actual } => Err(TransferLeaderError::LogNotFlushed {
                expected: expected.map(Into::into),
                actual: actual.map(Into::into),
            }),
        }
    }
}

/// Says to openraft that a peer did not answer; it then pauses before it tries again.
pub(crate) fn unreachable(why: impl std::fmt::Display) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::from_string(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::frame::take_frame;
    use super::*;
    use crate::codec::encode;
    use crate::typ::{Payload, RaftEntry};
    use bytes::BytesMut;
    use openraft::EntryPayload;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    const ID: LogIdV1 = LogIdV1 {
        term: 3,
        node: 2,
        index: 7,
    };
    const VOTE: VoteV1 = VoteV1 {
        term: 3,
        node: 2,
        committed: true,
    };

    /// These bytes are between versions. A test that fails here needs a new version or kind, not new bytes.
    #[test]
    fn messages_have_these_bytes() {
        assert_eq!(
            hex(&encode(&VoteRequestV1 {
                vote: VOTE,
                last: Some(ID),
                transfer: true
            })),
            "010302010103020701"
        );
        assert_eq!(
            hex(&encode(&VoteReplyV1 {
                vote: VOTE,
                granted: true,
                last: None
            })),
            "010302010100"
        );
        assert_eq!(
            hex(&encode(&TransferV1 {
                from: VOTE,
                to: 1,
                last: Some(ID)
            })),
            "010302010101030207"
        );
        assert_eq!(hex(&encode(&TransferReplyV1::Accepted)), "0100");
        assert_eq!(hex(&encode(&AppendReplyV1::Matched)), "0100");
        assert_eq!(hex(&encode(&AppendReplyV1::Partly(Some(ID)))), "010101030207");
        assert_eq!(hex(&encode(&AppendReplyV1::Conflict)), "0102");
        assert_eq!(hex(&encode(&AppendReplyV1::HigherVote(VOTE))), "0103030201");
        assert_eq!(hex(&encode(&ReadReplyV1::Index(9))), "010009");
        assert_eq!(hex(&encode(&ReadReplyV1::NotLeader)), "0101");
        assert_eq!(hex(&encode(&SnapshotReplyV1 { vote: VOTE })), "01030201");
    }

    #[test]
    fn an_append_request_comes_back_as_it_was() {
        let entry = |index, payload| RaftEntry {
            log_id: LogIdV1 { index, ..ID }.into(),
            payload,
        };
        let request = AppendEntriesRequest::<Types> {
            vote: VOTE.into(),
            prev_log_id: Some(ID.into()),
            leader_commit: Some(ID.into()),
            entries: vec![
                entry(8, EntryPayload::Blank),
                entry(9, EntryPayload::Normal(Payload(Bytes::from_static(b"hi")))),
                entry(10, EntryPayload::Normal(Payload(Bytes::new()))),
            ],
        };
        let mut sealed = BytesMut::from(&write_append(5, &request).seal(1)[..]);
        let frame = take_frame(&mut sealed).unwrap().unwrap();
        let golden = "01030201010302070103020703050000000100030208070000000101030209686905000000010103020a";
        assert_eq!(hex(&frame.payload), golden);
        let read = read_append(frame.payload.clone()).unwrap();
        assert_eq!(
            (read.vote, read.prev_log_id, read.leader_commit),
            (request.vote, request.prev_log_id, request.leader_commit)
        );
        assert_eq!(read.entries, request.entries);
        for cut in 0..frame.payload.len() {
            assert!(read_append(frame.payload.slice(..cut)).is_err(), "cut at {cut}");
        }
    }
}
