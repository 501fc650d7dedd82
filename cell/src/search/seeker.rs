//! What a replica has of search: its index, and how far each space is in it.
//!
//! The thread that follows ends with the last handle, or when it is stopped; then nobody holds the store or the directory any more.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api::error::{Code, Error};
use arc_swap::ArcSwapOption;
use storage::search::{SearchError, SearchIndex};
use storage::{Space, Store};
use tokio::sync::watch;

use super::indexer::Indexer;
use crate::machine::catalog::Catalogs;
use crate::machine::touched::Touched;
use crate::service::error::internal;

/// How long a search waits for its position.
const POSITION_WAIT: Duration = Duration::from_secs(10);

/// How far a space is in the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The position that it shows.
    pub(crate) position: u64,
    /// Records are still being gone through: not all of them are found yet.
    pub(crate) building: bool,
}

impl Progress {
    /// Of a space that nobody has looked at yet.
    pub(crate) const UNKNOWN: Progress = Progress {
        position: 0,
        building: true,
    };
}

/// How an index stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stand {
    /// For how long there has been something that it does not show.
    pub(crate) lag: Duration,
    /// Documents in it, marks among them.
    pub(crate) documents: u64,
    /// Segments that they are in.
    pub(crate) segments: usize,
}

/// What the thread and who asks have in common.
pub(super) struct Shared {
    pub(super) touched: Arc<Touched>,
    /// None: it is being opened.
    index: ArcSwapOption<SearchIndex>,
    progress: Mutex<BTreeMap<Space, Progress>>,
    /// Since when there has been something that the index does not show; none: it shows everything.
    behind: Mutex<Option<Instant>>,
    /// Raised by each commit.
    commits: watch::Sender<u64>,
    /// Somebody met damage.
    suspect: Mutex<Option<String>>,
}

impl Shared {
    /// The index is open, or is not any more. How far spaces are is not known then.
    pub(super) fn opened(&self, index: Option<SearchIndex>) {
        lock(&self.progress).clear();
        self.index.store(index.map(Arc::new));
        self.commits.send_modify(|commits| *commits += 1);
    }

    /// What was done is committed.
    pub(super) fn committed(&self, spaces: impl Iterator<Item = (Space, Option<Progress>)>) {
        let mut progress = lock(&self.progress);
        for (space, how_far) in spaces {
            match how_far {
                Some(how_far) => progress.insert(space, how_far),
                None => progress.remove(&space),
            };
        }
        drop(progress);
        self.commits.send_modify(|commits| *commits += 1);
    }

    /// There is something that the index does not show.
    pub(super) fn fell_behind(&self) {
        lock(&self.behind).get_or_insert_with(Instant::now);
    }

    /// The index shows everything that was there at a time.
    pub(super) fn caught_up(&self, at: Instant) {
        *lock(&self.behind) = (!self.touched.is_quiet()).then_some(at);
    }

    /// What somebody met that should not be, since this was asked last.
    pub(super) fn take_suspect(&self) -> Option<String> {
        lock(&self.suspect).take()
    }
}

/// See the module. Clones share it.
#[derive(Clone)]
pub(crate) struct Seeker(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.touched.end();
    }
}

impl Seeker {
    /// Follows a store, with the index in `directory`.
    pub(crate) fn start(
        store: &Store,
        catalogs: &Arc<Catalogs>,
        touched: &Arc<Touched>,
        directory: &Path,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            touched: Arc::clone(touched),
            index: ArcSwapOption::empty(),
            progress: Mutex::default(),
            behind: Mutex::default(),
            commits: watch::Sender::new(0),
            suspect: Mutex::default(),
        });
        let indexer = Indexer::new(store.clone(), Arc::clone(catalogs), Arc::clone(&shared), directory.to_owned());
        let thread = std::thread::Builder::new().name("search".to_owned());
        let thread = thread.spawn(move || indexer.run())?;
        Ok(Self(Arc::new(Handle {
            shared,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Stops to follow, and waits until that is so. Blocking.
    pub(crate) fn stop(&self) {
        self.0.shared.touched.end();
        if let Some(thread) = lock(&self.0.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that follows for search has panicked");
        }
    }

    /// The index, once it is open.
    pub(crate) fn index(&self) -> Result<Arc<SearchIndex>, Error> {
        let index = self.0.shared.index.load_full();
        index.ok_or_else(|| {
            Error::new(
                Code::Unavailable,
                "the search index of this replica is being opened: try again in a moment",
            )
        })
    }

    /// How the index stands.
    pub(crate) fn stand(&self) -> Stand {
        let behind = *lock(&self.0.shared.behind);
        let (documents, segments) = self.0.shared.index.load().as_deref().map_or((0, 0), SearchIndex::size);
        Stand {
            lag: behind.map_or(Duration::ZERO, |since| since.elapsed()),
            documents,
            segments,
        }
    }

    /// How far a space is.
    pub(crate) fn progress(&self, space: Space) -> Option<Progress> {
        lock(&self.0.shared.progress).get(&space).copied()
    }

    /// Waits until the index shows a position of a space; how far it is then.
    pub(crate) async fn wait(&self, space: Space, position: u64) -> Result<Progress, Error> {
        let deadline = Instant::now() + POSITION_WAIT;
        let mut commits = self.0.shared.commits.subscribe();
        loop {
            commits.mark_unchanged();
            if let Some(progress) = self.progress(space).filter(|progress| progress.position >= position) {
                return Ok(progress);
            }
            self.0.shared.touched.hurry(space);
            let left = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, commits.changed()).await.is_err() {
                let detail = format!("the search index of this replica has not reached position {position} yet");
                return Err(Error::new(Code::Timeout, detail));
            }
        }
    }

    /// What somebody hears whose search did not work.
    pub(crate) fn failed(&self, error: SearchError) -> Error {
        match error {
            SearchError::TooBroad(what) => Error::new(Code::InvalidParameter, format!("q: {what}")),
            SearchError::TimedOut => Error::new(
                Code::Timeout,
                format!("{error}: ask for rarer words, or in fewer collections"),
            ),
            other => {
                let error = internal(&other);
                *lock(&self.0.shared.suspect) = Some(other.to_string());
                self.0.shared.touched.replaced();
                error
            }
        }
    }
}

/// What is locked is whole after every statement, whatever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
