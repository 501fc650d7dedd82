//! What is written to the log and sent between nodes, in our own versioned structs.
//!
//! openraft is an alpha whose types may change with any release; a log written by one build must be readable by the next. So its
//! types are mapped here, at the boundary, into structs whose encoding is pinned by golden bytes. Everything starts with a version
//! byte, is decoded with a limit, and must be consumed to its last byte. A payload is never re-encoded: it is the raw rest of an
//! entry, and decoding an entry shares its bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::{BufMut, Bytes, BytesMut};
use openraft::EntryPayload;
use openraft::impls::EmptyNode;
use openraft::vote::RaftVote;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Mark;
use crate::limits::FRAME_BYTES_MAX;
use crate::typ::{LeaderId, LogId, Membership, Payload, RaftEntry, SnapshotMeta, StoredMembership, Vote, index_of};

/// The version of everything in this module.
pub(crate) const VERSION: u8 = 1;

type Config = Configuration<LittleEndian, Varint, Limit<FRAME_BYTES_MAX>>;

fn config() -> Config {
    bincode::config::standard().with_limit::<FRAME_BYTES_MAX>()
}

/// A log id: position, and the leader that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct LogIdV1 {
    pub(crate) term: u64,
    pub(crate) node: u64,
    pub(crate) index: u64,
}

/// A vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct VoteV1 {
    pub(crate) term: u64,
    pub(crate) node: u64,
    pub(crate) committed: bool,
}

/// A membership: one set of voters, or two while it changes, and all replicas with or without a vote.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct MembershipV1 {
    pub(crate) voters: Vec<BTreeSet<u64>>,
    pub(crate) replicas: BTreeSet<u64>,
}

/// What a machine's mark holds of raft's.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct MarkV1 {
    pub(crate) applied: Option<LogIdV1>,
    pub(crate) membership_at: Option<LogIdV1>,
    pub(crate) membership: MembershipV1,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct EntryHeadV1 {
    kind: u8,
    term: u64,
    node: u64,
    index: u64,
}

const KIND_BLANK: u8 = 0;
const KIND_NORMAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// Something could not be read: written by a newer build, or damaged.
fn unreadable(what: &str, why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("decode {what}: {why}"))
}

/// A version byte and the value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    encode_into(value, &mut out);
    out.freeze()
}

/// The same, appended.
pub(crate) fn encode_into<T: Serialize>(value: &T, out: &mut BytesMut) {
    out.put_u8(VERSION);
    let mut writer = out.writer();
    // Writing to memory does not fail, and no struct here has a map with unknown length or an unsized sequence.
    if let Err(error) = bincode::serde::encode_into_std_write(value, &mut writer, config()) {
        debug_assert!(false, "encode: {error}");
    }
}

/// Reads a value that must be all of the bytes.
pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> io::Result<T> {
    let (value, used) = decode_head(what, bytes)?;
    if used != bytes.len() {
        return Err(unreadable(what, format!("{} bytes too many", bytes.len() - used)));
    }
    Ok(value)
}

/// Reads a value from the front, and says how many bytes it took.
pub(crate) fn decode_head<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> io::Result<(T, usize)> {
    match bytes.first() {
        Some(&VERSION) => {
            let (value, used) =
                bincode::serde::decode_from_slice(&bytes[1..], config()).map_err(|error| unreadable(what, error))?;
            Ok((value, used + 1))
        }
        Some(version) => Err(unreadable(what, format!("version {version} is not known to this build"))),
        None => Err(unreadable(what, "it is empty")),
    }
}

/// An entry as it is in the log and in append requests.
pub(crate) fn encode_entry(entry: &RaftEntry) -> Bytes {
    let mut out = BytesMut::with_capacity(entry_size_hint(entry));
    encode_entry_into(entry, &mut out);
    out.freeze()
}

/// At least the size that the encoded entry will have.
pub(crate) fn entry_size_hint(entry: &RaftEntry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(Payload(bytes)) => bytes.len() + 32,
        _ => 96,
    }
}

