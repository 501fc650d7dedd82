//! Processes that compute and give way to everybody: what the machine itself does to whoever shares it.
//!
//! One for each core, of the scheduling class `SCHED_IDLE` (sched(7)), which the kernel runs only where nothing else wants the core. They ask the platform
//! for nothing. What victims notice beside them is therefore the floor for any work that uses up what others leave, whoever schedules it.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How often it is looked whether it is over.
const LOOK: Duration = Duration::from_millis(10);

/// A process that is ended with this.
struct Spinning(Child);

impl Drop for Spinning {
    fn drop(&mut self) {
        // It computes and nothing else: where it is gone already there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Computes on all cores until it is told to stop.
pub(super) fn compute(stopped: &AtomicBool) -> Result<()> {
    let cores = std::thread::available_parallelism().context("count the cores")?;
    let mut spinning = Vec::new();
    for _ in 0..cores.get() {
        let child = Command::new("chrt")
            .args(["--idle", "0", "sh", "-c", "while :; do :; done"])
            .stdin(Stdio::null())
            .spawn()
            .context("start chrt (util-linux)")?;
        spinning.push(Spinning(child));
    }
    while !stopped.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        for one in &mut spinning {
            let ended = one.0.try_wait().context("look at a process")?;
            ensure!(ended.is_none(), "a process that should compute has ended: {ended:?}");
        }
    }
    Ok(())
}
