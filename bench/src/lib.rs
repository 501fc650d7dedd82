//! Measures the built binary: closed-loop and open-loop load over HTTP against a cluster of real processes.
//!
//! The rig starts the cluster and drives the load; here are the workloads ([`rig::tasks`], [`board`], [`run`], [`bulk`]), the longer
//! experiments ([`backfill`], [`moving`], [`idle`], [`scaling`], [`memory`], [`data`], [`search`], [`speed`], [`live`], [`kill_import`], other programs beside it ([`peers`]) and the [`report`]: JSON for machines, Markdown and one HTML file with its
//! plots for people. Every figure is the median of several runs, with the least and the most beside it.
//!
//! Invariants: every reply is checked for what was asked; a run with failed requests says so in its row. Nothing here imports
//! the platform's crates but `api`.
//!
//! CAVEATS: the load generator runs as a thread of this process, on the machine that it measures, and takes its share of the
//! cores. A report tells ratios within one sitting on one machine, not absolute speed.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to its user"
)]

pub mod backfill;
pub mod board;
pub mod bulk;
pub mod company;
pub mod compare;
pub mod corpus;
pub mod data;
pub mod files;
pub mod holds;
pub mod idle;
pub mod isolation;
pub mod kill_import;
pub mod live;
pub mod memory;
pub mod moving;
pub mod operation;
pub mod patch;
pub mod peers;
pub mod phases;
pub mod report;
pub mod run;
pub mod scaling;
pub mod schema;
pub mod search;
pub mod setup;
pub mod speed;

pub use rig::tasks;
