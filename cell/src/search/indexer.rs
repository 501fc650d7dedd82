//! The thread that follows: opens the index, keeps up with what is applied, commits at most once a second and only if there is something.
//!
//! It takes the spaces that were touched round by round, a step each, so that one that has much to index holds no other up. Whatever goes wrong
//! with the index, it opens it again; what cannot be opened is made anew, and filled from the store. Searches go on in what there is.
//!
//! It has the lowest priority that threads have, and so have those of the engine, which it starts.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::search::{SearchError, SearchIndex, SearchWriter};
use storage::{Snapshot, Space, Store};

use super::follow::{Followed, Step};
use super::seeker::{Progress, Shared};
use super::stand::Halt;
use crate::machine::catalog::Catalogs;

/// Between two commits. Raised: what is new is found later. Lowered: more is written for as much. A commit costs 25 ms of a core, whatever
/// is in it.
const PACE: Duration = Duration::from_millis(1_000);
/// Between two commits while somebody waits for one.
const HURRY: Duration = Duration::from_millis(100);
/// How long a round works before it is committed. Below the pace, so that what has much to index rests as long as it works: where there is
/// too little processor time for all, priority alone does not leave enough to the others.
const ROUND: Duration = Duration::from_millis(500);
/// After so long without anything to write the engine's threads and memory are given back.
const IDLE: Duration = Duration::from_secs(30);
/// Between two looks at a space whose store must get further first.
const AGAIN: Duration = Duration::from_millis(500);
/// After something went wrong: doubles from the first to the second.
const RESTS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// The lowest priority that Linux has for ordinary threads.
const LOWEST_PRIORITY: i32 = 19;

/// See the module.
pub(super) struct Indexer {
    store: Store,
    catalogs: Arc<Catalogs>,
    shared: Arc<Shared>,
    directory: PathBuf,
}

/// An open index that is written.
struct Open {
    index: SearchIndex,
    writer: Option<SearchWriter>,
    followed: BTreeMap<Space, Followed>,
    /// Spaces that are to be looked at.
    due: BTreeSet<Space>,
    /// There is more to do than the last round did.
    has_more: bool,
    last_commit: Option<Instant>,
}

impl Indexer {
    pub(super) fn new(store: Store, catalogs: Arc<Catalogs>, shared: Arc<Shared>, directory: PathBuf) -> Self {
        Self {
            store,
            catalogs,
            shared,
            directory,
        }
    }

    /// Follows until it is told to end.
    pub(super) fn run(self) {
        if let Err(error) = rustix::process::setpriority_process(None, LOWEST_PRIORITY) {
            tracing::debug!(%error, "the thread that follows for search keeps its priority");
        }
        let mut rest = RESTS.0;
        while !self.shared.touched.has_ended() {
            let began = Instant::now();
            let halted = self.open().and_then(|mut open| self.follow(&mut open));
            if let Err(halt) = halted {
                // A store that is damaged, or a directory that somebody else still has: the next attempt may find it otherwise.
                tracing::warn!(directory = %self.directory.display(), error = %halt, again_in = ?rest, "the search index could not be kept up");
                self.shared.touched.pause(rest);
                rest = if began.elapsed() > RESTS.1 {
                    RESTS.0
                } else {
                    (rest * 2).min(RESTS.1)
                };
            }
        }
        self.shared.opened(None);
    }

    fn open(&self) -> Result<Open, Halt> {
        let (index, why) = SearchIndex::open(&self.directory)?;
        if let Some(why) = why {
            tracing::info!(directory = %self.directory.display(), why, "the search index is built anew");
        }
        self.shared.opened(Some(index.clone()));
        let index = self.checked(index)?;
        self.shared.touched.replaced();
        Ok(Open {
            index,
            writer: None,
            followed: BTreeMap::new(),
            due: BTreeSet::new(),
            has_more: false,
            last_commit: None,
        })
    }

