//! Committed positions that wait to be taken along.
//!
//! A committed position must never be durable before the operations that were submitted before it: a group that finds itself
//! committed beyond its last entry cannot open. So each one remembers the operation that was the last one then, and a batch only
//! takes those whose operations it has, or earlier batches had.
//!
//! Of each group the newest position is wanted. Under load that one is always ahead of the batch; so the oldest that waits is
//! kept as well, and the newest one behind it moves up when it is taken.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// See the module.
#[derive(Default)]
pub(super) struct Waiting {
    groups: BTreeMap<u64, Positions>,
    since: Option<Instant>,
}

struct Positions {
    oldest: Position,
    newest: Option<Position>,
}

struct Position {
    /// Number of the last operation that was submitted before it.
    after: u64,
    bytes: Bytes,
}

impl Waiting {
    /// One more position. `true`: nothing had waited before.
    pub(super) fn push(&mut self, group: u64, after: u64, bytes: Bytes) -> bool {
        let position = Position { after, bytes };
        match self.groups.get_mut(&group) {
            Some(waiting) if waiting.oldest.after == after => waiting.oldest = position,
            Some(waiting) => waiting.newest = Some(position),
            None => {
                let positions = Positions {
                    oldest: position,
                    newest: None,
                };
                self.groups.insert(group, positions);
            }
        }
        let first = self.since.is_none();
        self.since.get_or_insert_with(Instant::now);
        first
    }

    /// The newest of each group that follows no operation from number `left` on; `None`: no operation is left.
    pub(super) fn take(&mut self, left: Option<u64>) -> BTreeMap<u64, Bytes> {
        let may_go = |position: &Position| left.is_none_or(|left| position.after < left);
        let mut taken = BTreeMap::new();
        let mut stay = BTreeMap::new();
        for (group, positions) in std::mem::take(&mut self.groups) {
            match positions {
                Positions {
                    newest: Some(newest), ..
                } if may_go(&newest) => {
                    taken.insert(group, newest.bytes);
                }
                Positions { oldest, newest } if may_go(&oldest) => {
                    taken.insert(group, oldest.bytes);
                    stay.extend(newest.map(|oldest| (group, Positions { oldest, newest: None })));
                }
                positions => {
                    stay.insert(group, positions);
                }
            }
        }
        self.since = self.since.filter(|_| !stay.is_empty());
        self.groups = stay;
        taken
    }

    /// How long the first one still waits for company of this patience; `None` when nothing waits.
    pub(super) fn patience(&self, patience: Duration) -> Option<Duration> {
        self.since.map(|since| patience.saturating_sub(since.elapsed()))
    }

    pub(super) fn clear(&mut self) {
        *self = Waiting::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(waiting: &mut Waiting, left: Option<u64>) -> Vec<(u64, Bytes)> {
        waiting.take(left).into_iter().collect()
    }

    #[test]
    fn a_position_waits_for_what_was_submitted_before_it_and_an_older_one_goes_ahead() {
        let mut waiting = Waiting::default();
        assert!(waiting.push(1, 4, Bytes::from_static(b"4")));
        assert!(!waiting.push(1, 7, Bytes::from_static(b"7")));
        waiting.push(1, 9, Bytes::from_static(b"9"));
        waiting.push(2, 0, Bytes::from_static(b"0"));
        assert_eq!(taken(&mut waiting, Some(4)), vec![(2, Bytes::from_static(b"0"))]);
        assert_eq!(taken(&mut waiting, Some(9)), vec![(1, Bytes::from_static(b"4"))]);
        assert_eq!(taken(&mut waiting, Some(9)), vec![]);
        assert!(waiting.patience(Duration::from_secs(1)).is_some());
        assert_eq!(taken(&mut waiting, None), vec![(1, Bytes::from_static(b"9"))]);
        assert!(waiting.patience(Duration::from_secs(1)).is_none());
    }
}
