//! Limits of one command, with their units in the name.

/// Most keys that one apply may touch. A batch of 1,000 creates with four indexes fits. Raised: one command holds up all
/// others of the cell for longer. Lowered: large batches are refused.
pub(crate) const APPLY_KEYS: usize = 16_384;
/// Largest command, in bytes.
pub(crate) const COMMAND_BYTES: usize = 2 * 1024 * 1024;
/// Largest command that the platform itself sends for a move, in bytes: one that repeats the largest command of another cell.
pub(crate) const MOVE_BYTES: usize = COMMAND_BYTES + 64 * 1024;
/// Keys that one command of a move brings. Raised: one command holds up all others of the cell for longer. Lowered: a move takes longer.
pub(crate) const MOVE_KEYS: usize = 2_000;
/// Keys and values that one command of a move brings, in bytes, unless one command of the other cell alone is larger.
pub(crate) const MOVE_CHUNK_BYTES: usize = 1024 * 1024;
/// Commands that one command of a move repeats: each may touch as much as it did in the other cell. Raised: one command holds up all
/// others of the cell for longer. Lowered: a busy tenant is followed for longer.
pub(crate) const MOVE_COMMANDS: usize = 64;
/// Most that waits to be repeated in the other cell, in bytes. Raised: more memory. Lowered: a move of a busy tenant begins again.
pub(crate) const TAP_BYTES: usize = 64 * 1024 * 1024;
/// How often the leader decides again when what it had read has changed.
pub(crate) const DECISIONS: usize = 3;
/// How long an idempotency key is kept, in microseconds of stamped time.
pub(crate) const IDEMPOTENCY_MICROS: u64 = 24 * 3_600 * 1_000_000;
/// One in so many commands with an idempotency key sweeps expired ones: each sweep walks past what earlier ones have removed.
pub(crate) const IDEMPOTENCY_TURN: u8 = 64;
/// Expired idempotency keys that a sweep removes at most: more than come in between two of them.
pub(crate) const IDEMPOTENCY_SWEEP: usize = 256;
/// Keys that one step of an erasure removes.
pub(crate) const ERASE_KEYS: usize = 2_000;
/// Deepest chain of records that one deletion cascades through.
pub(crate) const CASCADE_DEPTH: usize = 16;
/// Catalogs that a replica keeps decoded. Raised: more memory. Lowered: tenants that take turns decode theirs again.
pub(crate) const CATALOGS: usize = 4_096;

const _: () = assert!(MOVE_KEYS < APPLY_KEYS && MOVE_CHUNK_BYTES + storage::MAX_KEY_BYTES < COMMAND_BYTES);
const _: () = assert!(TAP_BYTES > 8 * COMMAND_BYTES);
const _: () = assert!(IDEMPOTENCY_SWEEP > 2 * IDEMPOTENCY_TURN as usize);
const _: () = assert!(COMMAND_BYTES >= api::limits::BODY_BYTES);
const _: () = assert!(APPLY_KEYS >= 8 * api::limits::BATCH_OPERATIONS);
