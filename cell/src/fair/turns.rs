//! Turns: so many requests under way at a time, and those that wait drained by deficit round robin.
//!
//! A tenant has a share of places that nobody else can take, by its weight; one that has had far more than the others lately has a smaller one. Beyond
//! it, it gets places as long as it is alone, or as the governor finds that nobody waits for it. Who has waited for long gets a place where not many
//! are under way: it is not they who make it wait. While there is room a turn costs one short lock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

mod lately;
mod round;

use self::round::{COST_MAX, Place, Room, Round};
use super::unit::Units;

/// Requests of a cell that are under way at a node at a time. Raised: more wait inside for log and processor, where nobody is preferred. Lowered: fewer
/// writes share an fsync.
const REQUESTS: usize = 256;
/// How long a request waits for its turn. Raised: answers that come too late. Lowered: refusals that would have passed.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Turns {
    window: usize,
    patience: Duration,
    /// Places beyond shares that may be taken while the node is shared.
    spare: AtomicUsize,
    round: Mutex<Round>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    tenant: u64,
    cost: i64,
    actual: Option<Units>,
    /// Whether it was waited for because its tenant had its share under way.
    is_own_wait: bool,
}

/// Why there is no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowded {
    /// The tenant itself has too many that wait.
    Own,
    /// It did not come in time.
    Late,
}

/// How it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crowd {
    /// Under way.
    pub(crate) under_way: usize,
    /// Of these, beyond shares.
    pub(crate) beyond: usize,
    /// Waiting.
    pub(crate) waiting: usize,
    /// Whether several tenants come.
    pub(crate) is_shared: bool,
}

impl Crowd {
    /// This one and another.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            under_way: self.under_way + other.under_way,
            beyond: self.beyond + other.beyond,
            waiting: self.waiting + other.waiting,
            is_shared: self.is_shared || other.is_shared,
        }
    }
}

impl Turns {
    /// Turns for the requests of a cell.
    pub(crate) fn of_requests() -> Arc<Self> {
        Self::new(REQUESTS, PATIENCE)
    }

    /// Turns with so many places, for which is waited so long.
    pub(crate) fn new(window: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            window,
            patience,
            spare: AtomicUsize::new(window),
            round: Mutex::default(),
        })
    }

    /// The same, where shares are kept free as long as several tenants come.
    pub(crate) fn of_shares(window: usize, patience: Duration) -> Arc<Self> {
        let turns = Self::new(window, patience);
        turns.set_spare(0);
        turns
    }

    /// A place for a request of a tenant, at once or in its turn. `cost`: what it is thought to cost.
    pub(crate) async fn enter(self: &Arc<Self>, tenant: u64, weight: u64, cost: Units) -> Result<Turn, Crowded> {
        let cost = i64::try_from(cost.min(COST_MAX).0).unwrap_or(i64::MAX).max(1);
        let place = self.lock().comes(tenant, weight, cost, self.room(), Instant::now());
        let (turn, is_own_wait) = match place {
            Some(Place::AtOnce) => return Ok(self.turn(tenant, cost)),
            Some(Place::Later(turn, is_own_wait)) => (turn, is_own_wait),
            None => return Err(Crowded::Own),
        };
        // Those before it may have gone.
        self.wake();
        match tokio::time::timeout(self.patience, turn).await {
            Ok(Ok(mut turn)) => {
                turn.is_own_wait = is_own_wait;
                Ok(turn)
            }
            Ok(Err(_)) | Err(_) => Err(Crowded::Late),
        }
    }

    /// Lets so many be under way beyond shares while the node is shared, and wakes whom time has made a place for.
    pub(crate) fn set_spare(self: &Arc<Self>, spare: usize) {
        self.spare.store(spare, Ordering::Relaxed);
        self.wake();
    }

    /// How many may be.
    pub(crate) fn spare(&self) -> usize {
        self.spare.load(Ordering::Relaxed)
    }

    /// Counts something that a tenant is given without a place; says whether it is beside others and has had far more than they lately.
    pub(crate) fn is_far_beyond(&self, tenant: u64, weight: u64, cost: Units) -> bool {
        self.lock().is_far_beyond(tenant, weight, cost, Instant::now())
    }

    /// How it stands.
    pub(crate) fn crowd(&self) -> Crowd {
        self.lock().crowd(Instant::now())
    }

    fn room(&self) -> Room {
        Room {
            window: self.window,
            spare: self.spare(),
        }
    }

    fn turn(self: &Arc<Self>, tenant: u64, cost: i64) -> Turn {
        Turn {
            turns: Arc::clone(self),
            tenant,
            cost,
            actual: None,
            is_own_wait: false,
        }
    }

    /// Wakes those whose turn it is.
    fn wake(self: &Arc<Self>) {
        loop {
            let next = self.lock().next(self.room(), Instant::now());
            let Some((tenant, waiter)) = next else { return };
            // Whoever does not wait any more gives the place back by dropping it.
            let _ = waiter.wake.send(self.turn(tenant, waiter.cost));
        }
    }

    fn release(self: &Arc<Self>, tenant: u64, cost: i64, actual: Option<Units>) {
        let waits = {
            let mut round = self.lock();
            round.give_back(tenant, cost, actual);
            round.is_waited_for()
        };
        if waits {
            self.wake();
        }
    }

    /// Counts are whole whatever panicked.
    fn lock(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Whether it was waited for because its tenant had its share under way.
    pub(crate) fn is_own_wait(&self) -> bool {
        self.is_own_wait
    }

    /// Gives the place back, and says what the request has cost.
    pub(crate) fn end(mut self, actual: Units) {
        self.actual = Some(actual);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.release(self.tenant, self.cost, self.actual);
    }
}

#[cfg(test)]
#[path = "turns/tests.rs"]
mod tests;