/// The same, appended.
pub(crate) fn encode_entry_into(entry: &RaftEntry, out: &mut BytesMut) {
    let id = entry.log_id;
    let head = |kind| EntryHeadV1 {
        kind,
        term: id.leader_id.term,
        node: id.leader_id.node_id,
        index: id.index,
    };
    match &entry.payload {
        EntryPayload::Blank => encode_into(&head(KIND_BLANK), out),
        EntryPayload::Normal(Payload(bytes)) => {
            encode_into(&head(KIND_NORMAL), out);
            out.put_slice(bytes);
        }
        EntryPayload::Membership(membership) => {
            encode_into(&head(KIND_MEMBERSHIP), out);
            encode_into(&MembershipV1::from(membership), out);
        }
    }
}

/// The entry in these bytes; a payload shares them.
pub(crate) fn decode_entry(bytes: &Bytes) -> io::Result<RaftEntry> {
    let (head, used): (EntryHeadV1, usize) = decode_head("entry", bytes)?;
    let rest = bytes.slice(used..);
    let payload = match head.kind {
        KIND_BLANK if rest.is_empty() => EntryPayload::Blank,
        KIND_NORMAL => EntryPayload::Normal(Payload(rest)),
        KIND_MEMBERSHIP => EntryPayload::Membership(decode::<MembershipV1>("membership", &rest)?.into_raft()?),
        kind => return Err(unreadable("entry", format!("kind {kind} is not known to this build"))),
    };
    let log_id = LogIdV1 {
        term: head.term,
        node: head.node,
        index: head.index,
    }
    .into();
    Ok(RaftEntry { log_id, payload })
}

/// Raft's part of a mark.
pub(crate) fn mark_state(applied: Option<&LogId>, membership: &StoredMembership) -> MarkV1 {
    MarkV1 {
        applied: applied.map(|id| (*id).into()),
        membership_at: membership.log_id().map(LogIdV1::from),
        membership: membership.membership().into(),
    }
}

/// The mark of a state.
pub(crate) fn mark_of(applied: Option<&LogId>, membership: &StoredMembership) -> Mark {
    Mark {
        index: index_of(applied),
        state: encode(&mark_state(applied, membership)).to_vec(),
    }
}

/// What a mark says of raft's state. An empty mark is the state before the first entry.
pub(crate) fn read_mark(mark: &Mark) -> io::Result<SnapshotMeta> {
    if mark.state.is_empty() {
        return if mark.index == 0 {
            Ok(SnapshotMeta::default())
        } else {
            Err(unreadable("mark", "it has an index but no state"))
        };
    }
    let state: MarkV1 = decode("mark", &mark.state)?;
    if state.applied.map_or(0, |id| id.index) != mark.index {
        return Err(unreadable("mark", "its index is not that of its state"));
    }
    state.into_raft()
}

impl MarkV1 {
    pub(crate) fn into_raft(self) -> io::Result<SnapshotMeta> {
        let membership = StoredMembership::new(self.membership_at.map(Into::into), self.membership.into_raft()?);
        Ok(SnapshotMeta {
            last_log_id: self.applied.map(Into::into),
            last_membership: membership,
        })
    }
}

impl From<LogIdV1> for LogId {
    fn from(id: LogIdV1) -> LogId {
        LogId::new(
            LeaderId {
                term: id.term,
                node_id: id.node,
            },
            id.index,
        )
    }
}

impl From<LogId> for LogIdV1 {
    fn from(id: LogId) -> LogIdV1 {
        LogIdV1 {
            term: id.leader_id.term,
            node: id.leader_id.node_id,
            index: id.index,
        }
    }
}

impl From<VoteV1> for Vote {
    fn from(vote: VoteV1) -> Vote {
        Vote::from_leader_id(
            LeaderId {
                term: vote.term,
                node_id: vote.node,
            },
            vote.committed,
        )
    }
}

impl From<&Vote> for VoteV1 {
    fn from(vote: &Vote) -> VoteV1 {
        let leader = vote.leader_id();
        VoteV1 {
            term: leader.term,
            node: leader.node_id,
            committed: vote.is_committed(),
        }
    }
}

