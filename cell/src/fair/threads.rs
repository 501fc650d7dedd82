//! Threads of lower priority, and time on a core.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Handle, Runtime};

/// The lowest priority that Linux has for ordinary threads.
pub(super) const LOWEST: i32 = 19;
/// That of long queries: beside requests that are short they get little of a core that both want, and all of one that is free.
pub(super) const LONG: i32 = 15;

/// Threads of one priority. Work on them ends with the process: nothing waits for it.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts them; none: they have the priority of all others.
    pub(super) fn start(name: &str, workers: usize, priority: Option<i32>) -> std::io::Result<Self> {
        let lower = move || {
            if let Some(priority) = priority
                && let Err(error) = rustix::process::setpriority_process(None, priority)
            {
                tracing::debug!(%error, "a thread keeps its priority");
            }
        };
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads(workers)
            .thread_name(name)
            .on_thread_start(lower)
            .enable_all();
        Ok(Self(Some(builder.build()?)))
    }

    /// Where work is given to them.
    pub(crate) fn handle(&self) -> Handle {
        self.0
            .as_ref()
            .map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// For how long this thread has been on a core. Unlike a clock it stands while others are.
pub(crate) fn core_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_the_priority_and_time_counts_what_it_computes() {
        let threads = Threads::start("test", 1, Some(LOWEST)).expect("threads");
        let found = threads.handle().spawn_blocking(|| rustix::process::getpriority_process(None));
        let waits = Builder::new_current_thread().build().expect("a runtime");
        assert_eq!(waits.block_on(found).expect("no panic").expect("a priority"), LOWEST);
        let start = core_time();
        while core_time() - start < Duration::from_millis(1) {
            std::hint::spin_loop();
        }
    }
}
