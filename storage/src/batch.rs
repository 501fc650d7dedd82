//! Writing: a batch of commands, each of which is accepted whole or dropped whole, published together with the log's mark.
//!
//! A command is bound to one space and to one log position. That is what makes replay after a crash exact: the spaces of a file
//! may stand at different positions (`progress`), so a command is skipped when its own space already has it, and it may read
//! nothing but its own space, because another one may stand elsewhere. Reading outside is refused, and so is writing.
//!
//! A command reads its own writes first, then what the batch accepted before it, then the view that the batch began from.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::delta::{Delta, Entry, View};
use crate::error::Error;
use crate::inner::Inner;
use crate::key::{self, Key};
use crate::mutant::Mutant;
use crate::progress::{self, MAX_MARK_STATE_BYTES, Mark};
use crate::range::KeyRange;
use crate::scan::{Direction, Scan};
use crate::snapshot::Snapshot;
use crate::space::Space;
use crate::table::{self, Table};

/// The longest key, in bytes. Longer ones make redb's branch pages wide; a transfer holds one in memory.
pub const MAX_KEY_BYTES: usize = 16 << 10;
/// The longest value, in bytes. A transfer holds one in memory; a command carries at most 4 MiB anyway.
pub const MAX_VALUE_BYTES: usize = 8 << 20;

/// The one open batch of a store. Dropping it discards it.
pub struct Batch {
    inner: Arc<Inner>,
    /// What was published when the batch began.
    view: Arc<View>,
    /// The view's active delta and what the batch accepted.
    active: Delta,
    /// The highest position of an accepted or skipped command.
    reached: u64,
    changed: bool,
    /// A rule that the caller broke; the commit fails with it.
    fault: Option<Error>,
    committed: bool,
}

impl Batch {
    pub(crate) fn new(inner: Arc<Inner>, view: Arc<View>) -> Batch {
        let active = view.active.clone();
        let reached = view.mark.index;
        Batch {
            inner,
            view,
            active,
            reached,
            changed: false,
            fault: None,
            committed: false,
        }
    }

    /// The write of one command at log position `index`, bound to one space. `None`: this space already holds the command's effect
    /// (a replay after a crash), and the caller skips it.
    pub fn command(&mut self, index: u64, space: Space) -> Option<Command<'_>> {
        self.reached = self.reached.max(index);
        // Mutant, B17.
        let forgotten = Mutant::ReplayNotSkipped.active() && index > self.view.mark.index;
        if index <= self.view.mark.index.max(progress::applied(&self.view.reaches, space)) && !forgotten {
            return None;
        }
        Some(Command {
            batch: self,
            space,
            own: BTreeMap::new(),
            fault: None,
        })
    }

    /// The state as of log position `index`: what the batch has accepted so far, over what was there before it. For replicas that
    /// compare what they hold at one position. Costs a counted reference; worth nothing if the batch is not committed.
    pub fn pin(&self, index: u64) -> Snapshot {
        let mut view = View::clone(&self.view);
        view.active = self.active.clone();
        view.mark = Mark {
            index,
            state: Vec::new(),
        };
        Snapshot { view: Arc::new(view) }
    }

    /// Publishes: from now on readers see all accepted commands and the mark, at once. The mark must not lie before any command of
    /// the batch, nor before the store's mark. Not durable yet: the log is, and `durable` says what no longer needs it.
    ///
    /// Fails without publishing when the store has halted, or when the caller broke a rule: `OutOfOrder`, `OtherSpace`, `TooLarge`.
    pub fn commit(mut self, mark: Mark) -> Result<(), Error> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if mark.index < self.reached {
            return Err(Error::OutOfOrder {
                mark: mark.index,
                reached: self.reached,
            });
        }
        if mark.state.len() > MAX_MARK_STATE_BYTES {
            let (bytes, limit_bytes) = (mark.state.len(), MAX_MARK_STATE_BYTES);
            return Err(Error::TooLarge {
                what: "the state of a mark".to_owned(),
                bytes,
                limit_bytes,
            });
        }
        self.committed = true;
        let changed = self.changed || mark != self.view.mark;
        self.inner.publish_batch(std::mem::take(&mut self.active), mark, changed)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.committed {
            self.inner.discard_batch();
        }
    }
}