    /// An index that is whole: this one, or an empty one in its place. It is searched meanwhile.
    fn checked(&self, index: SearchIndex) -> Result<SearchIndex, Halt> {
        let Err(error) = index.check() else { return Ok(index) };
        tracing::warn!(directory = %self.directory.display(), %error, "the search index is built anew");
        self.shared.opened(None);
        drop(index);
        let index = SearchIndex::create(&self.directory)?;
        self.shared.opened(Some(index.clone()));
        Ok(index)
    }

    fn follow(&self, open: &mut Open) -> Result<(), Halt> {
        let touched = &self.shared.touched;
        loop {
            match (open.has_more, open.due.is_empty()) {
                (true, _) => {}
                (false, true) => touched.wait(IDLE),
                (false, false) => touched.wait(AGAIN),
            }
            if !touched.is_quiet() {
                self.shared.fell_behind();
            }
            if let Some(suspect) = self.shared.take_suspect() {
                return Err(SearchError::Unusable(suspect).into());
            }
            if let Some(last) = open.last_commit {
                touched.rest(PACE.saturating_sub(last.elapsed()));
                touched.pause(HURRY.saturating_sub(last.elapsed()));
            }
            if touched.has_ended() {
                return Ok(());
            }
            let spaces = touched.take();
            open.due.extend(spaces.some);
            if spaces.all {
                let all: Result<Vec<_>, _> = self.store.begin_read().spaces().collect();
                open.due.extend(all?);
            }
            open.due.remove(&Space::SYSTEM);
            match open.due.is_empty() {
                true => {
                    // What was touched has nothing to be found.
                    self.shared.caught_up(Instant::now());
                    open.rest();
                }
                false => self.round(open)?,
            }
        }
    }

    /// Goes on with what is due, and commits what came of it.
    fn round(&self, open: &mut Open) -> Result<(), Halt> {
        let start = Instant::now();
        let (mut done, mut wrote) = (BTreeSet::new(), false);
        let snapshot = self.store.begin_read();
        let mut waiting = BTreeSet::new();
        while !open.due.is_empty() && start.elapsed() < ROUND && !self.shared.touched.has_ended() {
            for space in std::mem::take(&mut open.due) {
                if start.elapsed() >= ROUND {
                    open.due.insert(space);
                    continue;
                }
                let step = open.step(&snapshot, &self.catalogs, space)?;
                done.insert(space);
                wrote |= matches!(step, Step::More | Step::Done);
                open.due.extend((step == Step::More).then_some(space));
                waiting.extend((step == Step::Waits).then_some(space));
            }
        }
        open.has_more = !open.due.is_empty();
        open.due.extend(waiting);
        let is_there = open.due.is_empty();
        if let (true, Some(writer)) = (wrote, &mut open.writer) {
            writer.commit(snapshot.mark().index)?;
            open.last_commit = Some(Instant::now());
        }
        drop(snapshot);
        let told = done.into_iter().map(|space| (space, open.progress(space)));
        self.shared.committed(told);
        if is_there {
            self.shared.caught_up(start);
        }
        open.forget();
        Ok(())
    }
}

impl Open {
    fn step(&mut self, snapshot: &Snapshot, catalogs: &Catalogs, space: Space) -> Result<Step, Halt> {
        let followed = match self.followed.entry(space) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Followed::of(&self.index, space)?),
        };
        if followed.is_there(snapshot, catalogs, space)? {
            return Ok(Step::Still);
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.index.writer()?),
        };
        followed.step(snapshot, catalogs, writer, space)
    }

    fn progress(&self, space: Space) -> Option<Progress> {
        let followed = self.followed.get(&space)?;
        Some(Progress {
            position: followed.mark?.position,
            building: followed.is_building(),
        })
    }

    /// Forgets spaces that are in the index no more.
    fn forget(&mut self) {
        self.followed.retain(|_, followed| followed.mark.is_some());
    }

    /// Gives threads and memory back until there is something to write.
    fn rest(&mut self) {
        let idle = self.last_commit.is_none_or(|last| last.elapsed() >= IDLE);
        if let Some(writer) = self.writer.take_if(|_| idle)
            && let Err(error) = writer.close()
        {
            tracing::warn!(%error, "what the search index does in the background did not end well");
        }
    }
}
