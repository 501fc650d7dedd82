//! What one tenant may use and has used, on this node.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::{Bucket, Budget, Level};
use super::kept::Kept;
use super::unit::Units;
use crate::config::Plan;

/// Requests of a tenant that a node serves at a time, for each unit a second of its plan.
const AT_ONCE_PER_UNIT: f64 = 0.1;
/// Bounds of that.
const AT_ONCE: (usize, usize) = (32, 2_048);
/// Followers of events of a tenant at a node, for each unit a second of its plan, and bounds of that.
const FOLLOWERS: (usize, usize) = (100, 10_000);

/// Connections of a tenant at a node, for each unit a second of its plan where that says no number, and bounds of that.
const CONNECTIONS: (usize, usize) = (1_000, 12_000);
/// How long what a tenant stores is not looked at again once it was far below what its plan stores. Raised: limits that are lowered hold later.
/// Lowered: more lookups.
const ROOMY: Duration = Duration::from_millis(100);
/// How often what its plan stores a tenant may have kept of files at a node within a day.
const KEPT_A_DAY: u64 = 4;

/// What a tenant's plan gives it on each node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The name of its plan.
    pub(crate) plan: Arc<str>,
    /// Its weight against others.
    pub(crate) weight: u64,
    /// Its units: of all nodes together.
    pub(crate) budget: Budget,
    /// Requests at a time.
    pub(crate) at_once: usize,
    /// Followers of events at a time.
    pub(crate) followers: usize,
    /// Connections at a time.
    pub(crate) connections: usize,
    /// What its records and files may be, in bytes.
    pub(crate) storage_bytes: u64,
    /// How many records it may have; none: as many as fit.
    pub(crate) records: Option<u64>,
}

