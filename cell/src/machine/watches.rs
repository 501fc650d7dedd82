//! Who waits for a space to change, so that nobody else is woken by it.
//!
//! Whoever waits registers first and looks at the space then; the machine tells after its commit. A commit that the look did not see
//! is told after the watch was there, so that none is missed. Where nobody watches, telling is one load.
//!
//! No part of applying: nothing that is stored depends on it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::Space;
use tokio::sync::watch;

/// The watches on one space.
struct Watched {
    /// How often it was told.
    told: watch::Sender<u64>,
    watches: usize,
}

/// The watches on the spaces of one replica.
#[derive(Default)]
pub(crate) struct Watches {
    /// How many spaces are watched.
    watched: AtomicUsize,
    spaces: Mutex<BTreeMap<Space, Watched>>,
}

impl Watches {
    /// Watches a space until what is answered is dropped.
    pub(crate) fn watch(self: &Arc<Self>, space: Space) -> Watch {
        let mut spaces = self.lock();
        let watched = spaces.entry(space).or_insert_with(|| Watched {
            told: watch::Sender::new(0),
            watches: 0,
        });
        watched.watches += 1;
        let told = watched.told.subscribe();
        self.watched.store(spaces.len(), Ordering::Release);
        drop(spaces);
        Watch {
            told,
            space,
            watches: Arc::clone(self),
        }
    }

    /// Commands were applied to these spaces, and are stored.
    pub(crate) fn tell(&self, applied: impl Iterator<Item = Space>) {
        if self.watched.load(Ordering::Acquire) == 0 {
            return;
        }
        let spaces = self.lock();
        let mut last = None;
        for space in applied {
            // Commands of a batch are often of one space.
            if last.replace(space) != Some(space)
                && let Some(watched) = spaces.get(&space)
            {
                watched.told.send_modify(|times| *times = times.wrapping_add(1));
            }
        }
    }

    /// The state was replaced by another replica's.
    pub(crate) fn replaced(&self) {
        let told = |watched: &Watched| watched.told.send_modify(|times| *times = times.wrapping_add(1));
        self.lock().values().for_each(told);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Space, Watched>> {
        // What is locked is whole after every statement, whatever panicked.
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watch on one space.
pub(crate) struct Watch {
    told: watch::Receiver<u64>,
    space: Space,
    watches: Arc<Watches>,
}

impl Watch {
    /// Waits until something was applied to the space since the watch began or this has said so last, at most so long.
    pub(crate) async fn changed(&mut self, most: Duration) -> bool {
        let changed = tokio::time::timeout(most, self.told.changed()).await;
        changed.is_ok_and(|changed| changed.is_ok())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut spaces = self.watches.lock();
        if let Some(watched) = spaces.get_mut(&self.space) {
            watched.watches -= 1;
            if watched.watches == 0 {
                spaces.remove(&self.space);
            }
        }
        self.watches.watched.store(spaces.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any test.
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_watch_hears_of_its_space_alone_and_of_nothing_twice() {
        let watches = Arc::new(Watches::default());
        watches.tell([Space(3)].into_iter());
        let (mut one, mut same, mut other) = (watches.watch(Space(3)), watches.watch(Space(3)), watches.watch(Space(4)));
        assert!(!one.changed(Duration::ZERO).await, "what was before is not news");
        watches.tell([Space(3), Space(3), Space(5)].into_iter());
        assert!(one.changed(LONG).await && same.changed(LONG).await);
        assert!(!one.changed(Duration::ZERO).await && !other.changed(Duration::ZERO).await);
        watches.replaced();
        assert!(one.changed(LONG).await && other.changed(LONG).await);
        drop((one, same));
        assert_eq!(watches.watched.load(Ordering::Acquire), 1);
        drop(other);
        assert_eq!(watches.watched.load(Ordering::Acquire), 0);
    }
}
