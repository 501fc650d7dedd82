//! What the load shares with the rest of a run: its record, its speed, and whom it sees lead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ending::Sitting;
use crate::history::{Action, Operation, Outcome};

const NOBODY: usize = usize::MAX;
/// Bodies with a foreign tag that are kept. One is enough to fail a run.
const FOREIGN_TAGS: usize = 50;

/// Who was seen to lead a group from some moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Microseconds since the run began.
    pub at_us: u64,
    /// The group.
    pub group: String,
    /// The node; none: nobody knew.
    pub leader: Option<String>,
    /// The term.
    pub term: u64,
}

/// See the module.
pub struct Controls {
    start: Instant,
    stopped: AtomicBool,
    times: AtomicU32,
    ease: AtomicU32,
    processes: AtomicU64,
    leader: AtomicUsize,
    acknowledged: AtomicU64,
    operations: Mutex<Vec<Operation>>,
    foreign: Mutex<Vec<String>>,
    refusals: Mutex<BTreeMap<String, u64>>,
    leaders: Mutex<Vec<Seen>>,
    kept: Mutex<BTreeMap<usize, u64>>,
    shelf: Mutex<Shelf>,
    words: Mutex<Vec<(usize, String)>>,
    sittings: Mutex<Vec<(usize, Sitting)>>,
}

/// Files that somebody has made: by tenant and name, the id and the newest version.
type Shelf = BTreeMap<(usize, String), (String, u64)>;

