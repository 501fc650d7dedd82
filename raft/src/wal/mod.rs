//! The node's write-ahead log.
mod disk;
mod error;
mod frame;
mod options;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub(crate) use disk::{Disk, DiskFile, RealDisk};
pub(crate) use error::WalError;
pub(crate) use options::{Cut, Done, LogEntry, LogState, Recovery, Synced};
pub use options::{LogOptions, LogStats};

/// The log of a node: a handle, cheap to clone.
#[derive(Clone)]
pub(crate) struct Wal {}

/// One group's part of the log: a handle, cheap to clone.
#[derive(Clone)]
pub(crate) struct GroupLog {}

impl Wal {
    /// Opens or creates the log in this directory: takes its lock, reads and checks every segment, cuts a torn tail.
    pub(crate) fn open(dir: &Path, options: LogOptions, disk: Arc<dyn Disk>) -> Result<(Wal, Recovery), WalError> {
        let (_, _, _) = (dir, options, disk);
        Err(WalError::Stopped("not built yet".into()))
    }

    /// The part of this group, which begins empty.
    pub(crate) fn group(&self, _id: u64) -> GroupLog {
        GroupLog {}
    }

    /// Every group that has anything in the log.
    pub(crate) fn groups(&self) -> Vec<u64> {
        Vec::new()
    }

    /// What was done and how it stands.
    pub(crate) fn stats(&self) -> LogStats {
        LogStats::default()
    }

    /// Makes all that waits durable, notes a clean end, stops the threads and releases the lock. Blocks.
    pub(crate) fn close(self) -> Result<(), WalError> {
        Ok(())
    }
}

impl GroupLog {
    /// Appends entries that continue the log (any index may begin an empty one, not below `first`). They are readable on
    /// return; `done` is called once, after they are durable, also when this returns an error. Blocks while the queue is full.
    pub(crate) fn append(&self, _entries: Vec<LogEntry>, _done: Done) -> Result<(), WalError> {
        Ok(())
    }

    /// Saves the vote; `state()` shows it on return, `done` says that it is durable.
    pub(crate) fn save_vote(&self, _vote: Bytes, _done: Done) -> Result<(), WalError> {
        Ok(())
    }

    /// Saves the committed position, some time soon: no one waits for it and it costs no fsync of its own.
    pub(crate) fn save_committed(&self, _committed: Bytes) -> Result<(), WalError> {
        Ok(())
    }

    /// Removes all entries after this index, or all entries.
    pub(crate) fn truncate_after(&self, _index: Option<u64>, _done: Done) -> Result<(), WalError> {
        Ok(())
    }

    /// Removes the entries up to and including this index, and remembers the opaque position that goes with it. May reach
    /// beyond the last entry (after a snapshot was installed): the next append then begins after it.
    pub(crate) fn purge(&self, _upto: u64, _purged: Bytes, _done: Done) -> Result<(), WalError> {
        Ok(())
    }

    /// Entries of `from..to_exclusive` that are present, in order, at least one if there is any, then up to `max_bytes`. From
    /// memory or from the segments, with their checksums verified.
    pub(crate) fn read(&self, _from: u64, _to_exclusive: u64, _max_bytes: usize) -> Result<Vec<LogEntry>, WalError> {
        Ok(Vec::new())
    }

    /// What this group has, including what is not yet durable.
    pub(crate) fn state(&self) -> LogState {
        LogState::default()
    }
}