/// The reads and writes of one command. Dropping it discards its writes.
pub struct Command<'a> {
    batch: &'a mut Batch,
    space: Space,
    own: BTreeMap<Key, Option<Bytes>>,
    fault: Option<Error>,
}

impl Command<'_> {
    /// The space that the command is bound to.
    pub fn space(&self) -> Space {
        self.space
    }

    /// Reads one key of the command's space.
    pub fn get<T: Table>(&self, key: &T) -> Result<Option<Bytes>, Error> {
        self.get_raw(key.key().as_bytes())
    }

    /// Reads one encoded key of the command's space.
    pub fn get_raw(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        if key::space_of(key) != Some(self.space) {
            return Err(Error::OtherSpace {
                bound: self.space.0,
                touched: table::print(key),
            });
        }
        if let Some(change) = self.own.get(key) {
            return Ok(change.clone());
        }
        match self.batch.active.changes.get(key) {
            Some(entry) => Ok(entry.change().cloned()),
            None => self.batch.view.get_below(key),
        }
    }

    /// Walks over a range of the command's space, its own writes included. Later writes do not change the walk.
    pub fn scan(&self, range: KeyRange, direction: Direction) -> Scan {
        let view = &self.batch.view;
        if !range.is_within(self.space) {
            let touched = format!("{} .. {}", table::print(&range.start), table::print(&range.end));
            return Scan::failed(
                view,
                Error::OtherSpace {
                    bound: self.space.0,
                    touched,
                },
            );
        }
        let own: VecDeque<Entry> = if range.is_empty() {
            VecDeque::new()
        } else {
            self.own
                .range::<[u8], _>(range.bounds())
                .map(|(key, change)| Entry::new(key.clone(), change.clone()))
                .collect()
        };
        Scan::new(view, &self.batch.active.changes, own, &range, direction)
    }

    /// Writes one key of the command's space.
    pub fn put<T: Table>(&mut self, key: &T, value: impl Into<Bytes>) {
        self.change(key.key(), Some(value.into()));
    }

    /// Deletes one key of the command's space; nothing happens when it is not there.
    pub fn delete<T: Table>(&mut self, key: &T) {
        self.change(key.key(), None);
    }

    /// Writes one encoded key of the command's space.
    pub fn put_raw(&mut self, key: Key, value: Bytes) {
        self.change(key, Some(value));
    }

    /// Deletes one encoded key of the command's space.
    pub fn delete_raw(&mut self, key: Key) {
        self.change(key, None);
    }

    /// How many keys the command wrote or deleted so far.
    pub fn touched(&self) -> usize {
        self.own.len()
    }

    /// Makes the command's writes part of the batch.
    pub fn accept(self) {
        self.batch.changed |= !self.own.is_empty();
        for (key, change) in self.own {
            self.batch.active.put(Entry::new(key, change));
        }
        if self.batch.fault.is_none() {
            self.batch.fault = self.fault;
        }
    }

    fn change(&mut self, key: Key, change: Option<Bytes>) {
        let broken = if key.space() != self.space {
            Some(Error::OtherSpace {
                bound: self.space.0,
                touched: key.to_string(),
            })
        } else {
            too_large("a key", &key, key.as_bytes().len(), MAX_KEY_BYTES)
                .or_else(|| too_large("the value", &key, change.as_ref().map_or(0, Bytes::len), MAX_VALUE_BYTES))
        };
        match broken {
            None => {
                self.own.insert(key, change);
            }
            Some(fault) => self.fault = Some(self.fault.take().unwrap_or(fault)),
        }
    }
}

fn too_large(what: &str, key: &Key, bytes: usize, limit_bytes: usize) -> Option<Error> {
    (bytes > limit_bytes).then(|| Error::TooLarge {
        what: format!("{what} of {}", table::name_of(key)),
        bytes,
        limit_bytes,
    })
}
