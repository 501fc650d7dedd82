//! Every bound of this crate, with what gets worse when it is raised and when it is lowered.

/// Largest payload of one proposal, bytes. Higher: one entry delays all behind it longer. Lower: callers must split sooner.
pub const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// Largest snapshot chunk, bytes. Higher: more memory a transfer. Lower: more round trips a gigabyte.
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = 1 << 20;
