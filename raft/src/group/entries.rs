//! What the log of a replica holds, for who takes it elsewhere.
//!
//! Only what is applied here is given: it is committed, so no leader will ever write over it, and every replica that has it has the same.

use super::Group;
use crate::limits::READ_ENTRIES_MAX;
use crate::typ::RaftEntry;
use crate::{Entry, GroupId};

/// Consecutive entries of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries {
    /// The payloads, in order. Raft's own entries are left out.
    pub entries: Vec<Entry>,
    /// The last index that they cover; raft's own entries count. One before the first that was asked for, when nothing is applied behind it.
    pub last: u64,
}

/// Why entries cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum EntriesError {
    /// The log does not reach back so far.
    #[error("the log of group {group} does not hold entry {wanted} any more")]
    Purged {
        /// The group.
        group: GroupId,
        /// The entry that was asked for.
        wanted: u64,
    },
    /// The log cannot be read.
    #[error("read the log of group {group}: {source}")]
    Io {
        /// The group.
        group: GroupId,
        /// Why.
        source: std::io::Error,
    },
}

impl Group {
    /// The entries from `from` on that are applied on this replica, as many as fit into `bytes`; at least one, if there is one. On any
    /// replica; must be called on a tokio runtime.
    pub async fn entries(&self, from: u64, bytes: usize) -> Result<Entries, EntriesError> {
        let end = self.applied().min(from.saturating_add(READ_ENTRIES_MAX - 1));
        if end < from {
            let last = from.saturating_sub(1);
            return Ok(Entries {
                entries: Vec::new(),
                last,
            });
        }
        let group = self.id();
        let read = self.replica.log.read(from, end + 1, bytes).await;
        let found = read.map_err(|source| EntriesError::Io { group, source })?;
        match found.first() {
            Some(first) if first.log_id.index == from => {}
            _ => return Err(EntriesError::Purged { group, wanted: from }),
        }
        let last = found.last().map_or(end, |entry| entry.log_id.index);
        let entries = found.into_iter().filter_map(payload).collect();
        Ok(Entries { entries, last })
    }
}

fn payload(entry: RaftEntry) -> Option<Entry> {
    match entry.payload {
        openraft::EntryPayload::Normal(payload) => Some(Entry {
            index: entry.log_id.index,
            term: entry.log_id.leader_id.term,
            payload: payload.0,
        }),
        openraft::EntryPayload::Blank | openraft::EntryPayload::Membership(_) => None,
    }
}
