//! How far what is on disk has come, space by space.
//!
//! A flush carries the frozen delta into the file in several durable commits, in ascending order of the spaces, so after a crash
//! the file stands at mixed points: the spaces up to some boundary hold the flush's target, the others still hold its base. The
//! progress row, written by each of those commits, says so: a base mark that holds for every space, and *reaches*, each of which
//! says "the spaces up to and including `through` already hold everything up to log position `index`".
//!
//! A store that opens after a crash says that its mark is the base. The log is replayed after it, and a command whose space already
//! reached the command's position is skipped: its effect is there, and doing it twice would be wrong. That is the whole trick, and
//! one boundary would be enough, were it not that the process may crash again: during the replay, or in the first flush after it,
//! which may end at a lower boundary. So reaches form a staircase: the further right a step's boundary, the lower its position.
//! A step that another one covers is dropped, and a finished flush drops every step that its target covers.
//!
//! Invariants: `through` ascends strictly, `index` descends strictly, every index is above the base. A space's position never falls.

use crate::error::Error;
use crate::space::Space;

/// The format of the row.
const PROGRESS_FORMAT: u8 = 1;

/// More steps than this need as many crashes in a row, none of which got as far as a finished flush. A flush that finds so many
/// writes its delta in one commit, which leaves no step behind. Raising it makes the row longer; lowering it, such flushes earlier.
pub(crate) const MAX_REACHES: usize = 64;

/// The longest opaque state that a mark may carry, in bytes. Raft keeps a log id and a membership there.
pub(crate) const MAX_MARK_STATE_BYTES: usize = 1 << 20;

/// The last applied log position, and opaque bytes that the log keeps with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The log position; 0 before the first.
    pub index: u64,
    /// The log's own bytes, at most 1 MiB.
    pub state: Vec<u8>,
}

/// The spaces up to and including `through` hold everything up to `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) through: Space,
    pub(crate) index: u64,
}

/// What the file holds: see the head of this module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) base: Mark,
    pub(crate) reaches: Vec<Reach>,
}

impl Progress {
    /// The log position up to which the file holds this space.
    pub(crate) fn applied(&self, space: Space) -> u64 {
        applied(&self.reaches, space).max(self.base.index)
    }

    /// Notes that the spaces up to `through` now hold everything up to `index`.
    pub(crate) fn reach(&mut self, through: Space, index: u64) {
        if index <= self.applied(through) {
            return;
        }
        self.reaches.retain(|step| step.through > through || step.index > index);
        let at = self.reaches.partition_point(|step| step.through < through);
        self.reaches.insert(at, Reach { through, index });
        self.check();
    }

    /// Notes that every space holds everything up to the mark.
    pub(crate) fn settle(&mut self, mark: Mark) {
        self.reaches.retain(|step| step.index > mark.index);
        self.base = mark;
        self.check();
    }

    fn check(&self) {
        let descends = |pair: &[Reach]| pair[0].through < pair[1].through && pair[0].index > pair[1].index;
        debug_assert!(self.reaches.windows(2).all(descends), "{self:?}");
        debug_assert!(self.reaches.iter().all(|step| step.index > self.base.index), "{self:?}");
    }

    /// `format u8 | base index u64 | state length u32 | state | count u16 | (through u64, index u64)*`, all big-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![PROGRESS_FORMAT];
        out.extend_from_slice(&self.base.index.to_be_bytes());
        out.extend_from_slice(&u32::try_from(self.base.state.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&self.base.state);
        out.extend_from_slice(&u16::try_from(self.reaches.len()).unwrap_or(u16::MAX).to_be_bytes());
        for step in &self.reaches {
            out.extend_from_slice(&step.through.0.to_be_bytes());
            out.extend_from_slice(&step.index.to_be_bytes());
        }
        out
    }

    /// Reads what `encode` wrote; `what` names the row or the frame in an error.
    pub(crate) fn decode(bytes: &[u8], what: &str) -> Result<Progress, Error> {
        let (format, rest) = bytes.split_first().ok_or_else(|| Error::Damaged { what: what.to_owned() })?;
        if *format > PROGRESS_FORMAT {
            return Err(Error::NewerFormat {
                what: what.to_owned(),
                found: (*format).into(),
                known: PROGRESS_FORMAT.into(),
            });
        }
        Progress::decode_fields(rest).ok_or_else(|| Error::Damaged { what: what.to_owned() })
    }

