//! Retention: which objects of a cell nobody needs any more.
//!
//! Whatever time of the last days is asked for, the newest base that is not later than it is there, and all log behind it: so the newest base
//! that is old enough stays, and what follows. What comes before it goes: segments, bases, and pieces of bases that never were finished.

use super::names::{BaseName, Line, SegmentName, is_manifest, read_base, read_segment};

/// A base that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Which.
    pub(crate) name: BaseName,
    /// When it was read, in microseconds since the epoch.
    pub(crate) stamp: u64,
}

/// The whole bases among objects, by position: their manifests are there.
pub(crate) fn finished(line: Line, objects: &[String]) -> Vec<BaseName> {
    let manifests = objects.iter().filter(|name| is_manifest(name));
    let mut found: Vec<BaseName> = manifests.filter_map(|name| read_base(line, name)).collect();
    found.sort_unstable();
    found
}

/// The segments among objects, by their first position.
pub(crate) fn segments(objects: &[String]) -> Vec<SegmentName> {
    let mut found: Vec<SegmentName> = objects.iter().filter_map(|name| read_segment(name)).collect();
    found.sort_unstable();
    found
}

/// The oldest base that is still needed for times from `keep_from` on; none: nothing may go.
pub(crate) fn oldest_needed(bases: &[Whole], keep_from: u64) -> Option<BaseName> {
    let old_enough = bases.iter().filter(|base| base.stamp <= keep_from);
    old_enough.max_by_key(|base| (base.stamp, base.name)).map(|base| base.name)
}

/// The objects of a line that may go when `oldest` is the oldest base that is needed. A manifest goes before what it lists.
pub(crate) fn superfluous(line: Line, oldest: BaseName, bases: &[String], log: &[String]) -> Vec<String> {
    let is_older = |name: &&String| read_base(line, name).is_some_and(|base| base.index < oldest.index);
    let (manifests, pieces): (Vec<_>, Vec<_>) = bases.iter().filter(is_older).partition(|name| is_manifest(name));
    let segments = log
        .iter()
        .filter(|name| read_segment(name).is_some_and(|segment| segment.last <= oldest.index));
    manifests.into_iter().chain(pieces).chain(segments).cloned().collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LINE: Line = Line {
        cell: 3,
        id: Uuid::nil(),
    };

    fn base(index: u64) -> BaseName {
        BaseName {
            index,
            attempt: Uuid::from_u128(u128::from(index)),
        }
    }

    fn whole(index: u64, stamp: u64) -> Whole {
        Whole {
            name: base(index),
            stamp,
        }
    }

    #[test]
    fn the_newest_base_that_is_old_enough_stays() {
        let bases = [whole(10, 100), whole(20, 200), whole(30, 300)];
        assert_eq!(oldest_needed(&bases, 99), None);
        assert_eq!(oldest_needed(&bases, 100), Some(base(10)));
        assert_eq!(oldest_needed(&bases, 299), Some(base(20)));
        assert_eq!(oldest_needed(&bases, 1_000), Some(base(30)));
        assert_eq!(oldest_needed(&[], 1_000), None);
    }

    #[test]
    fn what_is_needed_for_any_time_that_is_kept_never_goes() {
        // Every tenth position there is a base, every third a segment; stamps are positions.
        let indexes: Vec<u64> = (1..=10).map(|at| at * 10).collect();
        let wholes: Vec<Whole> = indexes.iter().map(|index| whole(*index, *index)).collect();
        let objects: Vec<String> = wholes
            .iter()
            .flat_map(|base| [LINE.piece(base.name, 5, 0), LINE.manifest(base.name)])
            .chain([LINE.piece(base(15), 5, 0)])
            .collect();
        let log: Vec<String> = (0..40)
            .map(|at| {
                LINE.segment(SegmentName {
                    first: at * 3 + 1,
                    last: at * 3 + 3,
                })
            })
            .collect();
        for keep_from in 0..130 {
            let gone = oldest_needed(&wholes, keep_from)
                .map(|oldest| superfluous(LINE, oldest, &objects, &log))
                .unwrap_or_default();
            for at in keep_from.max(10)..120 {
                let needed = indexes.iter().rev().find(|index| **index <= at).expect("a base");
                assert!(
                    !gone.contains(&LINE.manifest(base(*needed))),
                    "{keep_from}: the base for {at}"
                );
                assert!(
                    !gone.contains(&LINE.piece(base(*needed), 5, 0)),
                    "{keep_from}: the base for {at}"
                );
                for behind in needed + 1..=at {
                    let first = (behind - 1) / 3 * 3 + 1;
                    let name = SegmentName { first, last: first + 2 };
                    assert!(!gone.contains(&LINE.segment(name)), "{keep_from}: position {behind} for {at}");
                }
            }
        }
        let gone = superfluous(LINE, base(30), &objects, &log);
        let expected = [
            LINE.manifest(base(10)),
            LINE.manifest(base(20)),
            LINE.piece(base(10), 5, 0),
            LINE.piece(base(20), 5, 0),
            LINE.piece(base(15), 5, 0),
        ];
        assert_eq!(gone[..5], expected, "manifests first, and what was never finished");
        assert_eq!(gone.len(), 15, "ten segments end at 30");
    }

    #[test]
    fn only_bases_with_a_manifest_count() {
        let objects = [
            LINE.piece(base(10), 1, 0),
            LINE.manifest(base(10)),
            LINE.piece(base(20), 1, 0),
        ];
        assert_eq!(finished(LINE, &objects), [base(10)]);
    }
}
