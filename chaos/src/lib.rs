//! The chaos harness: a real cluster of the built binary, faults from a seed, a workload whose every operation is recorded, and
//! checkers that hold the record against what the platform promises.
//!
//! A run is green, violated or INVALID, never "probably fine": see [`verdict`]. The record of a run is [`history`]; what was
//! read back at its end is [`ending`]; each checker is one file of [`invariants`] and sees nothing else.
//!
//! Invariants: black box, like all of `chaos`: nothing here imports the platform's crates but `api`. An operation whose outcome
//! is not known stays unknown for ever.

pub mod ending;
pub mod history;
pub mod invariants;
pub mod verdict;
