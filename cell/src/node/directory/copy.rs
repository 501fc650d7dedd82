//! A copy of the directory on this node's disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use api::error::Error;
use arc_swap::ArcSwapOption;
use storage::{Options, Rebuild, Store};
use tokio::sync::{Mutex, watch};

use crate::directory::changes;

/// A copy, and what is known of the directory that it is of.
pub(crate) struct Copy {
    directory: PathBuf,
    options: Options,
    /// None while it is being fetched anew.
    store: ArcSwapOption<Store>,
    ended: AtomicBool,
    /// The log position that the copy has reached. It never goes back, whoever is asked for the whole state: a topology that was is not
    /// taken for the one that is, and nothing is removed because of it.
    applied: AtomicU64,
    /// The directory's position that the copy has reached.
    position: watch::Sender<u64>,
    /// Who leads the directory, as the voter that feeds this copy said last; 0: nobody that it knows.
    leader: AtomicU64,
    /// Questions for the directory's position.
    pub(super) rounds: Rounds,
}

impl Copy {
    /// Opens a copy, or makes an empty one. One that is damaged is fetched anew. Blocking.
    pub(super) fn open(directory: &Path, options: Options) -> anyhow::Result<Self> {
        let (store, applied, position) = match Store::open(directory, options.clone()) {
            Ok(store) => {
                let position = changes::position(&store.begin_read()).context("read this node's copy of the directory")?;
                let applied = store.mark().index;
                (Some(Arc::new(store)), applied, position)
            }
            Err(storage::Error::Damaged { what }) => {
                tracing::error!(what, "this node's copy of the directory is damaged: it is fetched anew");
                (None, 0, 0)
            }
            Err(error) => {
                return Err(error).with_context(|| format!("open the copy of the directory in {}", directory.display()));
            }
        };
        Ok(Self {
            directory: directory.to_owned(),
            options,
            store: ArcSwapOption::new(store),
            ended: AtomicBool::new(false),
            applied: AtomicU64::new(applied),
            position: watch::Sender::new(position),
            leader: AtomicU64::new(0),
            rounds: Rounds::default(),
        })
    }

    /// The store, unless the copy is being fetched anew.
    pub(super) fn store(&self) -> Option<Arc<Store>> {
        self.store.load_full().filter(|store| store.halted().is_none())
    }

    /// Takes the store out, to close it: the copy is not needed any more.
    pub(crate) fn take(&self) -> Option<Arc<Store>> {
        self.ended.store(true, Ordering::Release);
        self.store.swap(None)
    }

    /// Whether the copy is not needed any more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The directory's position that the copy has reached; 0 when it has nothing.
    pub(super) fn position(&self) -> u64 {
        *self.position.borrow()
    }

    /// Says again how far the copy is. Blocking.
    pub(super) fn tell(&self) -> anyhow::Result<()> {
        let store = self.store().context("the copy of the directory is not there")?;
        let snapshot = store.begin_read();
        self.applied.fetch_max(snapshot.mark().index, Ordering::AcqRel);
        self.position.send_replace(changes::position(&snapshot)?);
        Ok(())
    }

    /// The log position that the copy has reached, also while it is being fetched anew.
    pub(super) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Waits until the copy has reached a position; false when it has not within `most`.
    pub(super) async fn reached(&self, position: u64, most: Duration) -> bool {
        let mut positions = self.position.subscribe();
        let reached = positions.wait_for(|at| *at >= position);
        tokio::time::timeout(most, reached).await.is_ok_and(|reached| reached.is_ok())
    }

    /// Who leads the directory, as far as was said.
    pub(super) fn leader(&self) -> Option<u64> {
        Some(self.leader.load(Ordering::Relaxed)).filter(|leader| *leader != 0)
    }

    /// Remembers who leads.
    pub(super) fn led_by(&self, leader: Option<u64>) {
        self.leader.store(leader.unwrap_or_default(), Ordering::Relaxed);
    }

    /// A store to receive the whole state into: the one that is there, or, where that is damaged, its directory. Blocking.
    pub(super) fn receiving(&self) -> anyhow::Result<Receiving> {
        if let Some(store) = self.store() {
            return Ok(Receiving::Store(store));
        }
        let rebuild = match self.store.swap(None) {
            Some(store) => Rebuild::of(&store),
            None => Rebuild::open(&self.directory, "the copy of the directory is damaged", self.options.clone()),
        };
        Ok(Receiving::Rebuild(rebuild.context("take the directory of the damaged copy")?))
    }

