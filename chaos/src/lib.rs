//! The chaos harness: a real cluster of the built binary, faults from a seed, a workload whose every operation is recorded, and
//! checkers that hold the record against what the platform promises.
//!
//! A run is green, violated or INVALID, never "probably fine": see [`verdict`]. The record of a run is [`history`]; what was
//! read back at its end is [`ending`]; each checker is one file of [`invariants`] and sees nothing else.
//!
//! How a run goes: [`plan`] draws from the seed which of the [`faults`] hits whom and when; [`stage`] brings up three nodes with a
//! [`proxy`] on every link and, where needed, [`disks`] of their own; [`workload`] drives the clients; [`timeline`] fires and heals;
//! [`elections`] wants a reason for each new leader; [`liveness`] says what must come back; [`readback`] reads everything, [`shapes`]
//! what changes of schemas left, [`shelves`] the files, [`pages`] the documents, [`searches`] what is found and [`calls`] who is there; [`judge`] says what it amounts to; [`report`] shows it.
//! [`run`] is all of that in order, and [`campaign`] many of it. [`gate`] holds the checkers
//! against known bugs. [`measure`] uses the same faults to put figures on what clients notice. [`regions`] is about several regions, and
//! tenants that move.
//!
//! Invariants: black box, like all of `chaos`: nothing here imports the platform's crates but `api`. An operation whose outcome
//! is not known stays unknown for ever. Nothing that a run mounts or starts outlives it.

pub mod calls;
pub mod campaign;
pub mod content;
pub mod disks;
pub mod elections;
pub mod ending;
pub mod faults;
pub mod field;
pub mod gate;
pub mod history;
pub mod invariants;
pub mod judge;
mod ledger;
pub mod liveness;
pub mod measure;
pub mod noise;
pub mod pages;
pub mod plan;
pub mod proxy;
pub mod readback;
mod reader;
pub mod regions;
pub mod report;
pub mod run;
pub mod searches;
pub mod shapes;
pub mod shelves;
pub mod stage;
pub mod stalls;
pub mod stop;
pub mod timeline;
pub mod verdict;
pub mod workload;
mod yjs;
