//! Limits of one command, with their units in the name.

/// Most keys that one apply may touch. A batch of 1,000 creates with four indexes fits. Raised: one command holds up all
/// others of the cell for longer. Lowered: large batches are refused.
pub(crate) const APPLY_KEYS: usize = 16_384;
/// Largest command, in bytes.
pub(crate) const COMMAND_BYTES: usize = 2 * 1024 * 1024;
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

const _: () = assert!(IDEMPOTENCY_SWEEP > 2 * IDEMPOTENCY_TURN as usize);
const _: () = assert!(COMMAND_BYTES >= api::limits::BODY_BYTES);
const _: () = assert!(APPLY_KEYS >= 8 * api::limits::BATCH_OPERATIONS);
