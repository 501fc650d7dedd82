//! Where a group's entries lie: for each index the segment and the place in it, eight bytes an entry.
//!
//! Entries come in order, so the index is a short list of runs, each in one segment and without gaps. Copying entries
//! forward moves them from a run of an old segment to one of a young segment; while the log is being read back there may
//! be gaps, where entries lay in segments that are gone and their copies are still to come.

use std::collections::VecDeque;

/// Where a frame is in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its first byte.
    pub offset: u32,
    /// Its length with padding.
    pub bytes: u32,
}

#[derive(Debug, Clone)]
struct Run {
    segment: u64,
    first: u64,
    places: VecDeque<Place>,
}

impl Run {
    /// One after its last index.
    fn end(&self) -> u64 {
        self.first + self.places.len() as u64
    }
}

/// The places of one group's entries. Invariant: runs are in order of index, not empty, and do not overlap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs(VecDeque<Run>);

impl Runs {
    /// Adds an entry after all others.
    pub(crate) fn push(&mut self, index: u64, segment: u64, place: Place) {
        debug_assert!(self.0.back().is_none_or(|run| run.end() <= index), "entries come in order");
        if let Some(run) = self.0.back_mut()
            && run.segment == segment
            && run.end() == index
        {
            run.places.push_back(place);
            return;
        }
        self.0.push_back(Run {
            segment,
            first: index,
            places: VecDeque::from([place]),
        });
    }

    /// Where this entry is: segment and place.
    pub(crate) fn get(&self, index: u64) -> Option<(u64, Place)> {
        let run = self.0.get(self.run_of(index)?)?;
        run.places
            .get((index - run.first) as usize)
            .map(|place| (run.segment, *place))
    }

    /// Takes away the entries from this index on; reports the bytes that each segment loses.
    pub(crate) fn truncate(&mut self, from: u64, lost: &mut impl FnMut(u64, u64)) {
        while let Some(run) = self.0.back_mut() {
            if run.end() <= from {
                return;
            }
            let keep = from.saturating_sub(run.first) as usize;
            lost(
                run.segment,
                run.places.drain(keep..).map(|place| u64::from(place.bytes)).sum(),
            );
            if keep > 0 {
                return;
            }
            self.0.pop_back();
        }
    }

    /// Takes away the entries up to and including this index; reports the bytes that each segment loses.
    pub(crate) fn purge(&mut self, upto: u64, lost: &mut impl FnMut(u64, u64)) {
        while let Some(run) = self.0.front_mut() {
            if run.first > upto {
                return;
            }
            let count = ((upto - run.first + 1) as usize).min(run.places.len());
            lost(
                run.segment,
                run.places.drain(..count).map(|place| u64::from(place.bytes)).sum(),
            );
            run.first += count as u64;
            if !run.places.is_empty() {
                return;
            }
            self.0.pop_front();
        }
    }

    /// Gives an entry a new place, also one that has none yet; returns where it was.
    pub(crate) fn relocate(&mut self, index: u64, segment: u64, place: Place) -> Option<(u64, Place)> {
        let old = self.get(index);
        let mut at = match self.run_of(index) {
            Some(at) => self.cut_out(at, index),
            None => self.0.partition_point(|run| run.first < index),
        };
        // `at` is now where a run that begins at `index` belongs; join it to the one before, as copying goes in order.
        if at > 0
            && let Some(before) = self.0.get_mut(at - 1)
            && before.segment == segment
            && before.end() == index
        {
            before.places.push_back(place);
            at -= 1;
        } else {
            self.0.insert(
                at,
                Run {
                    segment,
                    first: index,
                    places: VecDeque::from([place]),
                },
            );
        }
        debug_assert!(
            self.0.get(at + 1).is_none_or(|after| after.first > index),
            "runs do not overlap"
        );
        old
    }

    /// The entries that lie in this segment, as index and place, up to about so many bytes.
    pub(crate) fn in_segment(&self, segment: u64, max_bytes: u64) -> Vec<(u64, Place)> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for run in self.0.iter().filter(|run| run.segment == segment) {
            for (index, place) in (run.first..).zip(&run.places) {
                if bytes >= max_bytes {
                    return found;
                }
                bytes += u64::from(place.bytes);
                found.push((index, *place));
            }
        }
        found
    }

    /// The first index in `first..next` that has no place.
    pub(crate) fn first_missing(&self, first: u64, next: u64) -> Option<u64> {
        let mut at = first;
        for run in &self.0 {
            if run.first > at {
                break;
            }
            at = at.max(run.end());
        }
        (at < next).then_some(at)
    }

    /// Bytes in each segment.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0
            .iter()
            .map(|run| (run.segment, run.places.iter().map(|place| u64::from(place.bytes)).sum()))
    }

    fn run_of(&self, index: u64) -> Option<usize> {
        let after = self.0.partition_point(|run| run.first <= index);
        let at = after.checked_sub(1)?;
        (index < self.0.get(at)?.end()).then_some(at)
    }

    /// Takes one index out of its run; returns where a run beginning there is to be inserted.
    fn cut_out(&mut self, at: usize, index: u64) -> usize {
        let Some(run) = self.0.get_mut(at) else { return at };
        let behind = run.places.split_off((index - run.first) as usize + 1);
        run.places.pop_back();
        let segment = run.segment;
        let at = if run.places.is_empty() {
            self.0.remove(at);
            at
        } else {
            at + 1
        };
        if !behind.is_empty() {
            self.0.insert(
                at,
                Run {
                    segment,
                    first: index + 1,
                    places: behind,
                },
            );
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u32) -> Place {
        Place { offset, bytes: 8 }
    }

    #[test]
    fn copying_an_old_run_forward_in_order_leaves_two_runs() {
        let mut runs = Runs::default();
        (10..20).for_each(|index| runs.push(index, 1, place(index as u32)));
        (20..30).for_each(|index| runs.push(index, 2, place(index as u32)));
        for index in 10..20 {
            assert_eq!(
                runs.relocate(index, 7, place(100 + index as u32)),
                Some((1, place(index as u32)))
            );
        }
        assert_eq!(runs.0.len(), 2);
        assert_eq!(runs.get(15), Some((7, place(115))));
        assert_eq!(runs.get(25), Some((2, place(25))));
        assert_eq!(runs.first_missing(10, 30), None);
    }

    #[test]
    fn an_entry_in_the_middle_moves_alone_and_gaps_are_found() {
        let mut runs = Runs::default();
        (10..20).for_each(|index| runs.push(index, 1, place(index as u32)));
        runs.relocate(15, 2, place(1));
        assert_eq!(
            (runs.get(14), runs.get(15), runs.get(16)),
            (Some((1, place(14))), Some((2, place(1))), Some((1, place(16))))
        );
        runs.relocate(22, 2, place(2));
        assert_eq!(runs.first_missing(10, 23), Some(20));
        runs.relocate(21, 2, place(3));
        runs.relocate(20, 2, place(4));
        assert_eq!(runs.first_missing(10, 23), None);
        let mut lost = Vec::new();
        runs.purge(15, &mut |segment, bytes| lost.push((segment, bytes)));
        runs.truncate(17, &mut |segment, bytes| lost.push((segment, bytes)));
        assert_eq!(lost.iter().map(|(_, bytes)| bytes).sum::<u64>(), 8 * (6 + 6));
        assert_eq!(runs.get(16), Some((1, place(16))));
        assert_eq!((runs.get(15), runs.get(17)), (None, None));
    }
}
