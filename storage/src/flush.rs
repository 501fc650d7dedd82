//! The way of a frozen delta into the file, in the background.
//!
//! One thread a store, of the lowest priority, so that neither Raft nor its log waits for it. It flushes the oldest frozen delta in
//! up to 16 durable commits, cut between spaces, in ascending order, each with the progress that it makes true. Rests between
//! pieces of writing spread a flush over the time that the next delta takes to fill (`pace`); nothing rests while two deltas are
//! frozen or while somebody waits in `persist`. With the last commit the new read transaction comes into the view and the frozen
//! delta goes out of it, together.
//!
//! Whoever waits for a flush does it himself when the thread has not begun: a thread of the lowest priority may get no processor
//! for a long time, and a caller of high priority must not wait for that.
//!
//! Any failure is final: it halts the store. A disk without room is none: the writes wait (`buffered`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use crate::delta::{Delta, Entry, Frozen};
use crate::error::Error;
use crate::ground::{Ground, GroundView};
use crate::inner::Inner;
use crate::mutant::{self, Mutant, hurried};
use crate::pace::{Plan, Stopwatch};
use crate::progress::{MAX_REACHES, Progress};
use crate::range::KeyRange;
use crate::space::Space;

/// More commits make each one's burst of writes shorter, and write shared pages and redb's own tables more often.
const MAX_COMMITS: usize = 16;
/// The lowest priority that Linux has for ordinary threads.
const LOWEST_PRIORITY: i32 = 19;

/// A frozen delta that somebody has claimed to flush.
pub(crate) struct Work {
    pub(crate) frozen: Arc<Frozen>,
    pub(crate) ground: Arc<Ground>,
    pub(crate) progress: Progress,
    pub(crate) calm: bool,
}

/// The body of the flush thread.
pub(crate) fn run(inner: &Arc<Inner>) {
    if inner.options.pace
        && let Err(error) = rustix::process::setpriority_process(None, LOWEST_PRIORITY)
    {
        tracing::debug!(%error, "the flush thread keeps its priority");
    }
    // Freeing a large delta takes milliseconds. Whoever lets go of it last pays, so this thread lets go after all readers.
    let mut retired: Vec<Arc<Frozen>> = Vec::new();
    while let Some(work) = inner.next_work(&mut retired) {
        retired.push(work.frozen.clone());
        flush(inner, work);
    }
    inner.flusher_stopped();
}

/// Flushes what was claimed. Failures, panics of redb included, halt the store.
pub(crate) fn flush(inner: &Inner, work: Work) {
    let watch = Stopwatch::start();
    let frozen = work.frozen.clone();
    let result = catch_unwind(AssertUnwindSafe(|| write(inner, work)));
    let result = result.unwrap_or_else(|_| {
        Err(Error::Damaged {
            what: "the store's file made redb panic in a flush".to_owned(),
        })
    });
    let finished = inner.health.watch(result).ok().flatten();
    inner.end_flush(&frozen, finished, watch.elapsed());
}

/// Writes the delta; `None` when it was interrupted.
fn write(inner: &Inner, work: Work) -> Result<Option<Arc<GroundView>>, Error> {
    let Work {
        frozen,
        ground,
        mut progress,
        calm,
    } = work;
    let delta = &frozen.delta;
    let most = if progress.reaches.len() >= MAX_REACHES {
        1
    } else {
        MAX_COMMITS
    };
    let cuts = cuts(delta, hurried(inner.options.commit_bytes), most);
    let mut plan = Plan::new(frozen.filled_in, cuts.len(), calm && inner.options.pace);
    let mut start = Bytes::new();
    for (number, through) in cuts.iter().enumerate() {
        if inner.interrupted() {
            return Ok(None);
        }
        let range = KeyRange {
            start: start.clone(),
            end: KeyRange::space(*through).end,
        };
        let last = number + 1 == cuts.len();
        if last {
            progress.settle(frozen.mark.clone());
        } else {
            progress.reach(*through, frozen.mark.index);
        }
        let budget = plan.budget(number);
        let watch = Stopwatch::start();
        inner.pace.grant(budget);
        // Mutant, B17.
        if Mutant::ProgressAhead.active() {
            ground.write(std::iter::empty(), Some(&progress))?;
            mutant::linger();
        }
        ground.write(entries(delta, &range), Some(&progress))?;
        plan.note(watch.elapsed(), budget);
        inner.note_progress(&progress);
        start = range.end;
    }
    tracing::debug!(commits = cuts.len(), keys = delta.changes.len(), elapsed = ?plan.elapsed(), "flushed a delta");
    ground.view().map(Some)
}

fn entries<'a>(delta: &'a Delta, range: &KeyRange) -> impl Iterator<Item = &'a Entry> {
    delta.changes.range::<_, [u8]>(range.bounds())
}

/// The last space of each commit, ascending; the last is `Space::LAST`. A space is never divided, however large it is.
fn cuts(delta: &Delta, commit_bytes: usize, most: usize) -> Vec<Space> {
    let commits = (delta.bytes / commit_bytes.max(1)).clamp(1, most);
    let aim = delta.bytes / commits;
    let mut cuts: Vec<Space> = Vec::with_capacity(commits);
    let mut bytes = 0;
    let mut current = None;
    for entry in &delta.changes {
        let space = entry.key().space();
        if let Some(before) = current.replace(space)
            && before != space
            && bytes >= aim
            && cuts.len() + 1 < commits
        {
            cuts.push(before);
            bytes = 0;
        }
        bytes += entry.bytes();
    }
    cuts.push(Space::LAST);
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Table};

    const COMMIT_BYTES: usize = 256 << 10;

    fn delta(spaces: &[(u64, u64)]) -> Delta {
        let mut delta = Delta::default();
        for (space, keys) in spaces {
            for position in 0..*keys {
                let key = Event {
                    space: Space(*space),
                    position,
                }
                .key();
                delta.put(Entry::new(key, Some(Bytes::from(vec![0; 1000]))));
            }
        }
        delta
    }

    #[test]
    fn cuts_ascend_lie_between_spaces_and_end_with_the_last() {
        let many: Vec<(u64, u64)> = (0..100).map(|space| (space * 3, 100)).collect();
        let found = cuts(&delta(&many), COMMIT_BYTES, 16);
        assert!((15..=16).contains(&found.len()));
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(found.last(), Some(&Space::LAST));
        assert_eq!(cuts(&delta(&many), COMMIT_BYTES, 1), [Space::LAST]);
    }

    #[test]
    fn one_space_that_is_everything_is_one_commit() {
        assert_eq!(cuts(&delta(&[(5, 5000)]), COMMIT_BYTES, 16), [Space::LAST]);
        assert_eq!(cuts(&delta(&[(1, 10), (5, 5000), (9, 10)]), COMMIT_BYTES, 16).len(), 2);
        assert_eq!(cuts(&delta(&[]), COMMIT_BYTES, 16), [Space::LAST]);
        assert_eq!(
            cuts(&delta(&[(1, 10), (2, 10)]), COMMIT_BYTES, 16),
            [Space::LAST],
            "too little to be worth a second commit"
        );
    }
}
