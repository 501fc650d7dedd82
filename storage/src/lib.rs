//! The ground: one group's durable data.
//!
//! A `Store` is what one replica of a group has applied: an ordered map from keys to values, the tenant's space first in every key.
//! In front of one redb file lies an ordered map in memory, the delta. The replicated log is the write-ahead log of both: applying
//! a batch changes the delta only, and a background thread carries frozen deltas into the file. What a caller sees:
//!
//! - `Store::begin_batch` → `Batch::command` → `Command::{get, scan, put, delete, accept}` → `Batch::commit(mark)`: one writer, one
//!   commit for all that a batch of commands did, with the log's mark; visible at once, durable later;
//! - `Store::begin_read` → `Snapshot::{get, scan, hash, spaces}`: any number of readers, each at one position, never waiting;
//! - `Store::durable`: up to where the log may be purged; `persist` waits for it; `over_limit` asks proposals to wait;
//! - `Store::{send_snapshot, receive_snapshot, install}`: the whole state as checked chunks, installed whole or not at all.
//!
//! Where to read: `store` has the whole and its invariants; `inner` the rules of its view; `progress` why replay after a crash is exact, though a flush leaves the
//! file at mixed points; `flush` and `buffered` how a flush stays out of the log's way; `table` and `key` every key; `value`
//! the checksums; `transfer` the chunks; `scan` how layers merge.
//!
//! Invariant: nothing here knows Raft, HTTP, tenants' names, or the time of day; the same commands at the same positions give the
//! same store, byte for byte in what `Snapshot::hash` covers. Everything on disk carries a version; a newer one is refused by name.
//!
//! CAVEATS: no repair. Damage and failed syncs halt the store for good, and the replica is rebuilt from its peers.

mod batch;
mod buffered;
mod delta;
mod disk;
mod error;
mod flush;
mod ground;
mod health;
mod inner;
pub mod key;
mod mutant;
mod pace;
mod progress;
mod scan;
mod scrub;
mod snapshot;
mod sorted;
mod space;
mod store;
pub mod table;
mod transfer;
mod value;
mod writeback;

pub use batch::{Batch, Command, MAX_KEY_BYTES, MAX_VALUE_BYTES};
pub use bytes::Bytes;
pub use error::Error;
pub use health::OnFlush;
pub use key::{Element, Key, KeyError, KeyRange};
#[doc(hidden)]
pub use mutant::MUTANTS;
pub use progress::Mark;
pub use scan::{Direction, Scan};
pub use scrub::RangeHash;
pub use snapshot::{Snapshot, Spaces};
pub use space::Space;
pub use store::{Options, Stats, Store};
pub use table::*;
pub use transfer::{MAX_CHUNK_BYTES, ReceivedSnapshot, SnapshotReader, SnapshotWriter};

#[cfg(test)]
mod tests;
