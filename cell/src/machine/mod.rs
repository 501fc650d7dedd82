//! The machine: turns committed commands into rows, the same on every replica.
//!
//! It stands between the log (opaque bytes) and the store (bytes under keys). One entry of the log is one command for one
//! space; a batch of entries becomes ONE commit of the store: rows, events, stored replies and the applied mark together.
//!
//! Invariants:
//! - Apply is pure and total: its result depends on the entry and the space alone. No clock, no randomness, no iteration
//!   over hash maps; time and ids arrive in the command.
//! - A command touches one space. After a crash the store may hold some spaces further than others; it then skips the
//!   commands that a space already has, which is only right because no command reads another space.
//! - A scrub pins what the group holds at its own position; what is done with that is no part of applying.
//! - A refusal is a reply, not an error. An error means that this replica cannot go on: its group stops on this node.

pub(crate) mod catalog;
pub(crate) mod dispatch;
pub(crate) mod envelope;
mod follow;
pub(crate) mod idempotency;
pub(crate) mod kept;
pub(crate) mod level;
pub(crate) mod limits;
pub(crate) mod loads;
mod payload;
pub(crate) mod reader;
pub(crate) mod refusal;
pub(crate) mod rows;
#[cfg(test)]
pub(crate) mod stage;
pub(crate) mod tap;
pub(crate) mod touched;
pub(crate) mod watches;
pub(crate) mod world;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use storage::{ReceivedSnapshot, SnapshotReader, SnapshotWriter, Store};

use self::catalog::Catalogs;
use self::dispatch::After;
use self::level::Level;
use self::loads::Loads;
use self::refusal::Fault;
use self::tap::Taps;
use self::touched::Touched;
use self::watches::Watches;
use crate::backup::turn;
use crate::scrub::pins::Pins;

/// How far beyond the point at which proposals wait a replica may fall behind before its apply slows down. Raised: a slow
/// follower takes more memory. Lowered: it stalls where it could have caught up.
const OVERLOAD_TIMES: usize = 3;

/// What follows what is applied without being part of it.
#[derive(Clone)]
pub(crate) struct Beside {
    /// The group's scrubs.
    pub(crate) pins: Arc<Pins>,
    /// What is applied to spaces that leave, and which have come.
    pub(crate) taps: Arc<Taps>,
    /// The group's level.
    pub(crate) level: Arc<Level>,
    /// How much is written where.
    pub(crate) loads: Arc<Loads>,
    /// Where anything was written, for who follows.
    pub(crate) touched: Arc<Touched>,
    /// Who waits for what is applied to a space.
    pub(crate) watches: Arc<Watches>,
}

impl Beside {
    /// For a process at this level.
    pub(crate) fn new(level: Level) -> Self {
        Self {
            pins: Arc::default(),
            taps: Arc::default(),
            level: Arc::new(level),
            loads: Arc::default(),
            touched: Arc::default(),
            watches: Arc::default(),
        }
    }
}

/// One group's machine over its store.
pub(crate) struct Machine {
    store: Store,
    catalogs: Arc<Catalogs>,
    beside: Beside,
    /// More than this in front of the store, and a follower's apply slows down.
    overload_bytes: usize,
    /// Whether the log goes into a backup.
    is_archived: bool,
}

impl Machine {
    /// A machine over a store at whose `delta_limit_bytes` proposals wait.
    pub(crate) fn new(store: Store, catalogs: Arc<Catalogs>, beside: Beside, delta_limit_bytes: usize) -> Self {
        let overload_bytes = delta_limit_bytes.saturating_mul(OVERLOAD_TIMES);
        Self {
            store,
            catalogs,
            beside,
            overload_bytes,
            is_archived: false,
        }
    }

    /// The same, of a group whose log goes into a backup.
    pub(crate) fn archived(self) -> Self {
        Self {
            is_archived: true,
            ..self
        }
    }

    fn apply_batch(&self, entries: &[raft::Entry], mark: raft::Mark) -> Result<Vec<Bytes>, Fault> {
        let mut batch = self.store.begin_batch()?;
        let mut replies = Vec::with_capacity(entries.len());
        let mut done_to = Vec::with_capacity(entries.len());
        let (mut scrub, mut raised) = (None, None);
        for entry in entries {
            let done = dispatch::apply(&mut batch, entry.index, &entry.payload, &self.catalogs)?;
            self.beside
                .level
                .check(&format_args!("log entry {}", entry.index), done.needs)?;
            raised = done.raised.or(raised);
            let is_new = done.answer.is_some();
            replies.push(done.answer.unwrap_or_default());
            done_to.push((done.space, done.after, is_new));
            scrub = done.scrub.map(|id| (id, entry.index, batch.pin(entry.index))).or(scrub);
        }
        batch.commit(to_store(mark))?;
        if let Some(level) = raised {
            self.beside.level.raised(level);
        }
        self.tell(entries, &done_to);
        if let Some((id, index, snapshot)) = scrub {
            self.beside.pins.begin(&self.store, id, index, snapshot);
        }
        Ok(replies)
    }

