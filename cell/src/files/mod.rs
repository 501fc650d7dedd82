//! Files with versions: what a tenant keeps beside its records.
//!
//! The bytes of a file are cut into chunks of 1 MiB, which lie on the disks of the cell's replicas, or in a store of the region (`node/blobs`);
//! what goes through the log names them. So a file of a gigabyte is a command of some kilobytes, and whatever is read of it is checked against what
//! the log has said. A chunk is on a majority of the replicas, or in the store, before a command names it.
//!
//! ```text
//!  bytes ─► chunks, on a quorum ─► FileCreate, FileVersionAdd ─────────────► File ── FileVersion ─┐
//!      └──► chunks, on a quorum ─► UploadBegin, UploadAdvance …, its end ─►  (or Upload ── UploadChunk) ├─► ChunkUse
//!                                                                                                       ┘
//! ```
//!
//! - [`rows`]: what is stored. A [`rows::File`] has a current version; each [`rows::Version`] has its content as a list of chunks.
//! - [`uses`]: how often each chunk is named. What nothing names any more stays for a day and is forgotten then ([`forget`]); each replica
//!   removes the bytes of what no row of its own names, once they have not been wanted for a day (`node/blobs/scrub`), and the leader does so in
//!   the store (`node/blobs/collect`).
//! - [`digest`]: cuts what arrives, and hashes it so that an upload goes on wherever it was broken off: chaining values of BLAKE3 for each
//!   chunk, and the inner value of SHA-256 at the last whole one.
//! - [`upload`]: uploads that go on after they broke off. How far one is, is a row: any node and any leader can go on.
//! - One file a command: [`create`], [`version_add`], [`restore`], [`version_delete`], [`delete`], [`change`], [`upload`], [`advance`],
//!   [`abort`], [`forget`], [`secret`].
//!
//! Invariants: a chunk that a version or an upload names has a [`ChunkUse`](storage::table::ChunkUse) with a count above 0. The totals are the
//! sums of what versions and uploads say. A version's content never changes.
//!
//! CAVEATS: chunks have fixed places, so that only files that begin alike share any. What a plan may store counts every version whole,
//! shared chunks or not.

pub(crate) mod abort;
pub(crate) mod advance;
pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod digest;
pub(crate) mod forget;
pub(crate) mod link;
pub(crate) mod list;
pub(crate) mod name;
pub(crate) mod restore;
pub(crate) mod rows;
pub(crate) mod secret;
pub(crate) mod sight;
pub(crate) mod upload;
pub(crate) mod uses;
pub(crate) mod version_add;
pub(crate) mod version_delete;

#[cfg(test)]
mod tests;
