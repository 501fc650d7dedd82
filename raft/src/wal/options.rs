//! What can be set, what is reported, and the log's limits with their units.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::frame::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};

/// The largest entry that the log takes, where segments are large enough for it.
pub(crate) const ENTRY_MAX_BYTES: u64 = 16 << 20;
/// Zeros are written ahead in steps of this size. Higher: fewer, longer disturbances of a sync; lower: more, shorter ones.
pub(crate) const PREWRITE_STEP_BYTES: u64 = 1 << 20;
/// How far ahead of the tail zeros are written while a segment is new.
pub(crate) const PREWRITE_AHEAD_BYTES: u64 = 2 << 20;
/// Room at the end of what is prewritten that only votes, truncations and purges may use once the log is full.
pub(crate) const HEADROOM_BYTES: u64 = 512 << 10;
/// What the sync thread gathers for one fdatasync at most. Higher: fewer syncs; lower: shorter ones.
pub(crate) const BATCH_BYTES: u64 = 8 << 20;
/// Live entries are copied forward in portions of this size, so that they never hold up a sync for long.
pub(crate) const COPY_STEP_BYTES: u64 = 1 << 20;
/// A committed position that nothing else carries to the disk waits this long for company.
pub(crate) const LAZY_FLUSH: Duration = Duration::from_millis(50);
/// How soon a log that found no space looks again.
pub(crate) const FULL_RETRY: Duration = Duration::from_millis(500);
/// How soon it is looked again whether entries that wait for room still do.
pub(crate) const SHORT_RETRY: Duration = Duration::from_millis(10);
/// How soon a segment that is still being read is looked at again.
pub(crate) const READER_RETRY: Duration = Duration::from_millis(5);

const _: () = assert!(
    HEADROOM_BYTES < PREWRITE_AHEAD_BYTES,
    "votes must fit into what is prewritten already"
);
const _: () = assert!(ENTRY_MAX_BYTES + FRAME_HEADER_BYTES + SEGMENT_HEADER_BYTES < u32::MAX as u64);

/// How the node's log is laid out. All sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Size of one segment file: 64 KiB to 1 GiB. Larger ones are rotated less often and released later.
    pub segment_bytes: u64,
    /// How many released segments are kept to be written again instead of being deleted.
    pub recycle: usize,
    /// `false` leaves out every fdatasync: for tests and benchmarks that do not measure the disk. Then nothing is promised.
    pub sync: bool,
    /// The whole log's bound; at least four segments. Beyond it entries are refused, votes are not.
    pub max_bytes: u64,
    /// Entries kept in memory for each group after they became durable. Older ones are read from the disk.
    pub tail_bytes: u64,
    /// What may wait for the disk, at most a quarter of a segment; appending waits beyond it.
    pub queue_bytes: u64,
    /// With more segments than this, the few live entries of the oldest one are copied forward to release it.
    pub copy_after_segments: usize,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: 64 << 20,
            recycle: 2,
            sync: true,
            max_bytes: 2 << 30,
            tail_bytes: 8 << 20,
            queue_bytes: 16 << 20,
            copy_after_segments: 8,
        }
    }
}

impl LogOptions {
    /// The same with every value inside its limits.
    pub(crate) fn checked(mut self) -> LogOptions {
        self.segment_bytes = self.segment_bytes.clamp(64 << 10, 1 << 30) & !4095;
        self.max_bytes = self.max_bytes.max(self.segment_bytes * 4);
        // What is accepted must fit into the rest of a segment by the time that the keeper finds that there is no other.
        self.queue_bytes = self.queue_bytes.min(self.segment_bytes / 4);
        self.copy_after_segments = self
            .copy_after_segments
            .clamp(2, (self.max_bytes / self.segment_bytes) as usize - 1);
        self
    }

    pub(crate) fn max_segments(&self) -> usize {
        (self.max_bytes / self.segment_bytes) as usize
    }

    /// The largest payload of one frame: a segment must hold its checkpoint and several of them.
    pub(crate) fn entry_max_bytes(&self) -> u64 {
        ENTRY_MAX_BYTES.min(self.segment_bytes / 4)
    }

    pub(crate) fn batch_bytes(&self) -> u64 {
        BATCH_BYTES.min(self.segment_bytes / 8)
    }

    pub(crate) fn headroom_bytes(&self) -> u64 {
        HEADROOM_BYTES.min(self.segment_bytes / 16)
    }
}

/// What the log did since it was opened, and how it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Calls of fdatasync on the way of what waits (prewriting is not counted).
    pub fsyncs: u64,
    /// Frames written.
    pub frames: u64,
    /// Bytes of these frames.
    pub bytes: u64,
    /// Append calls that became durable.
    pub appends: u64,
    /// Entries copied forward to release segments.
    pub copied: u64,
    /// Segments that hold or will hold frames.
    pub segments: u64,
    /// Prewritten segments that wait to be used.
    pub spares: u64,
    /// Bytes of entries that are still needed.
    pub live_bytes: u64,
    /// Bytes that wait for the disk now.
    pub queued_bytes: u64,
    /// The last fdatasync, in microseconds.
    pub last_fsync_us: u64,
    /// The longest fdatasync so far, in microseconds.
    pub max_fsync_us: u64,
    /// Entries are being refused, or soon will be, for this reason. Proposals should wait while it is there.
    pub full: Option<String>,
    /// The log stopped for good, for this reason.
    pub stopped: Option<String>,
}

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// Segments that were read.
    pub segments: usize,
    /// Groups that have anything in the log.
    pub groups: usize,
    /// Frames that were read.
    pub frames: u64,
    /// Bytes of these frames.
    pub bytes: u64,
    /// A torn tail that was cut: never acknowledged, so nothing is lost.
    pub cut: Option<Cut>,
    /// Time that it took.
    pub took: Duration,
}

/// A torn tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The last segment.
    pub file: PathBuf,
    /// The frame that was not complete begins here.
    pub offset: u64,
    /// Bytes up to the end of the last trace of what was being written.
    pub bytes: u64,
}

/// One entry: its index and bytes that the log does not look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub index: u64,
    pub bytes: Bytes,
}

/// It is on the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Synced {
    /// When fdatasync had returned.
    pub at: Instant,
}

/// Called exactly once, on the sync thread, in the order of submission; on the caller's thread when the call itself
/// returns an error. It must be quick and must not wait for the log.
pub(crate) type Done = Box<dyn FnOnce(io::Result<Synced>) + Send>;

/// What a group has in the log, including what is not yet durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogState {
    pub vote: Option<Bytes>,
    pub committed: Option<Bytes>,
    /// The last purged index and the opaque bytes that came with it.
    pub purged: Option<(u64, Bytes)>,
    /// The first index that is, or in an empty log will be, present.
    pub first: u64,
    /// The last index that is present.
    pub last: Option<u64>,
    /// The bytes of that last entry.
    pub last_bytes: Option<Bytes>,
}
