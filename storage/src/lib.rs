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
//! - `Store::{send_snapshot, receive_snapshot, install}`: the whole state as checked chunks, installed whole or not at all;
//! - [`blob`]: chunks of files in a directory, each under the hash of its bytes, for commands to name;
//! - [`objects`]: whole values under names, in a directory or a bucket, for what is to outlive all replicas;
//! - `Store::{scrub, damaged, mark_damaged}`, `Batch::pin`, `Rebuild`: finding damage, and putting another replica's state in its place.
//!
//! Where to read: `store` has the whole and its invariants; `inner` the rules of its view; `progress` why replay after a crash is exact, though a flush leaves the
//! file at mixed points; `flush` and `buffered` how a flush stays out of the log's way; `table` and `key` every key; `value`
//! the checksums; `checked` those of the file's blocks; `rebuild` what follows damage; `transfer` the chunks; `scan` how layers merge.
//!
//! Invariant: nothing here knows Raft, HTTP, tenants' names, or the time of day; the same commands at the same positions give the
//! same store, byte for byte in what `Snapshot::hash` covers. Everything on disk carries a version; a newer one is refused by name.
//!
//! CAVEATS: a store does not repair itself. Damage and failed syncs halt it for good. After damage, `Rebuild` puts the state of another
//! replica in its place; after a failed sync only an operator knows what to do.

mod batch;
pub mod blob;
mod buffered;
mod checked;
mod delta;
mod disk;
pub mod element;
mod error;
mod flush;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod ground;
mod health;
mod inner;
pub mod key;
mod mutant;
pub mod objects;
mod pace;
mod progress;
pub mod range;
mod rebuild;
mod received;
mod scan;
mod scrub;
pub mod search;
mod snapshot;
mod sorted;
mod space;
mod stats;
mod store;
mod sums;
pub mod table;
mod transfer;
mod value;
mod writeback;

pub use batch::{Batch, Command, MAX_KEY_BYTES, MAX_VALUE_BYTES};
pub use bytes::Bytes;
pub use element::Element;
pub use error::Error;
pub use health::OnFlush;
pub use key::{Key, KeyError};
#[doc(hidden)]
pub use mutant::MUTANTS;
pub use progress::Mark;
pub use range::KeyRange;
pub use rebuild::Rebuild;
pub use received::ReceivedSnapshot;
pub use scan::{Direction, Scan};
pub use scrub::{RangeHash, Scrubbed};
pub use snapshot::{Snapshot, Spaces};
pub use space::Space;
pub use stats::Stats;
pub use store::{Options, Store};
pub use table::*;
pub use transfer::{MAX_CHUNK_BYTES, SnapshotReader, SnapshotWriter};

#[cfg(test)]
mod tests;