    /// Puts what was received in its place, unless it is older than what was there. Blocking.
    pub(super) fn install(&self, receiving: Receiving, received: storage::ReceivedSnapshot) -> anyhow::Result<()> {
        let (sent, applied) = (received.mark().index, self.applied());
        if sent < applied {
            bail!("the directory was sent as of log position {sent}, this copy was at {applied}");
        }
        match receiving {
            Receiving::Store(store) => store.install(received)?,
            Receiving::Rebuild(rebuild) => self.store.store(Some(Arc::new(rebuild.install(received)?))),
        }
        self.tell()
    }
}

/// Where the whole state of the directory goes.
pub(super) enum Receiving {
    /// Into a store that works.
    Store(Arc<Store>),
    /// Into the place of a damaged one.
    Rebuild(Rebuild),
}

impl Receiving {
    /// What takes the chunks. Blocking.
    pub(super) fn writer(&self) -> Result<storage::SnapshotWriter, storage::Error> {
        match self {
            Self::Store(store) => store.receive_snapshot(),
            Self::Rebuild(rebuild) => rebuild.receive(),
        }
    }
}

/// Questions that those who ask at the same time share: who waits takes the answer to one that was begun after it came.
#[derive(Default)]
pub(super) struct Rounds {
    begun: AtomicU64,
    last: Mutex<(u64, Option<u64>)>,
}

impl Rounds {
    /// The answer to a question that begins after this call.
    pub(super) async fn share<F>(&self, ask: impl FnOnce() -> F) -> Result<u64, Error>
    where
        F: Future<Output = Result<u64, Error>>,
    {
        let before = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if last.0 > before {
            return last.1.ok_or_else(super::away);
        }
        let round = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = ask().await;
        *last = (round, answer.as_ref().ok().copied());
        answer
    }
}

#[cfg(test)]
mod tests {
    use storage::{Mark, Space, table};

    use super::*;

    /// A store as of a log position.
    fn at(dir: &Path, index: u64) -> Store {
        let store = Store::open(dir, Options::default()).expect("a store");
        let mut batch = store.begin_batch().expect("a batch");
        let mut command = batch.command(index, Space::SYSTEM).expect("a command");
        command.put(&table::Level { space: Space::SYSTEM }, vec![1]);
        command.accept();
        let state = Vec::new();
        batch.commit(Mark { index, state }).expect("a commit");
        store
    }

    fn sent(copy: &Copy, sender: &Store) -> anyhow::Result<()> {
        let receiving = copy.receiving()?;
        let (mut reader, mut writer) = (sender.send_snapshot(), receiving.writer()?);
        while let Some(chunk) = reader.next_chunk()? {
            writer.write(&chunk)?;
        }
        copy.install(receiving, writer.finish()?)
    }

    #[test]
    fn a_copy_never_goes_back_not_even_after_damage() {
        let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a directory")).collect();
        let (behind, ahead) = (at(dirs[1].path(), 5), at(dirs[2].path(), 20));
        let copy = Copy::open(dirs[0].path(), Options::default()).expect("a copy");
        sent(&copy, &behind).expect("the first");
        sent(&copy, &ahead).expect("a later one");
        assert_eq!(copy.applied(), 20);
        assert!(sent(&copy, &behind).is_err(), "a voter that lags");
        copy.store().expect("a store").mark_damaged("for the test").expect("marked");
        assert!(copy.store().is_none());
        assert!(sent(&copy, &behind).is_err(), "nor after damage");
        sent(&copy, &ahead).expect("what it had");
        assert_eq!(copy.store().expect("a store").mark().index, 20);
    }

    #[tokio::test]
    async fn those_who_wait_share_one_question_that_began_after_they_came() {
        let rounds = Arc::new(Rounds::default());
        let asked = Arc::new(AtomicU64::new(0));
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let one = |rounds: Arc<Rounds>| {
            let (asked, gate) = (Arc::clone(&asked), Arc::clone(&gate));
            async move {
                let ask = || async move {
                    let answer = asked.fetch_add(1, Ordering::SeqCst) + 1;
                    gate.acquire().await.expect("open").forget();
                    Ok(answer)
                };
                rounds.share(ask).await.expect("an answer")
            }
        };
        let first = tokio::spawn(one(Arc::clone(&rounds)));
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..5).map(|_| tokio::spawn(one(Arc::clone(&rounds)))).collect();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(10);
        assert_eq!(first.await.expect("done"), 1);
        for other in others {
            assert_eq!(other.await.expect("done"), 2, "the first question was begun before they came");
        }
    }
}