    /// Tells those who follow spaces, or move them, what was applied to them.
    fn tell(&self, entries: &[raft::Entry], done: &[(storage::Space, After, bool)]) {
        self.beside
            .loads
            .applied(done.iter().filter(|(_, _, is_new)| *is_new).map(|(space, ..)| *space));
        self.beside.touched.touch(done.iter().map(|(space, ..)| *space));
        self.beside.watches.tell(done.iter().map(|(space, ..)| *space));
        let tapped = self.beside.taps.any();
        for (entry, (space, after, is_new)) in entries.iter().zip(done) {
            match after {
                After::Taken if tapped && *is_new => self.beside.taps.applied(*space, entry.index, &entry.payload),
                After::Landed => self.beside.taps.land(*space),
                _ => {}
            }
        }
    }
}

impl raft::StateMachine for Machine {
    fn applied(&self) -> io::Result<raft::Mark> {
        Ok(to_log(self.store.mark()))
    }

    fn apply(&self, entries: Vec<raft::Entry>, mark: raft::Mark) -> io::Result<Vec<Bytes>> {
        self.apply_batch(&entries, mark).map_err(io::Error::other)
    }

    fn durable(&self) -> raft::Mark {
        to_log(self.store.durable_mark())
    }

    fn persist(&self) -> io::Result<raft::Mark> {
        self.store.persist().map(to_log).map_err(io::Error::other)
    }

    fn taken(&self) -> Option<u64> {
        // What cannot be read halts the store, which is asked elsewhere.
        let archived = self.is_archived.then(|| turn::read(&self.store.begin_read()).ok())??;
        Some(archived.map_or(0, |archived| archived.index))
    }

    fn over_limit(&self) -> bool {
        self.store.over_limit()
    }

    fn overloaded(&self) -> bool {
        self.store.delta_bytes() > self.overload_bytes
    }

    fn halted(&self) -> Option<String> {
        self.store.halted()
    }

    fn snapshot(&self) -> io::Result<Box<dyn raft::SnapshotSource>> {
        let reader = self.store.send_snapshot();
        let mark = to_log(reader.mark().clone());
        Ok(Box::new(Source { reader, mark }))
    }

    fn receive(&self) -> io::Result<Box<dyn raft::SnapshotSink>> {
        let writer = self.store.receive_snapshot().map_err(io::Error::other)?;
        Ok(Box::new(Sink {
            receiving: Receiving::Chunks(Box::new(writer)),
            store: self.store.clone(),
            catalogs: Arc::clone(&self.catalogs),
            taps: Arc::clone(&self.beside.taps),
            touched: Arc::clone(&self.beside.touched),
            watches: Arc::clone(&self.beside.watches),
            level: Arc::clone(&self.beside.level),
        }))
    }
}

struct Source {
    reader: SnapshotReader,
    mark: raft::Mark,
}

impl raft::SnapshotSource for Source {
    fn mark(&self) -> &raft::Mark {
        &self.mark
    }

    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        self.reader.next_chunk().map_err(io::Error::other)
    }
}

struct Sink {
    receiving: Receiving,
    store: Store,
    catalogs: Arc<Catalogs>,
    taps: Arc<Taps>,
    touched: Arc<Touched>,
    watches: Arc<Watches>,
    level: Arc<Level>,
}

/// How far a snapshot has come in.
enum Receiving {
    /// Its chunks come.
    Chunks(Box<SnapshotWriter>),
    /// It is whole, verified and on disk beside the live file.
    Whole(ReceivedSnapshot),
    /// Its end failed; the live file is as it was.
    Failed,
}

impl raft::SnapshotSink for Sink {
    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        match &mut self.receiving {
            Receiving::Chunks(writer) => writer.write(&chunk).map_err(io::Error::other),
            _ => Err(io::Error::other("a chunk came after the end of the snapshot")),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        let receiving = std::mem::replace(&mut self.receiving, Receiving::Failed);
        self.receiving = match receiving {
            Receiving::Chunks(writer) => Receiving::Whole(writer.finish().map_err(io::Error::other)?),
            other => other,
        };
        Ok(())
    }

    fn install(mut self: Box<Self>) -> io::Result<raft::Mark> {
        self.finish()?;
        let Receiving::Whole(received) = self.receiving else {
            return Err(io::Error::other("the snapshot did not come in whole"));
        };
        self.store.install(received).map_err(io::Error::other)?;
        self.catalogs.clear();
        self.taps.replaced();
        self.touched.replaced();
        self.watches.replaced();
        self.level.read(&self.store.begin_read()).map_err(io::Error::other)?;
        Ok(to_log(self.store.mark()))
    }
}

fn to_store(mark: raft::Mark) -> storage::Mark {
    storage::Mark {
        index: mark.index,
        state: mark.state,
    }
}

fn to_log(mark: storage::Mark) -> raft::Mark {
    raft::Mark {
        index: mark.index,
        state: mark.state,
    }
}
