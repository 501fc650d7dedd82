//! The elastic class: work that nobody waits for within a second, done with what interactive work leaves.
//!
//! Who wants to go on takes units first, one tenant after the other (deficit round robin), at the rate that the governor allows. What it then
//! computes runs on threads of the lowest priority.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::threads::Threads;
use super::turns::Turns;
use super::unit::Units;

/// How long elastic work waits for units before it says that the node is busy. Raised: imports wait longer for a busy node. Lowered: they
/// are broken off more often.
const PATIENCE: Duration = Duration::from_secs(60);
/// For how long units are kept that nobody took. Raised: larger bursts. Lowered: a rate that is not reached.
const KEPT: Duration = Duration::from_millis(50);

/// See the module.
pub(crate) struct Elastic {
    is_on: bool,
    /// Who takes units next: one at a time.
    turns: Arc<Turns>,
    pace: Mutex<Pace>,
    changed: Notify,
    /// Thousandths of a unit that were taken since the governor looked last.
    taken: AtomicU64,
    /// The same since it began.
    all_taken: AtomicU64,
    threads: Threads,
}

#[derive(Debug)]
struct Pace {
    /// Units a second, in thousandths; none: as fast as it goes.
    rate: Option<f64>,
    level: f64,
    at: Instant,
}

/// The elastic class cannot go on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

impl Elastic {
    /// Starts its threads.
    pub(super) fn start(is_on: bool) -> std::io::Result<Self> {
        Ok(Self {
            is_on,
            turns: Turns::new(1, PATIENCE),
            pace: Mutex::new(Pace {
                rate: None,
                level: 0.0,
                at: Instant::now(),
            }),
            changed: Notify::new(),
            taken: AtomicU64::new(0),
            all_taken: AtomicU64::new(0),
            threads: Threads::start("elastic", 1, is_on)?,
        })
    }

    /// Where elastic work runs.
    pub(crate) fn handle(&self) -> Handle {
        self.threads.handle()
    }

    /// Runs work on the threads of the elastic class. It ends when who waits for it goes.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        Guarded(self.handle().spawn(work)).wait().await
    }

    /// Takes units for the next step of a tenant, when it is its turn and the rate allows it.
    pub(crate) async fn take(&self, tenant: u64, weight: u64, cost: Units) -> Result<(), Busy> {
        if !self.is_on {
            return Ok(());
        }
        let _turn = self.turns.enter(tenant, weight, cost).await.map_err(|_| Busy)?;
        loop {
            let changed = self.changed.notified();
            let Some(wait) = self.lock().take(cost, Instant::now()) else {
                break;
            };
            // A rate that changes while this waits counts at once.
            let _ = tokio::time::timeout(wait, changed).await;
        }
        self.taken.fetch_add(cost.0, Ordering::Relaxed);
        self.all_taken.fetch_add(cost.0, Ordering::Relaxed);
        Ok(())
    }

    /// Sets the rate, in units a second; none: as fast as it goes.
    pub(super) fn set_rate(&self, rate: Option<f64>) {
        let rate = rate.map(|rate| rate * Units::whole(1).0 as f64);
        let mut pace = self.lock();
        pace.fill(Instant::now());
        if pace.rate != rate {
            pace.rate = rate;
            self.changed.notify_waiters();
        }
    }

    /// Units that were taken since this was asked last.
    pub(super) fn take_count(&self) -> f64 {
        Units(self.taken.swap(0, Ordering::Relaxed)).as_f64()
    }

    /// Units that were taken since it began.
    pub(super) fn all_taken(&self) -> f64 {
        Units(self.all_taken.load(Ordering::Relaxed)).as_f64()
    }

    /// Units a second; none: as fast as it goes.
    pub(crate) fn rate(&self) -> Option<f64> {
        self.lock().rate.map(|rate| rate / Units::whole(1).0 as f64)
    }

    /// Whether somebody waits.
    pub(crate) fn is_wanted(&self) -> bool {
        self.turns.crowd().under_way > 0
    }

    fn lock(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        if let Some(rate) = self.rate {
            self.level = (self.level + rate * passed).min(rate * KEPT.as_secs_f64());
        }
    }

    /// Takes, or says how long to wait. What is taken may be owed: the next one waits for it.
    fn take(&mut self, cost: Units, now: Instant) -> Option<Duration> {
        self.fill(now);
        let rate = self.rate?;
        if self.level >= 0.0 {
            self.level -= cost.0 as f64;
            return None;
        }
        Some(Duration::try_from_secs_f64(-self.level / rate).unwrap_or(PATIENCE))
    }
}

/// A task that ends with who waits for it.
struct Guarded<T>(JoinHandle<T>);

impl<T> Guarded<T> {
    async fn wait(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_at_the_rate_and_may_owe_one_step() {
        let start = Instant::now();
        let mut pace = Pace {
            rate: Some(1_000_000.0),
            level: 0.0,
            at: start,
        };
        // A thousand units a second: a step of a hundred is owed, the next one comes a tenth of a second later.
        assert_eq!(pace.take(Units::whole(100), start), None);
        assert_eq!(pace.take(Units::whole(100), start), Some(Duration::from_millis(100)));
        assert_eq!(pace.take(Units::whole(100), start + Duration::from_millis(100)), None);
        // What nobody takes is kept for a short time only.
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.take(Units::whole(60), later), None);
        assert_eq!(pace.take(Units::whole(1), later), Some(Duration::from_millis(10)));
        pace.rate = None;
        assert_eq!(pace.take(Units::whole(1_000_000), later), None, "without a rate nobody waits");
    }

    #[test]
    fn a_rate_that_rises_wakes_who_waits() {
        let elastic = Arc::new(Elastic::start(true).expect("threads"));
        elastic.set_rate(Some(0.001));
        let waiting = Arc::clone(&elastic);
        let runtime = elastic.handle();
        let done = runtime.spawn(async move {
            waiting.take(1, 1, Units::whole(1)).await.expect("a first step is owed");
            waiting.take(1, 1, Units::whole(1)).await
        });
        let deadline = Instant::now() + Duration::from_secs(10);
        while elastic.take_count() < 1.0 {
            assert!(Instant::now() < deadline, "nothing was taken");
            std::thread::yield_now();
        }
        elastic.set_rate(None);
        let waits = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let ended = waits.block_on(async { tokio::time::timeout(Duration::from_secs(10), done).await });
        assert_eq!(ended.expect("in time").expect("no panic"), Ok(()));
    }
}
