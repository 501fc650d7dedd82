//! Where the time of a request goes, and what it is charged for.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The part of a request's time that a stage took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Stage {
    /// Reading the request, finding its place, and forwarding it.
    Ingress,
    /// Who, which tenant, allowed.
    Gate,
    /// Waiting for its turn.
    Queue,
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
    pub const ALL: [Stage; 10] = [
        Stage::Ingress,
        Stage::Gate,
        Stage::Queue,
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
            Stage::Queue => "queue",
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

/// How long each [`Stage`] took, in microseconds, and what was read and written. Shared by all who serve one request.
#[derive(Debug, Default)]
pub struct Timing {
    stages: [AtomicU32; Stage::ALL.len()],
    core_micros: AtomicU64,
    rows: AtomicU64,
    commands: AtomicU64,
    changes: AtomicU64,
    command_bytes: AtomicU64,
}

/// What a request took, beside time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Microseconds on a core, for deciding and reading.
    pub core_micros: u64,
    /// Rows that were looked at.
    pub rows: u64,
    /// Commands that went into the log.
    pub commands: u64,
    /// Records that they change.
    pub changes: u64,
    /// Their length, in bytes.
    pub command_bytes: u64,
}

impl Timing {
    /// Adds to a stage.
    pub fn add(&self, stage: Stage, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.stages[stage as usize].fetch_add(micros, Ordering::Relaxed);
    }

    /// Microseconds of a stage so far; 0: it was not part of this request.
    pub fn micros(&self, stage: Stage) -> u32 {
        self.stages[stage as usize].load(Ordering::Relaxed)
    }

    /// So many rows were looked at, in so long on a core.
    pub fn read(&self, rows: u64, core: Duration) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.computed(core);
    }

    /// So long on a core.
    pub fn computed(&self, core: Duration) {
        let micros = u64::try_from(core.as_micros()).unwrap_or(u64::MAX);
        self.core_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// A command of so many bytes goes into the log.
    pub fn proposed(&self, bytes: usize) {
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.command_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// It changes so many records.
    pub fn changes(&self, records: usize) {
        self.changes.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// What it took so far.
    pub fn taken(&self) -> Taken {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Taken {
            core_micros: of(&self.core_micros),
            rows: of(&self.rows),
            commands: of(&self.commands),
            changes: of(&self.changes),
            command_bytes: of(&self.command_bytes),
        }
    }
}