impl Limits {
    /// What a plan gives.
    pub(crate) fn of(plan: &Plan) -> Self {
        let units = usize::try_from(plan.units_per_second).unwrap_or(usize::MAX);
        Self {
            plan: Arc::from(plan.name.as_str()),
            weight: plan.weight,
            budget: Budget {
                rate: plan.units_per_second,
                burst: plan.burst_units.max(plan.units_per_second),
            },
            at_once: ((units as f64 * AT_ONCE_PER_UNIT) as usize).clamp(AT_ONCE.0, AT_ONCE.1),
            followers: units.clamp(FOLLOWERS.0, FOLLOWERS.1),
            connections: plan.connections.map_or_else(
                || units.clamp(CONNECTIONS.0, CONNECTIONS.1),
                |most| usize::try_from(most).unwrap_or(usize::MAX),
            ),
            storage_bytes: plan.storage_gib.saturating_mul(1 << 30),
            records: plan.records,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Account {
    limits: Mutex<(Arc<Limits>, Instant)>,
    bucket: Mutex<Bucket>,
    /// Thousandths of a unit since the account was opened: charged here, and told by other nodes.
    own: AtomicU64,
    told: AtomicU64,
    /// What was charged here and others have not been told yet.
    untold: AtomicU64,
    /// Requests that were served here, and those that were refused because of a limit.
    requests: AtomicU64,
    refused: AtomicU64,
    under_way: AtomicUsize,
    followers: AtomicUsize,
    connections: AtomicUsize,
    /// Until when what is stored needs no look: in milliseconds since it was opened.
    roomy_until: AtomicU64,
    kept: Mutex<Kept>,
    /// When it was opened.
    pub(crate) opened: Instant,
}

/// A place among so many.
#[derive(Debug)]
pub(crate) struct Place {
    account: Arc<Account>,
    of: fn(&Account) -> &AtomicUsize,
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.of)(&self.account).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Account {
    pub(super) fn new(limits: Arc<Limits>, now: Instant) -> Self {
        Self {
            bucket: Mutex::new(Bucket::full(limits.budget, now)),
            limits: Mutex::new((limits, now)),
            own: AtomicU64::new(0),
            told: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            followers: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            roomy_until: AtomicU64::new(0),
            kept: Mutex::default(),
            opened: now,
        }
    }

    /// What its plan gives, and when that was looked up.
    pub(super) fn limits(&self) -> (Arc<Limits>, Instant) {
        lock(&self.limits).clone()
    }

    pub(super) fn set_limits(&self, limits: Arc<Limits>, now: Instant) {
        *lock(&self.limits) = (limits, now);
    }

    /// How full its bucket is.
    pub(crate) fn level(&self, limits: &Limits) -> Level {
        lock(&self.bucket).look(limits.budget, Instant::now())
    }

    /// Charges what was used here.
    pub(crate) fn charge(&self, limits: &Limits, used: Units) {
        lock(&self.bucket).charge(limits.budget, used, Instant::now());
        self.own.fetch_add(used.0, Ordering::Relaxed);
        self.untold.fetch_add(used.0, Ordering::Relaxed);
    }

    /// Charges what another node has charged.
    pub(super) fn charge_told(&self, used: Units) {
        let (limits, _) = self.limits();
        lock(&self.bucket).charge(limits.budget, used, Instant::now());
        self.told.fetch_add(used.0, Ordering::Relaxed);
    }

    /// What others have not been told yet: now they are.
    pub(super) fn take_untold(&self) -> Units {
        Units(self.untold.swap(0, Ordering::Relaxed))
    }

    /// Units since it was opened: charged here, and by other nodes.
    pub(crate) fn used(&self) -> (Units, Units) {
        (
            Units(self.own.load(Ordering::Relaxed)),
            Units(self.told.load(Ordering::Relaxed)),
        )
    }

    /// Requests that were served here, and refused.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// Requests under way here, and followers.
    pub(crate) fn places(&self) -> (usize, usize) {
        (self.under_way.load(Ordering::Relaxed), self.followers.load(Ordering::Relaxed))
    }

    /// Counts a request.
    pub(crate) fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was refused because of a limit.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A place for one more request; none: it has as many as it may.
    pub(crate) fn request(self: &Arc<Self>, limits: &Limits) -> Option<Place> {
        self.place(limits.at_once, |account| &account.under_way)
    }

    /// A place for one more follower.
    pub(crate) fn follower(self: &Arc<Self>, limits: &Limits) -> Option<Place> {
        self.place(limits.followers, |account| &account.followers)
    }

    /// A place for one more connection, of so many.
    pub(crate) fn connection(self: &Arc<Self>, most: usize) -> Option<Place> {
        self.place(most, |account| &account.connections)
    }

    /// Connections that are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether what is stored was far below what the plan stores a moment ago.
    pub(crate) fn is_roomy(&self) -> bool {
        self.age() < self.roomy_until.load(Ordering::Relaxed)
    }

    /// What is stored is far below what the plan stores.
    pub(crate) fn set_roomy(&self) {
        let until = self.age().saturating_add(ROOMY.as_millis() as u64);
        self.roomy_until.store(until, Ordering::Relaxed);
    }

    /// Something large comes: what is stored is looked at again.
    pub(crate) fn set_not_roomy(&self) {
        self.roomy_until.store(0, Ordering::Relaxed);
    }

    /// Counts bytes of files that are to be kept; no: it has sent more within a day than its plan lets it.
    pub(crate) fn keep(&self, limits: &Limits, bytes: u64) -> bool {
        let most = limits.storage_bytes.saturating_mul(KEPT_A_DAY);
        lock(&self.kept).add(bytes, most, self.opened.elapsed())
    }

    /// Milliseconds since it was opened.
    fn age(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn place(self: &Arc<Self>, most: usize, of: fn(&Account) -> &AtomicUsize) -> Option<Place> {
        let place = Place {
            account: Arc::clone(self),
            of,
        };
        (of(self).fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }

    /// Whether nothing would be lost without it: its bucket is full, nothing is under way, and nothing was kept within a day.
    pub(super) fn is_idle(&self) -> bool {
        let (limits, _) = self.limits();
        self.places() == (0, 0)
            && self.connections() == 0
            && self.untold.load(Ordering::Relaxed) == 0
            && self.level(&limits).full_in.is_zero()
            && lock(&self.kept).sum(self.opened.elapsed()) == 0
    }
}

/// Numbers are whole whatever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(units_per_second: u64) -> Plan {
        Plan {
            name: "team".to_owned(),
            weight: 4,
            units_per_second,
            burst_units: 10 * units_per_second,
            storage_gib: 1,
            records: None,
            connections: None,
            events_days: 1,
            history_days: 1,
            dedicated: false,
        }
    }

    #[test]
    fn places_come_back_and_there_are_no_more_than_the_plan_gives() {
        let limits = Arc::new(Limits::of(&plan(400)));
        assert_eq!((limits.at_once, limits.followers), (40, 400));
        let account = Arc::new(Account::new(Arc::clone(&limits), Instant::now()));
        let held: Vec<_> = (0..40).map(|_| account.request(&limits).expect("a place")).collect();
        assert!(account.request(&limits).is_none() && account.follower(&limits).is_some());
        assert_eq!(account.places(), (40, 0));
        drop(held);
        assert!(account.request(&limits).is_some());
    }

    #[test]
    fn what_is_kept_of_files_is_some_times_what_the_plan_stores_and_not_forgotten_at_once() {
        let limits = Arc::new(Limits::of(&plan(100)));
        let account = Account::new(Arc::clone(&limits), Instant::now());
        assert!(account.is_idle() && account.keep(&limits, KEPT_A_DAY << 30));
        assert!(!account.keep(&limits, 1) && !account.is_idle());
    }

    #[test]
    fn what_others_tell_counts_and_is_not_told_again() {
        let limits = Arc::new(Limits::of(&plan(100)));
        let account = Account::new(Arc::clone(&limits), Instant::now());
        account.charge(&limits, Units::whole(600));
        account.charge_told(Units::whole(600));
        let level = account.level(&limits);
        assert!(level.left == 0 && level.empty_for.is_some(), "{level:?}");
        assert_eq!(account.used(), (Units::whole(600), Units::whole(600)));
        assert_eq!(account.take_untold(), Units::whole(600));
        assert_eq!(account.take_untold(), Units::default());
        assert!(!account.is_idle(), "it owes");
    }
}
