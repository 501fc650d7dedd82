//! A walk over a range of keys, merged from layers: a command's own writes, the active delta, the frozen ones, the file.
//!
//! Each layer shows its next entry; the first key of them all is next, the newest layer that has it wins, and the others skip it. A
//! deletion hides what lies below it. A scan holds everything that it reads, so it may outlive the snapshot or the command that it
//! came from, and later writes do not disturb it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::delta::{Changes, Entry, View};
use crate::error::Error;
use crate::ground::GroundScan;
use crate::health::Health;
use crate::key::Key;
use crate::range::KeyRange;

/// A layer of the map is read in pieces that grow from the first length to the second: a seek costs as much as several steps.
const FIRST_PIECE_KEYS: usize = 8;
const LAST_PIECE_KEYS: usize = 256;

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// Walks over a range; ends after the first error.
pub struct Scan {
    /// The newest first.
    layers: Vec<Layer>,
    direction: Direction,
    health: Arc<Health>,
    failure: Option<Error>,
}

struct Layer {
    head: Option<Head>,
    ended: bool,
    source: Source,
}

/// What a layer shows next: an entry of a delta, or a key and a value of the file.
enum Head {
    Entry(Entry),
    Found(Key, Bytes),
}

impl Head {
    fn key(&self) -> &Key {
        match self {
            Head::Entry(entry) => entry.key(),
            Head::Found(key, _) => key,
        }
    }

    /// The key and its value; `None` when it is a deletion.
    fn into_found(self) -> Option<(Key, Bytes)> {
        match self {
            Head::Entry(entry) => entry.change().map(|value| (entry.key().clone(), value.clone())),
            Head::Found(key, value) => Some((key, value)),
        }
    }
}

enum Source {
    Own(VecDeque<Entry>),
    Map(MapScan),
    Ground(Box<GroundScan>),
}

impl Scan {
    /// A scan over a view, whose active delta may be another one, and over a command's own writes on top.
    pub(crate) fn new(view: &View, active: &Changes, own: VecDeque<Entry>, range: &KeyRange, direction: Direction) -> Scan {
        let mut scan = Scan {
            layers: Vec::new(),
            direction,
            health: view.health.clone(),

            failure: None,
        };
        if range.is_empty() {
            return scan;
        }
        if !own.is_empty() {
            scan.push(Source::Own(own));
        }
        let frozen = view.frozen.iter().rev().map(|frozen| &frozen.delta.changes);
        for changes in std::iter::once(active).chain(frozen).filter(|changes| !changes.is_empty()) {
            scan.push(Source::Map(MapScan::new(changes.clone(), range.clone())));
        }
        match view.health.watch(view.ground.scan(range)) {
            Ok(ground) => scan.push(Source::Ground(Box::new(ground))),
            Err(error) => scan.failure = Some(error),
        }
        scan
    }

    /// A scan that has nothing to give but an error.
    pub(crate) fn failed(view: &View, error: Error) -> Scan {
        let health = view.health.clone();
        Scan {
            layers: Vec::new(),
            direction: Direction::Forward,
            health,

            failure: Some(error),
        }
    }

    fn push(&mut self, source: Source) {
        self.layers.push(Layer {
            head: None,
            ended: false,
            source,
        });
    }

    /// The layer whose key is next; of those with the same key, the newest.
    fn leading(&self) -> Option<usize> {
        let mut best: Option<(usize, &Key)> = None;
        for (at, layer) in self.layers.iter().enumerate() {
            let Some(key) = layer.head.as_ref().map(Head::key) else {
                continue;
            };
            let leads = best.is_none_or(|(_, other)| match self.direction {
                Direction::Forward => key < other,
                Direction::Backward => key > other,
            });
            if leads {
                best = Some((at, key));
            }
        }
        best.map(|(at, _)| at)
    }

    fn step(&mut self) -> Result<Option<(Key, Bytes)>, Error> {
        loop {
            let forward = self.direction == Direction::Forward;
            self.layers.iter_mut().try_for_each(|layer| layer.show(forward))?;
            let Some(leading) = self.leading() else { return Ok(None) };
            let Some(head) = self.layers[leading].head.take() else {
                return Ok(None);
            };
            for older in &mut self.layers[leading + 1..] {
                older.head.take_if(|other| other.key() == head.key());
            }
            if let Some(found) = head.into_found() {
                return Ok(Some(found));
            }
        }
    }
}

impl Iterator for Scan {
    type Item = Result<(Key, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let known = || self.health.readable().err().filter(|_| !self.layers.is_empty());
        let failure = self.failure.take().or_else(known);
        let stepped = failure.map_or_else(|| self.step(), Err);
        if stepped.is_err() {
            self.layers.clear();
        }
        self.health.watch(stepped).transpose()
    }
}

impl Layer {
    /// Makes the layer show its next entry, when it shows none and is not at its end.
    fn show(&mut self, forward: bool) -> Result<(), Error> {
        if self.head.is_some() || self.ended {
            return Ok(());
        }
        self.head = match &mut self.source {
            Source::Own(entries) if forward => entries.pop_front().map(Head::Entry),
            Source::Own(entries) => entries.pop_back().map(Head::Entry),
            Source::Map(map) => map.next(forward).map(Head::Entry),
            Source::Ground(ground) => ground.next(forward)?.map(|(key, value)| Head::Found(key, value)),
        };
        self.ended = self.head.is_none();
        Ok(())
    }
}

/// Walks over a map that it owns, by seeking to where it stopped.
struct MapScan {
    changes: Changes,
    rest: KeyRange,
    piece: VecDeque<Entry>,
    piece_keys: usize,
}

impl MapScan {
    fn new(changes: Changes, range: KeyRange) -> MapScan {
        MapScan {
            changes,
            rest: range,
            piece: VecDeque::new(),
            piece_keys: FIRST_PIECE_KEYS,
        }
    }

    fn next(&mut self, forward: bool) -> Option<Entry> {
        if self.piece.is_empty() && !self.rest.is_empty() {
            self.refill(forward);
        }
        self.piece.pop_front()
    }

    fn refill(&mut self, forward: bool) {
        let range = self.changes.range::<_, [u8]>(self.rest.bounds());
        if forward {
            self.piece.extend(range.take(self.piece_keys).cloned());
        } else {
            self.piece.extend(range.rev().take(self.piece_keys).cloned());
        }
        let rest = self.rest.clone();
        self.rest = match self.piece.back() {
            Some(last) if self.piece.len() == self.piece_keys && forward => rest.after(last.key()),
            Some(last) if self.piece.len() == self.piece_keys => rest.before(last.key()),
            _ => KeyRange {
                start: Bytes::new(),
                end: Bytes::new(),
            },
        };
        self.piece_keys = (self.piece_keys * 2).min(LAST_PIECE_KEYS);
    }
}
