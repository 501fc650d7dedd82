//! What a child prints: followed by a thread, kept in a file, understood where it says who runs and whether all is ready.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ChildStdout;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};

/// What was printed so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The last process id of each node: from lines `node NAME pid PID`.
    pub(super) pids: BTreeMap<String, u32>,
    /// Whether a line `ready` was printed.
    pub(super) ready: bool,
    /// Whether the output has ended: the child is gone.
    ended: bool,
}

/// The output of one child.
#[derive(Clone, Debug)]
pub(super) struct Output(Arc<(Mutex<Seen>, Condvar)>);

impl Output {
    /// Follows a child's output into a file, on a thread that ends with the child.
    pub(super) fn follow(stdout: ChildStdout, file: &Path) -> Result<Self> {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(file)
            .with_context(|| format!("open {}", file.display()))?;
        let output = Self(Arc::default());
        let own = output.clone();
        let follow = move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The file is for people; without it the run goes on.
                let _ = writeln!(file, "{line}");
                own.take(&line);
            }
            own.seen().ended = true;
            own.0.1.notify_all();
        };
        std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(follow)
            .context("start a thread")?;
        Ok(output)
    }

    fn take(&self, line: &str) {
        let mut seen = self.seen();
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["node", name, "pid", pid] => {
                if let Ok(pid) = pid.parse() {
                    seen.pids.insert(name.to_owned(), pid);
                }
            }
            ["ready", ..] => seen.ready = true,
            _ => return,
        }
        drop(seen);
        self.0.1.notify_all();
    }

    /// Waits until what was printed meets a condition. False: the deadline came, or the output ended without it.
    pub(super) fn wait(&self, deadline: Instant, met: impl Fn(&Seen) -> bool) -> bool {
        let mut seen = self.seen();
        loop {
            if met(&seen) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || seen.ended {
                return false;
            }
            seen = self.0.1.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A node's last process id.
    pub(super) fn pid(&self, name: &str) -> Option<u32> {
        self.seen().pids.get(name).copied()
    }

    /// The last process ids of all nodes.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.seen().pids.values().copied().collect()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A thread that panicked while it held the lock left whole values behind: each is set at once.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
