//! Where the time of a request goes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The part of a request's time that a stage took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Stage {
    /// Reading the request, finding its place, and forwarding it.
    Ingress,
    /// Who, which tenant, allowed.
    Gate,
    /// The read barrier.
    Barrier,
    /// The decision above the log.
    Decide,
    /// From the proposal to the log.
    Propose,
    /// The log's fsync on the leader.
    Fsync,
    /// From there to the quorum.
    Commit,
    /// From the quorum to visible.
    Apply,
    /// Reading the store.
    Query,
}

impl Stage {
    /// Every stage, in the order of a request's life.
    pub const ALL: [Stage; 9] = [
        Stage::Ingress,
        Stage::Gate,
        Stage::Barrier,
        Stage::Decide,
        Stage::Propose,
        Stage::Fsync,
        Stage::Commit,
        Stage::Apply,
        Stage::Query,
    ];

    /// Its name in `Server-Timing` and `/metrics`.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Ingress => "ingress",
            Stage::Gate => "gate",
            Stage::Barrier => "barrier",
            Stage::Decide => "decide",
            Stage::Propose => "propose",
            Stage::Fsync => "fsync",
            Stage::Commit => "commit",
            Stage::Apply => "apply",
            Stage::Query => "query",
        }
    }
}

/// How long each [`Stage`] took, in microseconds. Shared by all who serve one request.
#[derive(Debug, Default)]
pub struct Timing([AtomicU32; Stage::ALL.len()]);

impl Timing {
    /// Adds to a stage.
    pub fn add(&self, stage: Stage, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.0[stage as usize].fetch_add(micros, Ordering::Relaxed);
    }

    /// Microseconds of a stage so far; 0: it was not part of this request.
    pub fn micros(&self, stage: Stage) -> u32 {
        self.0[stage as usize].load(Ordering::Relaxed)
    }
}
