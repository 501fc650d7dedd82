//! Moments in which the machine stood still. A thread that sleeps a little and is run late has seen one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::workload::Controls;

/// How long the watcher sleeps at a time.
const SLEEP: Duration = Duration::from_millis(5);
/// What counts as a stall.
pub const STALL_MS: u64 = 100;

/// A moment in which the machine stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// When it ended, in milliseconds since the load began.
    pub at_ms: u64,
    /// How long it was.
    pub for_ms: u64,
}

/// Looks whether its thread is run when it is due.
pub struct Watch {
    stalls: Arc<Mutex<Vec<Stall>>>,
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    /// Starts it.
    pub fn start(controls: Arc<Controls>) -> Result<Self> {
        let (stalls, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, over) = (stalls.clone(), ended.clone());
        let thread = std::thread::Builder::new()
            .name("stalls".to_owned())
            .spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let before = Instant::now();
                    std::thread::sleep(SLEEP);
                    let late = before.elapsed().saturating_sub(SLEEP);
                    let for_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
                    if for_ms > STALL_MS {
                        let at_ms = controls.now_us() / 1_000;
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        seen.push(Stall { at_ms, for_ms });
                    }
                }
            })
            .context("start the watcher of stalls")?;
        Ok(Self { stalls, ended, thread })
    }

    /// Ends it; returns what it saw.
    pub fn end(self) -> Vec<Stall> {
        self.ended.store(true, Ordering::Relaxed);
        // A watcher that panicked has kept what it saw.
        let _ = self.thread.join();
        self.stalls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
