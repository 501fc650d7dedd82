//! What raft asks of the state that it replicates.
//!
//! Raft hands over committed payloads in order, each exactly once after the applied point that the machine itself reports, and
//! takes back one reply for each. Everything else about the payload is the machine's own business.

use std::io;

use bytes::Bytes;

/// How far a machine has applied the log, and what raft needs to go on from there.
///
/// `state` is raft's own (the id of the last applied entry and the membership as of it, in a versioned encoding). The machine
/// stores both in the same commit as the effects of the batch and gives them back unchanged. The default is "nothing applied".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Index of the last applied entry; 0 when nothing was applied.
    pub index: u64,
    /// Raft's own bytes; empty when nothing was applied.
    pub state: Vec<u8>,
}

/// One committed payload. Blank entries and membership changes never reach the machine, except through [`Mark`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the log. Indexes rise, but not without gaps: raft's own entries are left out.
    pub index: u64,
    /// The leader's term in which it was proposed.
    pub term: u64,
    /// What was given to `propose`.
    pub payload: Bytes,
}

/// The state that a group replicates.
///
/// # The law of determinism
///
/// Every replica calls [`apply`](StateMachine::apply) with the same entries in the same order, but not in the same batches, not at
/// the same time, and after a crash again from the last durable mark. So what a call leaves behind, and what it replies, may depend
/// on the state and on the entries alone: no clock, no randomness, no environment, no order of a hash map, no float that
/// depends on the machine, no thread. Time and ids come in the payload. A payload that makes no sense is answered, not an error:
/// `Err` and panic mean that this replica can no longer be trusted, and stop the group on this node (and, if the entry is to blame,
/// on every other node too).
pub trait StateMachine: Send + Sync + 'static {
    /// At open: the durable mark. Raft applies what is committed after it once more.
    fn applied(&self) -> io::Result<Mark>;

    /// Applies a batch in ONE commit together with `mark`, and replies to each entry in order.
    ///
    /// Runs on the group's own thread and may block. May be called without entries, when only the mark moves. It need not be
    /// durable on return: the log is, and it is kept until [`durable`](StateMachine::durable) has passed it.
    fn apply(&self, entries: Vec<Entry>, mark: Mark) -> io::Result<Vec<Bytes>>;

    /// What survives a power loss now. The log is purged only up to here. Cheap; never goes backwards.
    fn durable(&self) -> Mark;

    /// Blocks until all that is applied is durable, and returns that mark.
    fn persist(&self) -> io::Result<Mark>;

    /// While true, proposals wait before they enter the log. Heartbeats and replication go on. Cheap.
    fn over_limit(&self) -> bool {
        false
    }

    /// While true, this replica has been given much more than it could take in: where it does not lead, and while it opens, apply
    /// pauses before each batch, for a bounded time. To be well above the point of [`over_limit`](StateMachine::over_limit), which
    /// alone is asked on the leader. Cheap.
    fn overloaded(&self) -> bool {
        false
    }

    /// Why the state can no longer be trusted or kept, when that showed elsewhere than in a call of raft's: in a flush or a read.
    /// The group then stops on this node. Cheap.
    fn halted(&self) -> Option<String> {
        None
    }

    /// Up to where somebody has taken what the log holds, and needs it here no more; none: nobody wants the log. What lies behind is kept
    /// while there is room for it, up to a bound of bytes: who finds it gone must do without. Cheap.
    fn taken(&self) -> Option<u64> {
        None
    }

    /// A consistent view of the state as of its mark, for a replica that is too far behind. Must be cheap, O(1).
    fn snapshot(&self) -> io::Result<Box<dyn SnapshotSource>>;

    /// Starts to receive another replica's state. Dropping the sink without `install` leaves the state as it was.
    fn receive(&self) -> io::Result<Box<dyn SnapshotSink>>;
}

/// A consistent view of a machine's state, read in chunks on a thread that may block.
pub trait SnapshotSource: Send + 'static {
    /// The applied point that the view shows.
    fn mark(&self) -> &Mark;

    /// The next chunk, at most [`SNAPSHOT_CHUNK_BYTES_MAX`](crate::SNAPSHOT_CHUNK_BYTES_MAX); `None` at the end.
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>>;
}

/// The receiving end of a snapshot, on a thread that may block.
pub trait SnapshotSink: Send + 'static {
    /// Takes the next chunk, in the order of the source.
    fn write(&mut self, chunk: Bytes) -> io::Result<()>;

    /// All chunks are there: does what of the installation can fail without harm to the machine's state, such as writing the rest
    /// to the disk and verifying it. An error here ends the transfer and nothing else; one of `install` stops the group.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Verifies what came, makes it durable and swaps it in for the machine's state. Returns the mark that came with it.
    fn install(self: Box<Self>) -> io::Result<Mark>;
}
