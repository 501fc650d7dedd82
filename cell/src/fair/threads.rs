//! Threads of lower priority, and time on a core.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use thread_priority::ThreadPriority;
use thread_priority::unix::{NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id};
use tokio::runtime::{Builder, Handle, Runtime};

/// How long a nap is; the kernel's timers add some 50 µs.
const NAP: Duration = Duration::from_micros(1);

/// Threads that leave the cores to others, or not. Work on them ends with the process: nothing waits for it.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts them. Those that give way compute while a core is free: whoever wakes up takes it from them at once.
    pub(super) fn start(name: &str, workers: usize, gives_way: bool) -> std::io::Result<Self> {
        let lower = move || {
            if gives_way {
                give_way();
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

/// Makes this thread one of the scheduling class `SCHED_IDLE` (sched(7)). A lower priority is not enough: beside it a thread of any priority keeps
/// its core for a whole slice of some milliseconds before another that wakes up gets it, and a write wakes six of them one after the other.
fn give_way() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
        tracing::debug!(?error, "a thread keeps its priority");
    }
}

/// Lets the core go idle for a moment. To the kernel a core on which a thread of `SCHED_IDLE` computes is not idle: where another core has two threads to run, an idle
/// one takes one of them at once, and this one at the next tick, which may be four milliseconds away.
pub(crate) fn nap() {
    std::thread::sleep(NAP);
}

/// For how long this thread has been on a core. Unlike a clock it stands while others are.
pub(crate) fn core_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use thread_priority::unix::thread_schedule_policy;

    use super::*;

    #[test]
    fn a_thread_gives_way_and_time_counts_what_it_computes() {
        let waits = Builder::new_current_thread().build().expect("a runtime");
        for gives_way in [true, false] {
            let threads = Threads::start("test", 1, gives_way).expect("threads");
            let policy = threads.handle().spawn_blocking(thread_schedule_policy);
            let policy = waits.block_on(policy).expect("no panic").expect("a policy");
            let is_idle = matches!(policy, ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle));
            assert_eq!(is_idle, gives_way, "{policy:?}");
        }
        let start = core_time();
        while core_time() - start < Duration::from_millis(1) {
            std::hint::spin_loop();
        }
    }
}
