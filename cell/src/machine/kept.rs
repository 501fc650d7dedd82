//! A cache that keeps what was used lately, and counts how often it had what it was asked for.
//!
//! Two generations: what is used goes into the young one; when that is full it becomes the old one, and what nobody has used meanwhile is gone. So
//! a lookup costs what a map costs, and what many take turns with is not thrown out by its order. What is in it must be right whoever put it there
//! when: entries carry the version that they are of, and whoever asks says whether that holds.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug)]
pub(crate) struct Kept<K, V> {
    generations: Mutex<Generations<K, V>>,
    /// Most entries.
    most: usize,
    found: AtomicU64,
    missed: AtomicU64,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: BTreeMap<K, V>,
    old: BTreeMap<K, V>,
}

/// How often a cache had what it was asked for, and how often not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hits {
    pub(crate) found: u64,
    pub(crate) missed: u64,
}

impl<K: Ord, V: Clone> Kept<K, V> {
    /// For at most so many entries.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            generations: Mutex::new(Generations {
                young: BTreeMap::new(),
                old: BTreeMap::new(),
            }),
            most,
            found: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }
    }

    /// What is kept under a key, where it still holds.
    pub(crate) fn get(&self, key: K, holds: impl FnOnce(&V) -> bool) -> Option<V> {
        let mut generations = self.lock();
        let found = match generations.young.get(&key) {
            Some(young) => Some(young.clone()),
            None => generations
                .old
                .remove(&key)
                .inspect(|old| self.add(&mut generations, key, old.clone())),
        };
        drop(generations);
        let found = found.filter(holds);
        let count = if found.is_some() { &self.found } else { &self.missed };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps a value, unless `stays` says of what is there that it stays.
    pub(crate) fn put(&self, key: K, value: V, stays: impl FnOnce(&V) -> bool) {
        let mut generations = self.lock();
        let there = generations.young.get(&key).or_else(|| generations.old.get(&key));
        if !there.is_some_and(stays) {
            generations.old.remove(&key);
            self.add(&mut generations, key, value);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let mut generations = self.lock();
        generations.young.clear();
        generations.old.clear();
    }

    /// How often it had what it was asked for.
    pub(crate) fn hits(&self) -> Hits {
        Hits {
            found: self.found.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
        }
    }

    fn add(&self, generations: &mut Generations<K, V>, key: K, value: V) {
        if generations.young.len() >= self.most.div_ceil(2) && !generations.young.contains_key(&key) {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(key, value);
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        // Entries are put and removed whole: a panic in between leaves right ones.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any<V>(_: &V) -> bool {
        true
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes_within_its_bound() {
        let kept = Kept::new(10);
        for key in 0..100 {
            kept.put(key, key, |_| false);
            assert_eq!(kept.get(0, any), Some(0), "it was used all the time");
            let generations = kept.lock();
            assert!(generations.young.len() + generations.old.len() <= 10);
        }
        assert_eq!((kept.get(50, any), kept.get(99, any)), (None, Some(99)));
        let Hits { found, missed } = kept.hits();
        assert_eq!((found, missed), (101, 1));
        kept.clear();
        assert_eq!(kept.get(99, any), None);
    }

    #[test]
    fn what_does_not_hold_is_a_miss_and_what_stays_is_not_replaced() {
        let kept = Kept::new(4);
        kept.put("a", 2, |_| false);
        kept.put("a", 1, |there| *there > 1);
        assert_eq!(kept.get("a", |there| *there == 2), Some(2));
        assert_eq!(kept.get("a", |there| *there == 1), None);
        assert_eq!(kept.hits(), Hits { found: 1, missed: 1 });
        // Also where it has become old.
        kept.put("b", 0, any);
        kept.put("c", 0, any);
        kept.put("a", 1, |there| *there > 1);
        assert_eq!(kept.get("a", any), Some(2));
    }
}
