//! Scrubs: the replicas of a group compare what they hold, and the odd one out is rebuilt.
//!
//! ```text
//!  leader      proposes `ScrubBegin` ──► log ──► every replica applies it at the same position, pins what it holds there (`pins`),
//!     │                                          and hashes it in the background: keys, values, and the blocks of its file
//!     │  asks each for what came out (`ask`)
//!     ▼
//!  judges (`verdict`): a replica that differs from a majority of three or more is told so, marks its store as damaged, and
//!  repairs itself (`node::repair`). Without a majority nobody is rebuilt, and that is said loudly.
//! ```
//!
//! Each cell is scrubbed once a day (`run`), and when an operator asks. The command stores when it came, and nothing else: what a
//! replica finds is its own, and lives in memory.
//!
//! A leader that is itself the odd one out hands over to one of the majority first.
//!
//! A replica that is replaying, away or being repaired takes no part; then the others are compared, and the scrub is `incomplete`. A
//! replica whose file is wrong needs no majority: it knows by the checksums.
//!
//! A cell with one replica is scrubbed only when an operator asks: there is nobody to rebuild it from, and a cell that is read would
//! stop for a block that nobody may ever need. A version that does not know the command stops at it, so that all are asked first.
//!
//! CAVEATS: a leader that changes meanwhile forgets the scrub; the next one is begun by the next leader when its time has come. What
//! all replicas hold alike is right by definition.

pub(crate) mod ask;
pub(crate) mod begin;
pub(crate) mod pins;
pub(crate) mod run;
pub(crate) mod verdict;
