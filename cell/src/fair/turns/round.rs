//! Who has turns, who waits, and whose turn is next: the round itself, without a lock or a clock.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::super::unit::Units;
use super::lately::Lately;
use super::{Crowd, Turn};

/// Places of a tenant that are its own, for each unit of its weight. Raised: a flood of one tenant reaches others sooner. Lowered: a
/// tenant beside others has less under way.
const SHARE: usize = 4;
/// The same for a tenant that has had far more than the others lately.
const SHARE_OF_FLOOD: usize = 1;
/// Most of these.
const SHARE_MAX: usize = 64;
/// Requests of a tenant that wait at a time. Raised: more wait in vain where a tenant asks for more than it gets. Lowered: bursts are refused.
pub(super) const WAITING: usize = 1_024;
/// What a tenant of weight 1 is given each round.
const QUANTUM: Units = Units::whole(4);
/// Most that a request counts for in its round, so that a round is short.
pub(super) const COST_MAX: Units = Units::whole(64);
/// Who waits longer than this may pass beyond its share, where only so much of the places is taken. Raised: where the machine is slow for other reasons a
/// tenant starves beside idle places. Lowered: shares mean less.
const OVERDUE: Duration = Duration::from_millis(200);
const OVERDUE_PART: usize = 4;
/// How long after two tenants have come one after the other a node counts as shared.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Round {
    under_way: usize,
    beyond: usize,
    lines: HashMap<u64, Line>,
    /// Tenants that wait, in their order.
    order: VecDeque<u64>,
    last: u64,
    lately: Lately,
    /// When a tenant came after another one; none: it has not happened.
    shared_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Waiter>,
    /// What it may still have in this round, in thousandths of a unit; below zero: it has had more than was thought.
    deficit: i64,
    /// Whether it was given something in this round.
    is_visited: bool,
    under_way: usize,
    share: usize,
    weight: u64,
    /// Whether it has had far more than the others lately.
    is_flood: bool,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) cost: i64,
    since: Instant,
    pub(super) wake: oneshot::Sender<Turn>,
}

/// How much room there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Places.
    pub(super) window: usize,
    /// Places beyond shares while several tenants come.
    pub(super) spare: usize,
}

/// Where a request is.
pub(super) enum Place {
    /// It has its turn.
    AtOnce,
    /// It waits for it; whether for others of its own tenant alone, which has its share under way.
    Later(oneshot::Receiver<Turn>, bool),
}

impl Line {
    /// Takes the first one that waits, if the line may still have what it costs in this round.
    fn serve(&mut self, cost: i64) -> Option<Waiter> {
        if !self.is_visited {
            self.is_visited = true;
            let weight = i64::try_from(self.weight).unwrap_or(i64::MAX);
            self.deficit += i64::try_from(QUANTUM.0).unwrap_or(i64::MAX).saturating_mul(weight);
        }
        if self.deficit < cost {
            self.is_visited = false;
            return None;
        }
        self.deficit -= cost;
        self.waiting.pop_front()
    }

    /// Its weight, and whether it has had far more than the others. Returns how many it has under way beyond its share, before and now.
    fn weigh(&mut self, weight: u64, is_flood: bool) -> (usize, usize) {
        let before = self.beyond();
        let each = if is_flood { SHARE_OF_FLOOD } else { SHARE };
        (self.weight, self.is_flood) = (weight, is_flood);
        self.share = usize::try_from(weight)
            .unwrap_or(SHARE_MAX)
            .saturating_mul(each)
            .min(SHARE_MAX);
        (before, self.beyond())
    }

    fn beyond(&self) -> usize {
        self.under_way.saturating_sub(self.share)
    }

    /// Whether the one that waits first has waited for long. All of a flood have: one of it passes at a time, or it would fill the places whenever
    /// the machine is slow.
    fn is_overdue(&self, now: Instant) -> bool {
        let first = self.waiting.front().filter(|_| !self.is_flood || self.beyond() == 0);
        first.is_some_and(|waiter| now.saturating_duration_since(waiter.since) >= OVERDUE)
    }
}

