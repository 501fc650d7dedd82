//! A tap on a space: what is applied to it is also kept for the one who moves it to another cell.
//!
//! The mover registers a tap and then takes a snapshot. Whatever the snapshot does not show is applied after it was taken, hence after
//! the tap was there: the commands in the tap with higher positions than the snapshot's are exactly what it lacks. Only commands that
//! the space took are kept, refused ones among them; what a hold kept out is not, because the other cell would take it.
//!
//! A tap is no part of applying: nothing that is stored depends on it. One that holds too much, or whose replica was replaced by a
//! snapshot, is broken, and the move begins again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use storage::Space;

use super::limits::TAP_BYTES;

/// What was applied, in order.
#[derive(Default)]
struct Buffer {
    entries: VecDeque<(u64, Bytes)>,
    bytes: usize,
    broken: bool,
}

/// A tap on one space.
#[derive(Default)]
pub(crate) struct Tap(Mutex<Buffer>);

/// The tap is broken: something that was applied is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl Tap {
    /// Takes what comes next: at most so many commands and bytes, but one at least where there is one.
    pub(crate) fn take(&self, commands: usize, bytes: usize) -> Result<Vec<(u64, Bytes)>, Broken> {
        let mut buffer = lock(&self.0);
        if buffer.broken {
            return Err(Broken);
        }
        let (mut taken, mut size) = (Vec::new(), 0);
        while let Some((_, next)) = buffer.entries.front() {
            size += next.len();
            if taken.len() >= commands || (size > bytes && !taken.is_empty()) {
                break;
            }
            let next = buffer.entries.pop_front();
            taken.extend(next);
        }
        buffer.bytes -= taken.iter().map(|(_, entry)| entry.len()).sum::<usize>();
        Ok(taken)
    }

    /// How many commands wait, and their bytes.
    pub(crate) fn backlog(&self) -> (usize, usize) {
        let buffer = lock(&self.0);
        (buffer.entries.len(), buffer.bytes)
    }

    fn push(&self, index: u64, entry: Bytes) {
        let mut buffer = lock(&self.0);
        buffer.bytes += entry.len();
        buffer.entries.push_back((index, entry));
        if buffer.bytes > TAP_BYTES {
            *buffer = Buffer {
                broken: true,
                ..Buffer::default()
            };
        }
    }

    fn break_off(&self) {
        lock(&self.0).broken = true;
    }
}

/// The taps of one replica, and the spaces that came to it.
#[derive(Default)]
pub(crate) struct Taps {
    /// Whether there is any: what is applied usually finds none.
    any: AtomicBool,
    taps: Mutex<BTreeMap<Space, Arc<Tap>>>,
    landed: Mutex<BTreeSet<Space>>,
}

impl Taps {
    /// Whether there is any tap.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Keeps from now on what is applied to a space, until what is answered is dropped.
    pub(crate) fn register(self: &Arc<Self>, space: Space) -> Registered {
        let tap = Arc::new(Tap::default());
        lock(&self.taps).insert(space, Arc::clone(&tap));
        self.any.store(true, Ordering::Release);
        Registered {
            tap,
            space,
            taps: Arc::clone(self),
        }
    }

    /// A command was applied.
    pub(crate) fn applied(&self, space: Space, index: u64, entry: &Bytes) {
        if let Some(tap) = lock(&self.taps).get(&space) {
            tap.push(index, entry.clone());
        }
    }

    /// The state was replaced by another replica's.
    pub(crate) fn replaced(&self) {
        lock(&self.taps).values().for_each(|tap| tap.break_off());
    }

    /// A space has come.
    pub(crate) fn land(&self, space: Space) {
        lock(&self.landed).insert(space);
    }

    /// The spaces that have come since this was asked last.
    pub(crate) fn take_landed(&self) -> BTreeSet<Space> {
        std::mem::take(&mut lock(&self.landed))
    }
}

/// A tap that ends when this is dropped.
pub(crate) struct Registered {
    /// The tap.
    pub(crate) tap: Arc<Tap>,
    space: Space,
    taps: Arc<Taps>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut taps = lock(&self.taps.taps);
        // Another one may have taken its place.
        if taps.get(&self.space).is_some_and(|tap| Arc::ptr_eq(tap, &self.tap)) {
            taps.remove(&self.space);
        }
        self.taps.any.store(!taps.is_empty(), Ordering::Release);
    }
}

/// What is locked is whole after every statement, whatever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_applied_is_taken_once_in_order_and_too_much_breaks_it() {
        let taps = Arc::new(Taps::default());
        assert!(!taps.any());
        let registered = taps.register(Space(7));
        let entry = |bytes: usize| Bytes::from(vec![0; bytes]);
        for (space, index) in [(7, 3), (8, 4), (7, 5), (7, 6)] {
            taps.applied(Space(space), index, &entry(10));
        }
        assert_eq!(registered.tap.backlog(), (3, 30));
        let indexes = |taken: Vec<(u64, Bytes)>| taken.into_iter().map(|(index, _)| index).collect::<Vec<_>>();
        assert_eq!(registered.tap.take(9, 1).map(indexes), Ok(vec![3]), "one at least");
        assert_eq!(registered.tap.take(9, 20).map(indexes), Ok(vec![5, 6]));
        assert_eq!(registered.tap.take(9, 20).map(indexes), Ok(vec![]));
        taps.applied(Space(7), 7, &entry(TAP_BYTES + 1));
        assert_eq!(registered.tap.take(9, 20), Err(Broken));
        let again = taps.register(Space(7));
        drop(registered);
        assert!(taps.any(), "the later one stays");
        taps.replaced();
        assert_eq!(again.tap.take(9, 20), Err(Broken));
        drop(again);
        assert!(!taps.any());
    }
}
