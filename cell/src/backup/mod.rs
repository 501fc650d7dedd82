//! Backups: all that a cell holds, in the store of its region, at any time of the last days.
//!
//! ```text
//! cells/NUMBER/LINE/head                                   up to when the archive is complete
//! cells/NUMBER/LINE/log/FIRST-LAST                         what the log had committed from one position to another
//! cells/NUMBER/LINE/bases/POSITION-ATTEMPT/UID-PIECE       archives of all tenants, from one snapshot
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
//! Invariants:
//! - Two leaders may archive at once: objects are written where none are, under names that say what is in them, and nothing but `head` is
//!   ever written over. What a segment holds is committed, so that two that overlap agree.
//! - A base counts once its manifest is there, and is whole: whatever a restore reads is verified, and what is not as it was written ends it.
//! - Where the log was purged before it was archived, a new base is made: times in the gap are refused, not guessed.
//! - Nothing waits for the store: what cannot be archived stays in the log, up to a bound.
//!
//! CAVEATS: the directory is not in it. What a tenant deletes, or is deleted with it, stays in the backups until they end.

pub(crate) mod base;
pub(crate) mod find;
pub(crate) mod keep;
pub(crate) mod manifest;
pub(crate) mod names;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod scratch;
pub(crate) mod segment;
mod sweep;
mod tender;
pub(crate) mod told;
pub(crate) mod turn;
pub(crate) mod vault;

#[cfg(test)]
mod tests;
