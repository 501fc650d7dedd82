//! The search for an order of a register's operations that explains what was seen.
//!
//! Wing and Gong, "Testing and Verifying Concurrent Objects" (1993): among the operations that began before the first end that is
//! still open, try each as the next; go back when none fits. Lowe, "Testing for Linearizability" (2017): keep calls and ends in
//! one linked list from which operations are lifted and to which they return, and remember each pair of (operations done, state),
//! so that none is tried twice. The set of operations done is remembered as the XOR of 128 random bits of each (Zobrist, 1970):
//! a register of 20,000 operations would need 2.5 kB for each set otherwise. Two sets that share their bits would make a wrong
//! "no"; among 2^30 sets the odds are 2^-69.
//!
//! Two rules more, because values are unique: a register is not written again while a read of what it holds is still to come, and
//! whoever goes back goes back to the last write, since a read that fits is never the mistake. With them a history that has an
//! order is searched in nearly linear time, however many operations are under way at once.

use std::collections::HashSet;

use rig::random::Random;

use super::register::{ABSENT, Op, Register};
use crate::invariants::support::Deadline;

/// How many steps the search takes between two looks at the clock.
const STEPS: u64 = 4096;

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An order.
    Order,
    /// That there is none.
    NoOrder,
    /// Nothing in time.
    OutOfTime,
}

/// The calls and ends that are not lifted, in order of time: call `i` of the operation is node `2 * i`, its end `2 * i + 1`.
struct Entries {
    next: Vec<usize>,
    previous: Vec<usize>,
    head: usize,
}

impl Entries {
    fn new(register: &Register<'_>) -> Self {
        let ops = &register.ops;
        let mut order: Vec<usize> = (0..2 * ops.len()).collect();
        // At one time calls come before ends: what touches is concurrent.
        order.sort_by_key(|node| {
            let op = &ops[node / 2];
            if node % 2 == 0 { (op.call, 0) } else { (op.end, 1) }
        });
        let head = order.len();
        let (mut next, mut previous) = (vec![head; head + 1], vec![head; head + 1]);
        let mut last = head;
        for node in order {
            next[last] = node;
            previous[node] = last;
            last = node;
        }
        previous[head] = last;
        Self { next, previous, head }
    }

    fn lift(&mut self, op: usize) {
        for node in [2 * op, 2 * op + 1] {
            let (next, previous) = (self.next[node], self.previous[node]);
            self.next[previous] = next;
            self.previous[next] = previous;
        }
    }

    /// Undoes the last lift that is not undone.
    fn unlift(&mut self, op: usize) {
        for node in [2 * op + 1, 2 * op] {
            let (next, previous) = (self.next[node], self.previous[node]);
            self.next[previous] = node;
            self.previous[next] = node;
        }
    }
}

/// How far a search has come.
struct Search<'a> {
    ops: &'a [Op<'a>],
    bits: Vec<u128>,
    entries: Entries,
    /// Reads of each value that are still to come.
    unread: Vec<u32>,
    /// The operations done, as the XOR of their bits.
    done: u128,
    state: usize,
    /// What was tried.
    seen: HashSet<(u128, usize)>,
    /// The operations done, in order, each with the state before it.
    taken: Vec<(usize, usize)>,
}

impl<'a> Search<'a> {
    fn new(register: &'a Register<'a>) -> Self {
        let ops = &register.ops;
        let mut random = Random::new(0);
        let mut bits = || (u128::from(random.draw()) << 64) | u128::from(random.draw());
        let mut unread = vec![0; register.values.len()];
        for op in ops.iter().filter(|op| !op.writes) {
            unread[op.value] += 1;
        }
        Self {
            ops,
            bits: ops.iter().map(|_| bits()).collect(),
            entries: Entries::new(register),
            unread,
            done: 0,
            state: ABSENT,
            seen: HashSet::new(),
            taken: Vec::new(),
        }
    }

    /// Does an operation next, if it fits and that was not tried before.
    fn take(&mut self, index: usize) -> bool {
        let op = self.ops[index];
        let fits = if op.writes {
            self.unread[self.state] == 0
        } else {
            op.value == self.state
        };
        let after = self.done ^ self.bits[index];
        if !fits || !self.seen.insert((after, op.value)) {
            return false;
        }
        self.taken.push((index, self.state));
        self.done = after;
        self.state = op.value;
        self.unread[op.value] -= u32::from(!op.writes);
        self.entries.lift(index);
        true
    }

    /// Undoes what was done since the last write, and that; a read that fits is never the mistake. Returns the write.
    fn back(&mut self) -> Option<usize> {
        while let Some((index, before)) = self.taken.pop() {
            let op = self.ops[index];
            self.unread[op.value] += u32::from(!op.writes);
            self.state = before;
            self.done ^= self.bits[index];
            self.entries.unlift(index);
            if op.writes {
                return Some(index);
            }
        }
        None
    }
}

/// Searches for an order.
pub(super) fn search(register: &Register<'_>, deadline: Deadline) -> Found {
    let mut search = Search::new(register);
    let head = search.entries.head;
    let mut node = search.entries.next[head];
    let mut steps = 0_u64;
    while search.entries.next[head] != head {
        steps += 1;
        if steps.is_multiple_of(STEPS) && deadline.is_over() {
            return Found::OutOfTime;
        }
        if node % 2 == 1 {
            // An operation has ended that could not be done: what was done last was wrong.
            let Some(write) = search.back() else { return Found::NoOrder };
            node = search.entries.next[2 * write];
        } else if search.take(node / 2) {
            node = search.entries.next[head];
        } else {
            node = search.entries.next[node];
        }
    }
    Found::Order
}