impl Round {
    /// A request of a tenant comes: it has a place at once, or waits with what is returned; none: too many of its tenant wait.
    pub(super) fn comes(&mut self, tenant: u64, weight: u64, cost: i64, room: Room, now: Instant) -> Option<Place> {
        if self.last != tenant {
            if self.last != 0 {
                self.shared_at = Some(now);
            }
            self.last = tenant;
        }
        let weight = weight.clamp(1, 1_000);
        let is_flood = self.lately.asks(tenant, weight, cost.unsigned_abs(), now);
        let mut line = self.lines.remove(&tenant).unwrap_or_default();
        let (before, beyond) = line.weigh(weight, is_flood);
        self.beyond = self.beyond - before + beyond;
        let waits = line.waiting.len();
        let at_once = waits == 0 && self.takes(&line, room, now);
        let place = match waits {
            _ if at_once => Some(Place::AtOnce),
            WAITING.. => None,
            _ => {
                let (wake, turn) = oneshot::channel();
                line.waiting.push_back(Waiter { cost, since: now, wake });
                if waits == 0 {
                    self.order.push_back(tenant);
                }
                Some(Place::Later(turn, line.under_way >= line.share))
            }
        };
        self.lines.insert(tenant, line);
        if at_once {
            self.take(tenant);
        }
        place
    }

    /// Counts something that a tenant is given without a place; says whether it is beside others and has had far more than they lately.
    pub(super) fn is_far_beyond(&mut self, tenant: u64, weight: u64, cost: Units, now: Instant) -> bool {
        self.lately.asks(tenant, weight.clamp(1, 1_000), cost.0, now) && self.is_shared(now)
    }

    /// How it stands.
    pub(super) fn crowd(&self, now: Instant) -> Crowd {
        let lines = self.order.iter().filter_map(|tenant| self.lines.get(tenant));
        Crowd {
            under_way: self.under_way,
            beyond: self.beyond,
            waiting: lines.map(|line| line.waiting.len()).sum(),
            is_shared: self.is_shared(now),
        }
    }

    /// Whether nothing is kept of anybody.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.order.is_empty()
    }

    /// Whether somebody waits.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.order.is_empty()
    }

    fn is_shared(&self, now: Instant) -> bool {
        self.shared_at
            .is_some_and(|at| now.saturating_duration_since(at) < SHARED_FOR)
    }

    /// Whether there is a place for one more of a line.
    fn takes(&self, line: &Line, room: Room, now: Instant) -> bool {
        let beyond = !self.is_shared(now)
            || self.beyond < room.spare
            || line.is_overdue(now) && self.under_way < (room.window / OVERDUE_PART).max(1);
        self.under_way < room.window && (beyond || line.under_way < line.share)
    }

    fn take(&mut self, tenant: u64) {
        let line = self.lines.entry(tenant).or_default();
        line.under_way += 1;
        self.under_way += 1;
        if line.under_way > line.share {
            self.beyond += 1;
        }
    }

    /// A request is over.
    pub(super) fn give_back(&mut self, tenant: u64, cost: i64, actual: Option<Units>) {
        let Some(line) = self.lines.get_mut(&tenant) else { return };
        if line.under_way > line.share {
            self.beyond -= 1;
        }
        line.under_way -= 1;
        self.under_way -= 1;
        if let Some(actual) = actual {
            // What it cost more than was thought is taken from what it gets next.
            line.deficit -= i64::try_from(actual.min(COST_MAX).0).unwrap_or(i64::MAX) - cost;
        }
        self.rest_if_idle(tenant);
    }

    /// Forgets what a tenant has saved or owes once nobody of it waits any more, and all of it once nothing is under way either.
    fn rest_if_idle(&mut self, tenant: u64) {
        let Some(line) = self.lines.get_mut(&tenant).filter(|line| line.waiting.is_empty()) else {
            return;
        };
        (line.deficit, line.is_visited) = (0, false);
        if line.under_way == 0 {
            self.lines.remove(&tenant);
        }
    }

    /// Whose turn it is: deficit round robin over those who wait and for whom there is room. It has its place then.
    pub(super) fn next(&mut self, room: Room, now: Instant) -> Option<(u64, Waiter)> {
        let mut passed = 0;
        while passed < self.order.len() {
            let tenant = *self.order.front()?;
            let mut line = self.lines.remove(&tenant).unwrap_or_default();
            while line.waiting.front().is_some_and(|waiter| waiter.wake.is_closed()) {
                line.waiting.pop_front();
            }
            let found = match line.waiting.front().map(|waiter| waiter.cost) {
                None => {
                    self.order.pop_front();
                    None
                }
                Some(_) if !self.takes(&line, room, now) => {
                    passed += 1;
                    self.order.rotate_left(1);
                    None
                }
                Some(cost) => {
                    let served = line.serve(cost);
                    if served.is_none() {
                        passed = 0;
                        self.order.rotate_left(1);
                    }
                    served
                }
            };
            self.lines.insert(tenant, line);
            if let Some(waiter) = found {
                self.take(tenant);
                return Some((tenant, waiter));
            }
            self.rest_if_idle(tenant);
        }
        None
    }
}