impl Default for Controls {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            stopped: AtomicBool::new(false),
            times: AtomicU32::new(1),
            ease: AtomicU32::new(1),
            processes: AtomicU64::new(0),
            leader: AtomicUsize::new(NOBODY),
            acknowledged: AtomicU64::new(0),
            operations: Mutex::default(),
            foreign: Mutex::default(),
            refusals: Mutex::default(),
            leaders: Mutex::default(),
            kept: Mutex::default(),
            shelf: Mutex::default(),
            words: Mutex::default(),
            sittings: Mutex::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while holding it left whole values behind: each is pushed or set at once.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Controls {
    /// Microseconds since the run began.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Asks everybody to end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to end.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// How many times the usual load.
    pub fn set_times(&self, times: u32) {
        self.times.store(times.max(1), Ordering::Relaxed);
    }

    /// Pauses so many times as long from now on, so that tenants stay small over a long run.
    pub fn ease(&self, times: u32) {
        self.ease.store(times.max(1), Ordering::Relaxed);
    }

    /// A pause of this load.
    pub(super) fn pause(&self, usual: Duration) -> Duration {
        usual * self.ease.load(Ordering::Relaxed)
    }

    pub(super) fn times(&self) -> u32 {
        self.times.load(Ordering::Relaxed)
    }

    /// A process number that nobody had.
    pub(super) fn process(&self) -> u64 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn record(&self, operation: Operation) {
        if operation.outcome == Outcome::Ok {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        lock(&self.operations).push(operation);
    }

    /// How many operations have been acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// How many operations have ended.
    pub fn operations(&self) -> u64 {
        lock(&self.operations).len() as u64
    }

    pub(super) fn foreign(&self, what: String) {
        let mut all = lock(&self.foreign);
        if all.len() < FOREIGN_TAGS {
            all.push(what);
        }
    }

    /// A refusal, by its code.
    pub(super) fn refused(&self, code: &str) {
        *lock(&self.refusals).entry(code.to_owned()).or_default() += 1;
    }

    pub(super) fn see(&self, seen: Seen, place: Option<usize>, is_tenants: bool) {
        if is_tenants {
            self.leader.store(place.unwrap_or(NOBODY), Ordering::Relaxed);
        }
        let mut all = lock(&self.leaders);
        let last = all.iter().rev().find(|one| one.group == seen.group);
        if last.is_none_or(|last| (&last.leader, last.term) != (&seen.leader, seen.term)) {
            all.push(seen);
        }
    }

    /// The place of the node that leads the tenants' cell, as far as it is known now.
    pub fn leader(&self) -> Option<usize> {
        Some(self.leader.load(Ordering::Relaxed)).filter(|place| *place != NOBODY)
    }

    /// A node, by its place, keeps so many bytes of log of one group.
    pub(super) fn keeps(&self, place: usize, bytes: u64) {
        let mut kept = lock(&self.kept);
        let most = kept.entry(place).or_default();
        *most = bytes.max(*most);
    }

    /// The most that a node was seen to keep.
    pub fn kept_bytes(&self, place: usize) -> u64 {
        lock(&self.kept).get(&place).copied().unwrap_or(0)
    }

    /// A file of a tenant has this version.
    pub(super) fn put_on_shelf(&self, tenant: usize, name: &str, id: &str, version: u64) {
        lock(&self.shelf).insert((tenant, name.to_owned()), (id.to_owned(), version));
    }

    /// The files that a tenant has, or has had: name, id, newest version.
    pub(super) fn shelf(&self, tenant: usize) -> Vec<(String, String, u64)> {
        let all = lock(&self.shelf);
        let own = all.iter().filter(|((place, _), _)| *place == tenant);
        own.map(|((_, name), (id, version))| (name.clone(), id.clone(), *version))
            .collect()
    }

    /// A tenant has been given a text with this word.
    pub(super) fn wrote(&self, tenant: usize, word: String) {
        lock(&self.words).push((tenant, word));
    }

    /// One of the words that a tenant has been given: 0 is the newest, numbers beyond the oldest begin anew.
    pub(super) fn word(&self, tenant: usize, number: u64) -> Option<String> {
        let all = lock(&self.words);
        let count = all.iter().filter(|(place, _)| *place == tenant).count();
        // The remainder of a length fits.
        let number = number.checked_rem(count as u64)? as usize;
        let mut own = all.iter().rev().filter(|(place, _)| *place == tenant);
        own.nth(number).map(|(_, word)| word.clone())
    }

    /// The same of any other tenant.
    pub(super) fn word_of_another(&self, tenant: usize, number: u64) -> Option<String> {
        let all = lock(&self.words);
        let others: Vec<_> = all.iter().filter(|(place, _)| *place != tenant).collect();
        // The remainder of a length fits.
        let number = number.checked_rem(others.len() as u64)? as usize;
        Some(others[number].1.clone())
    }

    /// A visitor of a tenant was at a topic.
    pub(super) fn sat(&self, tenant: usize, sitting: Sitting) {
        lock(&self.sittings).push((tenant, sitting));
    }

    /// How visitors of a tenant were at topics.
    pub fn sittings(&self, tenant: usize) -> Vec<Sitting> {
        let all = lock(&self.sittings);
        let own = all.iter().filter(|(place, _)| *place == tenant);
        own.map(|(_, sitting)| sitting.clone()).collect()
    }

    /// The records of one collection of a tenant, by its place, that the load has written one by one.
    pub fn crafted(&self, tenant: usize, wanted: &str) -> BTreeSet<String> {
        let all = lock(&self.operations);
        let id = |operation: &Operation| match &operation.action {
            Action::Craft { collection, id, .. } if operation.tenant == tenant && collection == wanted => Some(id.clone()),
            _ => None,
        };
        all.iter().filter_map(id).collect()
    }

    /// Looks at what has been recorded of a tenant.
    pub fn each(&self, tenant: usize, mut look: impl FnMut(&Operation)) {
        let all = lock(&self.operations);
        all.iter().filter(|operation| operation.tenant == tenant).for_each(&mut look);
    }

    /// All operations in the order in which they began.
    pub fn take_operations(&self) -> Vec<Operation> {
        let mut all = std::mem::take(&mut *lock(&self.operations));
        all.sort_by_key(|operation| operation.invoked_us);
        all
    }

    /// Bodies in which another tenant's tag was.
    pub fn take_foreign(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.foreign))
    }

    /// What was refused or lost how often, by code.
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        lock(&self.refusals).clone()
    }

    /// Who led when.
    pub fn leaders(&self) -> Vec<Seen> {
        lock(&self.leaders).clone()
    }
}
