//! What other nodes ask of this one's groups.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::codec::{VoteV1, decode, encode};
use crate::peer::{AppendReplyV1, Kind, ReadReplyV1, TransferReplyV1, TransferV1, VoteReplyV1, VoteRequestV1, read_append};
use crate::replica::Replica;
use crate::{barrier, proof};

/// The groups that are open on this node.
#[derive(Default)]
pub(crate) struct Inbox {
    groups: RwLock<HashMap<u64, Arc<Replica>>>,
}

impl Inbox {
    pub(crate) fn find(&self, group: u64) -> Option<Arc<Replica>> {
        self.groups
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&group)
            .cloned()
    }

    /// Adds a group; false when it is there already.
    pub(crate) fn add(&self, replica: Arc<Replica>) -> bool {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        match groups.entry(replica.id.0) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(replica);
                true
            }
        }
    }

    /// Takes one group out, unless another replica of it has come in between.
    pub(crate) fn remove(&self, replica: &Arc<Replica>) {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        if groups.get(&replica.id.0).is_some_and(|known| Arc::ptr_eq(known, replica)) {
            groups.remove(&replica.id.0);
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes all groups out.
    pub(crate) fn take_all(&self) -> Vec<Arc<Replica>> {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.drain().map(|(_, replica)| replica).collect()
    }
}

fn read<T: DeserializeOwned>(what: &str, payload: &Bytes) -> Result<T, String> {
    decode(what, payload).map_err(|error| error.to_string())
}

fn read_reply(index: Option<u64>) -> ReadReplyV1 {
    index.map_or(ReadReplyV1::NotLeader, ReadReplyV1::Index)
}

/// Answers one request of a node, or says in words why it cannot be answered.
pub(crate) async fn answer(replica: &Replica, from: u64, kind: Kind, payload: Bytes) -> Result<Bytes, String> {
    let raft = &replica.raft;
    let fatal = |error: &dyn std::fmt::Display| error.to_string();
    match kind {
        Kind::APPEND => {
            let request = read_append(payload).map_err(|error| error.to_string())?;
            if !request.entries.is_empty() && replica.room.is_full() {
                // openraft would end the group on this node with the first entry that the log refuses. So the leader asks again.
                return Err("the log of this node is full".to_owned());
            }
            let response = raft.append_entries(request).await.map_err(|error| fatal(&error))?;
            Ok(encode(&AppendReplyV1::from(response)))
        }
        Kind::VOTE => {
            let request: VoteRequestV1 = read("vote request", &payload)?;
            let response = raft.vote(request.into()).await.map_err(|error| fatal(&error))?;
            Ok(encode(&VoteReplyV1::from(response)))
        }
        Kind::PRE_VOTE => {
            let request: VoteRequestV1 = read("vote request", &payload)?;
            let response = raft.pre_vote(request.into()).await.map_err(|error| fatal(&error))?;
            Ok(encode(&VoteReplyV1::from(response)))
        }
        Kind::TRANSFER => {
            let request: TransferV1 = read("hand-over", &payload)?;
            let response = raft
                .handle_transfer_leader(request.into())
                .await
                .map_err(|error| fatal(&error))?;
            Ok(encode(&TransferReplyV1::from(response)))
        }
        Kind::READ_INDEX => Ok(encode(&read_reply(barrier::read_index(replica).await))),
        Kind::READ_INDEX_VOTED => {
            let held: VoteV1 = read("vote held", &payload)?;
            let index = match proof::committed(replica, from, held).await {
                Some(index) => Some(index),
                None => barrier::read_index(replica).await,
            };
            Ok(encode(&read_reply(index)))
        }
        Kind::VOTE_HELD => {
            let held = proof::vote_held(replica).await.ok_or("the group has stopped")?;
            Ok(encode(&held))
        }
        other => Err(format!("request {other:?} is not known to this build")),
    }
}
