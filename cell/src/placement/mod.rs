//! Placement: how a tenant's space goes from one cell to another while it is in use, as the two cells see it.
//!
//! ```text
//!              the cell that it leaves                      the cell that it goes to
//!
//!              Here                                         nothing, or what an earlier stay left
//!               │   a tap, then a snapshot                   │ SpaceClear            Clearing
//!               │   rows ─────────────────────────────────►  │ SpaceArrive, in turn  Copying
//!               │   commands after the snapshot ──────────►  │ SpaceFollow, in turn  Following
//!  SpaceTurn  Held      reads are served, writes wait        │
//!               │   the rest of the commands ─────────────►  │ SpaceFollow
//!               │                                           Arrived   reads are served, writes wait       SpaceTurn
//!               │     the directory names the other cell     │
//!  SpaceTurn  Departed  nothing is served                    │
//!               │                                           Here      all is served                       SpaceTurn
//!  SpaceErase …  Erased
//! ```
//!
//! Why nothing is lost, doubled or stale:
//! - A hold is a command. Whatever comes before it in the log is applied and goes along; whatever comes after it is refused by apply,
//!   the same on every replica, and is decided again where the space is served then.
//! - Applying is a pure function of the space's rows and the command. So the same rows and the same commands make the same rows, byte
//!   for byte: stamps, positions, sequences and the replies to idempotency keys among them. Where the space stands is not part of what
//!   is compared: it lies beside the header (`HeaderRow::V2`), and a step of a move changes nothing else.
//! - Chunks are numbered, and commands carry their position in the other cell's log: sending one again changes nothing.
//! - Every step names its attempt. The directory hands attempts out, each higher than all before; who was overtaken is refused by the
//!   directory and by both cells.
//! - Writes are served in one cell at a time: in the second one only after the first has applied that it has departed. Strong reads are
//!   never stale: the first cell serves them until then, and in the second one nothing can change before.
//!
//! A hold is released only by who has learnt from the directory that the attempt behind it can never switch any more.
//!
//! The directory's part is in `directory::move_begin` and `directory::move_turn`; who drives it all is `node::moving`.

pub(crate) mod arrive;
pub(crate) mod balance;
pub(crate) mod clear;
pub(crate) mod follow;
pub(crate) mod turn;

#[cfg(test)]
mod tests;
