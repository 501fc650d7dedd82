//! What a store says of itself.

use std::time::Duration;

/// What the store has in memory and has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys in the active and the frozen deltas.
    pub delta_keys: usize,
    /// Bytes that they take, about.
    pub delta_bytes: usize,
    /// Frozen deltas that wait or are being flushed, at most two.
    pub frozen: usize,
    /// Finished flushes.
    pub flushes: u64,
    /// The time that they took in all, their rests included.
    pub flush_time: Duration,
    /// The length of the store's file; 0 when it cannot be told.
    pub file_bytes: u64,
    /// Pages of the file that were read from its cache in memory.
    pub page_hits: u64,
    /// Pages that had to be read from the disk, or from the kernel's cache of it.
    pub page_misses: u64,
}
