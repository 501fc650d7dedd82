//! A group's state at one point of the log: what a checkpoint frame says, and how each frame changes it.
//!
//! Three views of a group are of this one type: what was submitted (`group`), what was written (`writer`), and what is read
//! back (`recover`). They go through the same functions here, so they cannot come apart.

use bytes::Bytes;

use super::frame::{u32_at, u64_at};

/// A group's state at the begin of a segment: the payload of a checkpoint frame.
///
/// `version u8 | first u64 | next u64 | flags u8 (1 vote, 2 committed, 4 purged) | then, for each flag, length u32 and bytes;
/// purged is preceded by its index u64`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// First live index.
    pub first: u64,
    /// One after the last live index; equal to `first` when there is none.
    pub next: u64,
    pub vote: Option<Bytes>,
    pub committed: Option<Bytes>,
    pub purged: Option<(u64, Bytes)>,
}

const CHECKPOINT_VERSION: u8 = 1;

impl Checkpoint {
    /// The last live index.
    pub(crate) fn last(&self) -> Option<u64> {
        (self.next > self.first).then(|| self.next - 1)
    }

    /// An entry comes; `Err` is the index that would continue. An empty log may begin anywhere not below `first`.
    pub(crate) fn entry(&mut self, index: u64) -> Result<(), u64> {
        let empty = self.next == self.first;
        if index == u64::MAX || index < self.next || (index > self.next && !empty) {
            return Err(self.next);
        }
        if empty {
            self.first = index;
        }
        self.next = index + 1;
        Ok(())
    }

    /// Entries from this index on go.
    pub(crate) fn truncate(&mut self, from: u64) {
        self.next = self.next.min(from).max(self.first);
    }

    /// Entries up to and including this index go. What was purged already stays purged: `false`, and nothing changes.
    pub(crate) fn purge(&mut self, upto: u64, purged: Bytes) -> bool {
        if upto == u64::MAX || self.purged.as_ref().is_some_and(|(index, _)| *index >= upto) {
            return false;
        }
        self.first = self.first.max(upto + 1);
        self.next = self.next.max(self.first);
        self.purged = Some((upto, purged));
        true
    }

    /// Was nothing ever said about this group?
    pub(crate) fn is_blank(&self) -> bool {
        self.last().is_none() && self.vote.is_none() && self.committed.is_none() && self.purged.is_none()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![CHECKPOINT_VERSION];
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.next.to_le_bytes());
        let flags =
            u8::from(self.vote.is_some()) | u8::from(self.committed.is_some()) << 1 | u8::from(self.purged.is_some()) << 2;
        out.push(flags);
        for bytes in [&self.vote, &self.committed].into_iter().flatten() {
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        if let Some((index, bytes)) = &self.purged {
            out.extend_from_slice(&index.to_le_bytes());
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Checkpoint> {
        let version = *take(&mut bytes, 1)?.first()?;
        if version != CHECKPOINT_VERSION {
            return None;
        }
        let mut checkpoint = Checkpoint {
            first: take_u64(&mut bytes)?,
            next: take_u64(&mut bytes)?,
            ..Checkpoint::default()
        };
        let flags = *take(&mut bytes, 1)?.first()?;
        if flags & 1 != 0 {
            checkpoint.vote = Some(take_bytes(&mut bytes)?);
        }
        if flags & 2 != 0 {
            checkpoint.committed = Some(take_bytes(&mut bytes)?);
        }
        if flags & 4 != 0 {
            checkpoint.purged = Some((take_u64(&mut bytes)?, take_bytes(&mut bytes)?));
        }
        (bytes.is_empty() && flags < 8 && checkpoint.first <= checkpoint.next).then_some(checkpoint)
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(head)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes, 8).map(|bytes| u64_at(bytes, 0))
}

fn take_bytes(bytes: &mut &[u8]) -> Option<Bytes> {
    let length = take(bytes, 4).map(|bytes| u32_at(bytes, 0))?;
    take(bytes, length as usize).map(Bytes::copy_from_slice)
}
