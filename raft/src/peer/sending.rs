//! The snapshots that this node sends, and the log that is kept for them.
//!
//! A group sends one at a time, because each holds a view of the machine. What is written meanwhile must still be in the log when one
//! has arrived, and until its receiver has caught up: else that needs the next one, and never catches up while there is much to write. So
//! what a snapshot ends at is noted here from its beginning on; the group's keeper (`keeper`) purges no further, and decides how long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Default)]
pub(crate) struct Sending(Mutex<State>);

#[derive(Default)]
struct State {
    /// Groups of which a snapshot is on its way.
    groups: BTreeSet<u64>,
    /// By group and receiver, the index that the snapshot ends at which is on its way there or has arrived.
    kept: BTreeMap<(u64, u64), u64>,
}

/// A group's turn to send a snapshot; it ends when it is dropped, and the log is then kept no longer unless the snapshot arrived.
pub(crate) struct Turn<'a> {
    sending: &'a Sending,
    group: u64,
    to: u64,
    arrived: bool,
}

impl Turn<'_> {
    /// Ends the turn; the snapshot is there.
    pub(crate) fn arrived(mut self) {
        self.arrived = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.sending.lock();
        state.groups.remove(&self.group);
        if !self.arrived {
            state.kept.remove(&(self.group, self.to));
        }
    }
}

impl Sending {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group's turn to send a snapshot that ends at this index, unless it is sending one.
    pub(crate) fn turn(&self, group: u64, to: u64, ends_at: u64) -> Option<Turn<'_>> {
        let mut state = self.lock();
        if !state.groups.insert(group) {
            return None;
        }
        state.kept.insert((group, to), ends_at);
        drop(state);
        Some(Turn {
            sending: self,
            group,
            to,
            arrived: false,
        })
    }

    /// The lowest index behind which a group's log is needed. `needs` says it of each receiver, given what its snapshot ends at; of which
    /// it says none, that is forgotten. The highest of all: nothing is needed for it now.
    pub(crate) fn needed_from(&self, group: u64, mut needs: impl FnMut(u64, u64) -> Option<u64>) -> Option<u64> {
        let mut lowest: Option<u64> = None;
        self.lock().kept.retain(|(of, to), ends_at| {
            if *of != group {
                return true;
            }
            let needed = needs(*to, *ends_at);
            lowest = lowest.into_iter().chain(needed).min();
            needed.is_some()
        });
        lowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(sending: &Sending, group: u64) -> Option<u64> {
        sending.needed_from(group, |_, ends_at| Some(ends_at))
    }

    #[test]
    fn the_log_is_kept_for_a_snapshot_on_its_way_and_for_one_that_arrived() {
        let sending = Sending::default();
        let turn = sending.turn(1, 2, 50).unwrap();
        assert!(sending.turn(1, 3, 60).is_none(), "one at a time");
        assert_eq!((needed(&sending, 1), needed(&sending, 9)), (Some(50), None));
        turn.arrived();
        let other = sending.turn(1, 3, 60).unwrap();
        assert_eq!(needed(&sending, 1), Some(50));
        // Node 2 has caught up.
        assert_eq!(sending.needed_from(1, |to, ends_at| (to != 2).then_some(ends_at)), Some(60));
        assert_eq!(needed(&sending, 1), Some(60));
        drop(other);
        assert_eq!(needed(&sending, 1), None, "it did not arrive");
        assert!(sending.turn(1, 2, 70).is_some());
    }
}