    fn decode_fields(mut rest: &[u8]) -> Option<Progress> {
        let index = u64::from_be_bytes(take(&mut rest)?);
        let length = usize::try_from(u32::from_be_bytes(take(&mut rest)?)).ok()?;
        let state = rest.split_off(..length)?.to_vec();
        let count = u16::from_be_bytes(take(&mut rest)?);
        let mut progress = Progress {
            base: Mark { index, state },
            reaches: Vec::new(),
        };
        for _ in 0..count {
            let through = Space(u64::from_be_bytes(take(&mut rest)?));
            let index = u64::from_be_bytes(take(&mut rest)?);
            let falls = progress
                .reaches
                .last()
                .is_none_or(|last| last.through < through && last.index > index);
            if !falls || index <= progress.base.index {
                return None;
            }
            progress.reaches.push(Reach { through, index });
        }
        rest.is_empty().then_some(progress)
    }
}

/// The highest position that the steps give a space; 0 when none does.
pub(crate) fn applied(reaches: &[Reach], space: Space) -> u64 {
    reaches.iter().find(|step| step.through >= space).map_or(0, |step| step.index)
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(index: u64) -> Mark {
        Mark {
            index,
            state: vec![index as u8],
        }
    }

    #[test]
    fn the_bytes_of_the_row_never_change() {
        let mut progress = Progress {
            base: Mark {
                index: 5,
                state: vec![0xAB, 0xCD],
            },
            reaches: Vec::new(),
        };
        progress.reach(Space(3), 9);
        let golden = [
            &[1][..],
            &5u64.to_be_bytes(),
            &[0, 0, 0, 2, 0xAB, 0xCD, 0, 1],
            &[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9],
        ]
        .concat();
        assert_eq!(progress.encode(), golden);
        assert_eq!(Progress::decode(&golden, "row").unwrap(), progress);
        let newer = [&[2][..], &golden[1..]].concat();
        assert!(matches!(
            Progress::decode(&newer, "row"),
            Err(Error::NewerFormat { found: 2, .. })
        ));
        for cut in 0..golden.len() {
            assert!(
                matches!(Progress::decode(&golden[..cut], "row"), Err(Error::Damaged { .. })),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_second_crash_at_a_lower_boundary_leaves_a_staircase() {
        let mut progress = Progress {
            base: mark(10),
            reaches: Vec::new(),
        };
        progress.reach(Space(50), 20);
        progress.reach(Space(5), 30);
        assert_eq!(
            (
                progress.applied(Space(5)),
                progress.applied(Space(6)),
                progress.applied(Space(51))
            ),
            (30, 20, 10)
        );
        progress.reach(Space(60), 30);
        assert_eq!(
            progress.reaches,
            [Reach {
                through: Space(60),
                index: 30
            }]
        );
        progress.settle(mark(30));
        assert!(progress.reaches.is_empty());
    }

    #[test]
    fn a_flush_during_the_replay_keeps_what_is_ahead_of_it() {
        let mut progress = Progress {
            base: mark(10),
            reaches: Vec::new(),
        };
        progress.reach(Space(50), 40);
        progress.reach(Space(20), 30);
        assert_eq!(progress.applied(Space(20)), 40);
        progress.reach(Space(90), 30);
        assert_eq!(
            (
                progress.applied(Space(50)),
                progress.applied(Space(90)),
                progress.applied(Space(91))
            ),
            (40, 30, 10)
        );
        progress.settle(mark(30));
        assert_eq!(
            progress.reaches,
            [Reach {
                through: Space(50),
                index: 40
            }]
        );
    }

    #[test]
    fn no_sequence_of_flushes_takes_a_position_back() {
        let mut seed = 1u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for _ in 0..200 {
            let mut progress = Progress::default();
            let mut model = [0u64; 32];
            for _ in 0..100 {
                let index = progress.base.index + random() % 20;
                if random() % 6 == 0 {
                    progress.settle(mark(index));
                    model.iter_mut().for_each(|at| *at = (*at).max(index));
                } else {
                    let through = random() % 32;
                    progress.reach(Space(through), index);
                    model
                        .iter_mut()
                        .take(through as usize + 1)
                        .for_each(|at| *at = (*at).max(index));
                }
                for (space, at) in model.iter().enumerate() {
                    assert_eq!(progress.applied(Space(space as u64)), *at, "{progress:?}");
                }
            }
        }
    }
}
