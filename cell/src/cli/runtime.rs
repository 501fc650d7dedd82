//! The runtimes that commands run on, and the signals that end them.

use std::future::Future;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Result;
use crate::mutant;

/// Runs a command that waits for a server, on this thread.
pub(super) fn client(command: impl Future<Output = Result>) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(command)
}

/// Runs a command that is a server, on a thread a core.
pub(super) fn server(command: impl Future<Output = Result>) -> Result {
    mutant::warn();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let ended = runtime.block_on(command);
    // What still runs after the node has stopped (a blocked read of a slow disk) must not keep the process.
    runtime.shutdown_background();
    ended
}

/// Takes as many file descriptors as the system allows without asking: connections and files share them.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // The lower limit is enough for a small node; `doctor` says so where it is not.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        );
    }
}

/// The signals that ask a process to end.
#[derive(Debug)]
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Listens from now on: a signal that comes before [`Stop::asked`] is not lost.
    pub(super) fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
        })
    }

    /// Resolves when SIGINT (Ctrl-C) or SIGTERM arrives, with its name.
    pub(super) async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
