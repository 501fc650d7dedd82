//! What is counted of chunks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use storage::blob::BlobError;
use tokio::sync::Semaphore;

use super::LATE_CHUNKS;
use super::bucket::{Lack, lack};
use crate::backup::vault::VaultError;

/// See the module. Since the node started.
pub(crate) struct Counts {
    /// Places for chunks that somebody is late with.
    pub(super) late: Arc<Semaphore>,
    chunks: AtomicU64,
    bytes: AtomicU64,
    missing: AtomicU64,
    rotten: AtomicU64,
    full: AtomicU64,
    repaired: AtomicU64,
    scrubbed: AtomicU64,
    removed: AtomicU64,
    silent: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            late: Arc::new(Semaphore::new(LATE_CHUNKS)),
            chunks: AtomicU64::default(),
            bytes: AtomicU64::default(),
            missing: AtomicU64::default(),
            rotten: AtomicU64::default(),
            full: AtomicU64::default(),
            repaired: AtomicU64::default(),
            scrubbed: AtomicU64::default(),
            removed: AtomicU64::default(),
            silent: AtomicU64::default(),
        }
    }
}

impl Counts {
    /// A chunk of so many bytes is kept for good.
    pub(super) fn written(&self, bytes: usize) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A chunk is not what it should be here.
    pub(super) fn found_wrong(&self, error: &BlobError) {
        let count = match error {
            BlobError::Missing(_) => &self.missing,
            BlobError::Rotten(_) => &self.rotten,
            BlobError::Full { .. } => &self.full,
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The region's store lacks a chunk, has something else in its place, or does not answer.
    pub(super) fn store_failed(&self, error: &VaultError) {
        let count = match lack(error) {
            Lack::Missing => &self.missing,
            Lack::Rotten => &self.rotten,
            Lack::Silent => &self.silent,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// A chunk came from another replica, or into the region's store from a disk.
    pub(super) fn repaired(&self) {
        self.repaired.fetch_add(1, Ordering::Relaxed);
    }

    /// A chunk was looked at.
    pub(super) fn scrubbed(&self) {
        self.scrubbed.fetch_add(1, Ordering::Relaxed);
    }

    /// Chunks were removed that nothing names.
    pub(super) fn removed(&self, chunks: u64) {
        self.removed.fetch_add(chunks, Ordering::Relaxed);
    }

    /// Writes them as metrics.
    pub(crate) fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        for (name, help, count) in [
            (
                "written_total",
                "Chunks of files that this node has had kept: on a majority, or in the region's store.",
                &self.chunks,
            ),
            ("written_bytes_total", "Bytes of them.", &self.bytes),
            (
                "missing_total",
                "Chunks that were not on this node's disk, or not in the region's store, when they were wanted.",
                &self.missing,
            ),
            (
                "rotten_total",
                "Chunks on this node's disk, or in the region's store, that were not what was written.",
                &self.rotten,
            ),
            ("full_total", "Chunks that this node's disk had no room for.", &self.full),
            (
                "repaired_total",
                "Chunks that this node got from another replica, or brought from disks into the region's store.",
                &self.repaired,
            ),
            (
                "scrubbed_total",
                "Chunks that this node looked at to see whether they are there and right.",
                &self.scrubbed,
            ),
            (
                "removed_total",
                "Chunks that this node removed from its disk or from the region's store: nothing names them, or the store has them.",
                &self.removed,
            ),
            (
                "store_failures_total",
                "Requests about chunks that the region's store did not answer as it should.",
                &self.silent,
            ),
        ] {
            let (name, value) = (format!("cloudnest_chunks_{name}"), count.load(Ordering::Relaxed));
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}")?;
        }
        Ok(())
    }
}