impl From<&Membership> for MembershipV1 {
    fn from(membership: &Membership) -> MembershipV1 {
        MembershipV1 {
            voters: membership.get_joint_config().clone(),
            replicas: membership.nodes().map(|(node, _)| *node).collect(),
        }
    }
}

impl MembershipV1 {
    fn into_raft(self) -> io::Result<Membership> {
        if self.voters.is_empty() && self.replicas.is_empty() {
            return Ok(Membership::default());
        }
        let nodes: BTreeMap<u64, EmptyNode> = self.replicas.into_iter().map(|node| (node, EmptyNode {})).collect();
        Membership::new(self.voters, nodes).map_err(|error| unreadable("membership", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn id(index: u64) -> LogId {
        LogIdV1 { term: 3, node: 2, index }.into()
    }

    fn membership() -> Membership {
        let voters = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
        Membership::new(voters, (1..=5).map(|node| (node, EmptyNode {})).collect::<BTreeMap<_, _>>()).unwrap()
    }

    /// These bytes are on disks and between versions. A test that fails here needs a new version, not new bytes.
    #[test]
    fn entries_have_these_bytes() {
        let golden = [
            (EntryPayload::Blank, "0100030207"),
            (
                EntryPayload::Normal(Payload(Bytes::from_static(b"hello"))),
                "010103020768656c6c6f",
            ),
            (
                EntryPayload::Membership(membership()),
                "010203020701020301020303020304050102030405",
            ),
        ];
        for (payload, bytes) in golden {
            let entry = RaftEntry { log_id: id(7), payload };
            let encoded = encode_entry(&entry);
            assert_eq!(hex(&encoded), bytes);
            assert_eq!(decode_entry(&encoded).unwrap(), entry);
            assert!(encoded.len() <= entry_size_hint(&entry));
        }
    }

    #[test]
    fn marks_votes_and_ids_have_these_bytes() {
        let vote = VoteV1 {
            term: 300,
            node: 2,
            committed: true,
        };
        assert_eq!(hex(&encode(&vote)), "01fb2c010201");
        assert_eq!(VoteV1::from(&Vote::from(vote)), vote);
        assert_eq!(hex(&encode(&LogIdV1::from(id(9)))), "01030209");
        let stored = StoredMembership::new(Some(id(4)), membership());
        let mark = mark_of(Some(&id(9)), &stored);
        assert_eq!(
            (mark.index, hex(&mark.state)),
            (9, "010103020901030204020301020303020304050102030405".to_owned())
        );
        let read = read_mark(&mark).unwrap();
        assert_eq!((read.last_log_id, read.last_membership), (Some(id(9)), stored));
        assert_eq!(read_mark(&Mark::default()).unwrap(), SnapshotMeta::default());
        assert_eq!(
            read_mark(&mark_of(None, &StoredMembership::default())).unwrap(),
            SnapshotMeta::default()
        );
    }

    #[test]
    fn what_is_not_whole_or_not_known_is_refused() {
        let entry = encode_entry(&RaftEntry {
            log_id: id(7),
            payload: EntryPayload::Membership(membership()),
        });
        for cut in 0..entry.len() {
            assert!(decode_entry(&entry.slice(..cut)).is_err(), "cut at {cut}");
        }
        let with = |place: usize, byte: u8| {
            let mut bytes = entry.to_vec();
            bytes[place] = byte;
            decode_entry(&bytes.into())
        };
        assert!(with(0, 2).is_err(), "a newer version");
        assert!(with(1, 9).is_err(), "an unknown kind");
        assert!(decode::<VoteV1>("vote", &[1, 1, 1, 0, 0]).is_err(), "a byte too many");
        let vote = encode(&VoteV1 {
            term: 1,
            node: 1,
            committed: false,
        });
        assert!(
            read_mark(&Mark {
                index: 1,
                state: vote.to_vec()
            })
            .is_err()
        );
        assert!(
            read_mark(&Mark {
                index: 1,
                state: Vec::new()
            })
            .is_err()
        );
    }
}
