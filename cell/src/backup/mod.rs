//! Backups: all that a cell holds, in the store of its region, at any time of the last days.
//!
//! ```text
//! cells/NUMBER/LINE/head                                   up to when the archive is complete
//! cells/NUMBER/LINE/log/FIRST-LAST                         what the log had committed from one position to another
//! cells/NUMBER/LINE/named/FIRST-LAST-PIECE                 the chunks of files that a segment names
//! cells/NUMBER/LINE/chunks/UID/FI/HASH                     a chunk of a file of a tenant; FI begins the hash
//! cells/NUMBER/LINE/bases/POSITION-ATTEMPT/UID-PIECE       archives of all tenants, from one snapshot
//! cells/NUMBER/LINE/bases/POSITION-ATTEMPT/chunks-PIECE    the chunks of files that their rows name, and how many lists there are: chunks
//! cells/NUMBER/LINE/bases/POSITION-ATTEMPT/manifest        written last: what the base consists of
//! ```
//!
//! State at a time = a base that is not later + the commands behind it that were stamped until then, applied by the ordinary machine.
//! Applying is a pure function of rows and commands, so that what comes out is what was there, with all positions, stamps and ids.
//!
//! The leader of a cell archives (`run`): every few seconds what the log has got (`segment`), and once a day a new base (`base`, `manifest`).
//! How far it is lies in a row of the cell (`turn`), so that every replica keeps the log until it is archived, and whoever leads next goes on.
//! A LINE is one life of a cell's log: a cell that was lost with all its replicas begins another one under the same number.
//!
//! Contents of files are chunks on disks or in another store (`node/blobs`), and only their names are in log and rows. Each chunk is an object by
//! its hash, once for a line ([`keeper`]), and is there before what names it: before the segment (`chunks`, [`named`]), or the manifest of the base.
//! Lists say which those are ([`listed`]): a restore counts on them ([`stored`]), and what none of them names any more goes (`collect`).
//!
//! Invariants:
//! - Two leaders may archive at once: objects are written where none are, under names that say what is in them. Only `head`, lists, and chunks
//!   with the same bytes are ever written over. What a segment holds is committed, so that two that overlap agree.
//! - The chunks that rows name at a time that can be restored are in the store, but for those that a list says could not be had.
//! - A base counts once its manifest is there, and is whole: whatever a restore reads is verified, and what is not as it was written ends it.
//! - Where the log was purged before it was archived, a new base is made: times in the gap are refused, not guessed.
//! - What earlier lives of a cell have left stays while the cell lacks tenants of it ([`missing`]), however old it is.
//! - Nothing waits for the store: what cannot be archived stays in the log, up to a bound.
//!
//! CAVEATS: the directory is not in it. What a tenant deletes, or is deleted with it, stays in the backups until they end. A chunk is in the store
//! once for each life of each cell that the tenant was in. Of a tenant that has come to a cell and left it again before that was archived, the
//! chunks that it came with are not archived there; they are where it came from, and where it went.

pub(crate) mod base;
mod chunks;
mod collect;
pub(crate) mod find;
pub(crate) mod keep;
pub(crate) mod keeper;
pub(crate) mod listed;
pub(crate) mod manifest;
pub(crate) mod missing;
pub(crate) mod named;
pub(crate) mod names;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod scratch;
pub(crate) mod segment;
pub(crate) mod stored;
mod sweep;
mod tender;
pub(crate) mod told;
pub(crate) mod turn;
pub(crate) mod vault;

#[cfg(test)]
mod tests;
