//! The load generator.
//!
//! A [`Script`] writes requests and judges replies; a [`Plan`] says how many connections, how long, and how they are paced.
//! [`drive`] runs it on a thread of its own, named `loader`, with a single-threaded runtime, so that a bench process may do
//! other things meanwhile (kill a node, say) without disturbing the clock.
//!
//! - **Closed loop:** each connection sends its next request when the last was answered. It finds the throughput at a number
//!   of clients; its latencies leave out what nobody waited for (coordinated omission).
//! - **Open loop:** requests fall due at a fixed rate whether or not earlier ones were answered. Latency counts from the moment
//!   at which a request was *due*, so that a stall shows in everything that fell into it. What is outstanding is bounded by the
//!   number of connections; what waits for one keeps its due time. What is never sent is counted as the error `not_sent`.
//!
//! Invariants: every reply is checked by its script, and a reply that fails the check is an error and not a success. The longest
//! gap without a success includes the beginning and the end of the measured window.
//!
//! CAVEATS: latencies are microseconds up to one minute, three digits (HdrHistogram). A broken connection is opened again
//! on the next target after [`RECONNECT_PAUSE`]; the request that broke is not repeated, its outcome is unknown.

mod recorder;
mod worker;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Notify;

pub use recorder::{Outcome, Slot, histogram, summarize};

use crate::probe::Probe;

/// How long a connection waits after it broke before it is opened again.
pub const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// Writes the requests of one connection and judges their replies.
pub trait Script: Send {
    /// Appends the next request, whole, to `out` and returns its class: an index into [`Plan::classes`].
    fn request(&mut self, out: &mut Vec<u8>) -> usize;

    /// Judges the reply to the last request; an error is the kind under which it is counted.
    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String>;
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// The next after the last, on each connection.
    Closed,
    /// So many a second over all connections.
    Open {
        /// Requests a second.
        rate: f64,
    },
}

/// What becomes of a request whose target cannot be connected to, or has closed the connection before the request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It fails: as `connect`, or as `io`.
    Fails,
    /// It is sent to the next target of its group, and fails when none of them takes it. Once it was sent it is not sent again.
    Elsewhere {
        /// Target `n` and connection `n` belong to the group `n` modulo this; the number of targets is a multiple of it.
        groups: usize,
    },
}

impl Refused {
    /// Groups of targets.
    fn groups(self) -> usize {
        match self {
            Self::Fails => 1,
            Self::Elsewhere { groups } => groups,
        }
    }
}

/// One run of load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// API addresses; connection `n` begins with number `n` modulo their count.
    pub targets: Vec<SocketAddr>,
    /// What becomes of a request whose target cannot be connected to.
    pub refused: Refused,
    /// Keep-alive connections.
    pub connections: usize,
    /// Closed or open.
    pub pacing: Pacing,
    /// Load that is not measured, before the window.
    pub warmup: Duration,
    /// The measured window.
    pub window: Duration,
    /// How long a reply may take; after it the connection is dropped and the error counted as `timeout`.
    pub timeout: Duration,
    /// Names of the classes that scripts return.
    pub classes: Vec<&'static str>,
    /// Sampled at both ends of the window.
    pub probe: Option<Probe>,
    /// The window is also told in pieces of this length: see [`Outcome::slots`].
    pub slot: Option<Duration>,
}

/// Runs a plan; `script(n)` makes the script of connection `n`. Returns when the window is over and what was outstanding has
/// been answered or timed out.
pub fn drive(plan: &Plan, script: impl FnMut(usize) -> Box<dyn Script>) -> Result<Outcome> {
    drive_until(plan, script, &Notify::new())
}

/// Runs a plan like [`drive`], and ends its window as soon as it is told to.
pub fn drive_until(plan: &Plan, script: impl FnMut(usize) -> Box<dyn Script>, stop: &Notify) -> Result<Outcome> {
    anyhow::ensure!(
        !plan.targets.is_empty() && plan.connections > 0,
        "a plan needs a target and a connection"
    );
    let groups = plan.refused.groups();
    anyhow::ensure!(
        groups > 0 && plan.targets.len().is_multiple_of(groups),
        "{} targets are not dealt to {groups} groups evenly",
        plan.targets.len()
    );
    let scripts: Vec<_> = (0..plan.connections).map(script).collect();
    std::thread::scope(|scope| {
        let run = || -> Result<Outcome> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("start a runtime")?;
            tokio::task::LocalSet::new().block_on(&runtime, worker::run(plan.clone(), scripts, stop))
        };
        let thread = std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn_scoped(scope, run)
            .context("start the loader")?;
        match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests;
