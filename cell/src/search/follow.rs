//! Following one space: from what the index has of it to what the store has.
//!
//! The mark of a space says up to which position the index shows it. Events after that name the records that changed: they are read again, as they
//! are now, and put in the place of what the index has. Doing that twice, or for a state that is later than the event, comes to the same.
//! What events cannot tell is gone through: all records of some collections, some at a time, while events are followed as ever. A mark
//! carries what records were indexed like (its shape) only once that is through; where it is cut short it begins again.
//!
//! A mark that is ahead of the store is of a store that lost its last moments in a crash, and gets them again from the log: it is waited for.
//! A mark whose stamp is not that of its event is of another history: the space is indexed anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::search::{SearchIndex, SearchWriter, SpaceMark};
use storage::table::{self, Record as RecordKey};
use storage::{Direction, Snapshot, Space, Table};
use uuid::Uuid;

use super::document::Wanted;
use super::language;
use super::stand::{Halt, is_cut, served, stamp_at};
use crate::machine::catalog::Catalogs;
use crate::machine::idempotency::bad_key;
use crate::machine::reader::decode;
use crate::machine::refusal::Fault;
use crate::machine::rows::{EventKind, EventRow, Header, Subject};
use crate::mutant::Mutant;
use crate::records::entries::Place;
use crate::records::history;
use crate::records::value::RecordRow;

/// Events, or records, that one step takes of one space: others wait no longer than that.
const STEP: usize = 500;
/// How long the index of a space may be ahead of the store. Raised: one that is of another history is wrong for longer. Lowered: a store
/// that takes long to replay its log makes it index everything anew.
const AHEAD: Duration = Duration::from_secs(60);

/// How far one space is followed.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// What the index says once all that was written is committed; none: the space is not in the index.
    pub(super) mark: Option<SpaceMark>,
    /// Collections whose records are gone through, and the last that was; the first is under way.
    left: VecDeque<(u32, Option<Uuid>)>,
    /// What they are gone through for.
    target: u64,
    /// What the collections are indexed like, where that is known.
    shapes: Option<BTreeMap<u32, u64>>,
    /// Since when the index is ahead of the store.
    ahead: Option<Instant>,
    /// What it is to be indexed like, at this version of its schema.
    wanted: Option<(u64, Arc<Wanted>)>,
}

/// What a step of following came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing was left to do.
    Still,
    /// There is more to do.
    More,
    /// All was done.
    Done,
    /// The store must get further first.
    Waits,
}

impl Followed {
    /// What the index has of a space.
    pub(super) fn of(index: &SearchIndex, space: Space) -> Result<Self, Halt> {
        Ok(Self {
            mark: index.mark(space)?,
            ..Self::default()
        })
    }

    /// Whether records are still gone through.
    pub(super) fn is_building(&self) -> bool {
        !self.left.is_empty()
    }

    /// Whether the index has all of the space already.
    pub(super) fn is_there(&mut self, snapshot: &Snapshot, catalogs: &Catalogs, space: Space) -> Result<bool, Halt> {
        let (header, mark) = match (served(snapshot, space)?, self.mark) {
            (Some(header), Some(mark)) => (header, mark),
            (header, mark) => return Ok(header.is_none() && mark.is_none()),
        };
        let wanted = self.wanted(snapshot, catalogs, space, &header)?;
        let is_there = self.left.is_empty() && mark.position == header.position && mark.shape == wanted.digest;
        Ok(is_there && !is_cut(snapshot, space, &header, mark)?)
    }

    /// Goes on for one step.
    pub(super) fn step(
        &mut self,
        snapshot: &Snapshot,
        catalogs: &Catalogs,
        writer: &SearchWriter,
        space: Space,
    ) -> Result<Step, Halt> {
        let Some(header) = served(snapshot, space)? else {
            let was = self.mark.take();
            *self = Self::default();
            if was.is_some() {
                writer.remove_space(space);
            }
            return Ok(if was.is_some() { Step::Done } else { Step::Still });
        };
        let wanted = self.wanted(snapshot, catalogs, space, &header)?;
        let mark = match self.mark {
            Some(mark) if mark.position > header.position => {
                if self.ahead.get_or_insert_with(Instant::now).elapsed() < AHEAD {
                    return Ok(Step::Waits);
                }
                tracing::warn!(
                    space = space.0,
                    "the search index knows of positions that the store never reached: it is built anew"
                );
                self.anew(snapshot, writer, space, &header)?
            }
            Some(mark) if is_cut(snapshot, space, &header, mark)? => self.anew(snapshot, writer, space, &header)?,
            Some(mark) => mark,
            None => self.anew(snapshot, writer, space, &header)?,
        };
        self.ahead = None;
        let before = self.mark;
        self.aim(writer, space, &wanted, mark);
        let (mark, more) = self.events(snapshot, writer, space, &wanted, mark)?;
        let walked = self.walk(snapshot, writer, space, &wanted)?;
        let shape = if self.left.is_empty() { self.target } else { 0 };
        self.mark = Some(SpaceMark { shape, ..mark });
        if self.mark == before && !walked {
            return Ok(Step::Still);
        }
        if self.left.is_empty() {
            self.shapes = Some(wanted.digests.clone());
        }
        if let Some(mark) = &self.mark {
            writer.mark(space, mark)?;
        }
        Ok(if more || self.is_building() { Step::More } else { Step::Done })
    }

    fn wanted(&mut self, snapshot: &Snapshot, catalogs: &Catalogs, space: Space, header: &Header) -> Result<Arc<Wanted>, Fault> {
        if let Some((_, wanted)) = self.wanted.as_ref().filter(|(schema, _)| *schema == header.schema) {
            return Ok(Arc::clone(wanted));
        }
        let catalog = catalogs.get(snapshot, space, header.schema)?;
        let wanted = Arc::new(Wanted::of(catalog, language::of(snapshot, space)?));
        self.wanted = Some((header.schema, Arc::clone(&wanted)));
        Ok(wanted)
    }

    /// Begins anew at this position.
    fn anew(&mut self, snapshot: &Snapshot, writer: &SearchWriter, space: Space, header: &Header) -> Result<SpaceMark, Fault> {
        writer.remove_space(space);
        *self = Self::default();
        let position = header.position;
        Ok(SpaceMark {
            position,
            stamp: stamp_at(snapshot, space, position)?.unwrap_or_default(),
            shape: 0,
        })
    }

    /// Follows the events after a mark; the mark after them, and whether there are more.
    fn events(
        &mut self,
        snapshot: &Snapshot,
        writer: &SearchWriter,
        space: Space,
        wanted: &Wanted,
        mark: SpaceMark,
    ) -> Result<(SpaceMark, bool), Halt> {
        let (mut mark, mut count, mut changed) = (mark, 0, BTreeSet::new());
        for row in snapshot
            .scan(table::Event::range_after(space, mark.position), Direction::Forward)
            .take(STEP)
        {
            let (raw, bytes) = row?;
            let key = table::Event::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
            let EventRow::V1(event) = decode(&key, &bytes)?;
            if let Subject::Record(collection, id, version) = event.subject {
                let forgets = Mutant::SearchForgetsAChange.active() && key.position % 8 == 7; // Mutant, B24.
                if !forgets {
                    changed.insert((collection, id));
                }
                if event.kind == EventKind::RecordUpdated {
                    self.renamed(snapshot, wanted, Place { space, collection, id }, version)?;
                }
            }
            (mark.position, mark.stamp) = (key.position, event.stamp);
            count += 1;
        }
        for (collection, id) in changed {
            let place = Place { space, collection, id };
            // Nothing is indexed of the others.
            let Some(shape) = wanted.shapes.get(&collection) else {
                continue;
            };
            match place.read(snapshot)? {
                Some(record) => writer.put(&shape.document(snapshot, place, &record, wanted.language)?)?,
                None => writer.remove(space, collection, id.into_bytes()),
            }
        }
        Ok((mark, count == STEP))
    }

    /// A record has got this version. Where others are called after it, and it is called otherwise than before, so are they.
    fn renamed(&mut self, snapshot: &Snapshot, wanted: &Wanted, place: Place, version: u64) -> Result<(), Fault> {
        for shape in wanted.shapes.values() {
            let mut keys = shape.keys_in(place.collection).peekable();
            if keys.peek().is_none() {
                continue;
            }
            // What it is now may be a later version: that has an event of its own. What nobody remembers may have been another name.
            let before = history::version(snapshot, place, version.saturating_sub(1))?;
            let after = match history::version(snapshot, place, version)? {
                Some(superseded) => Some(superseded.record),
                None => place.read(snapshot)?,
            };
            let same = before
                .zip(after)
                .is_some_and(|(before, after)| keys.all(|key| before.record.doc.get(key) == after.doc.get(key)));
            let known = self
                .left
                .iter()
                .any(|(number, last)| *number == shape.collection && last.is_none());
            if !same && !known {
                self.left.push_back((shape.collection, None));
            }
        }
        Ok(())
    }

    /// Begins to go through what is to be indexed otherwise than it is.
    fn aim(&mut self, writer: &SearchWriter, space: Space, wanted: &Wanted, mark: SpaceMark) {
        if self.target == wanted.digest {
            return;
        }
        self.target = wanted.digest;
        if self.left.is_empty() && mark.shape == wanted.digest {
            self.shapes = Some(wanted.digests.clone());
            return;
        }
        let known = self.shapes.take().unwrap_or_default();
        let other = wanted
            .digests
            .iter()
            .filter(|(number, digest)| known.get(*number) != Some(*digest));
        self.left = other.map(|(number, _)| (*number, None)).collect();
        for gone in wanted.catalog.numbers().filter(|number| !wanted.shapes.contains_key(number)) {
            writer.remove_collection(space, gone);
        }
    }

    /// Goes through some records; whether there were any to go through.
    fn walk(&mut self, snapshot: &Snapshot, writer: &SearchWriter, space: Space, wanted: &Wanted) -> Result<bool, Halt> {
        let Some((number, last)) = self.left.front().copied() else {
            return Ok(false);
        };
        let Some(shape) = wanted.shapes.get(&number) else {
            self.left.pop_front();
            return Ok(true);
        };
        let mut range = RecordKey::range(space, number);
        if let Some(id) = last {
            let collection = number;
            range = range.after(&Place { space, collection, id }.key().key());
        }
        let (mut count, mut at) = (0, last);
        for row in snapshot.scan(range, Direction::Forward).take(STEP) {
            let (raw, bytes) = row?;
            let key = RecordKey::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
            let RecordRow::V1(record) = decode(&key, &bytes)?;
            let id = Uuid::from_bytes(key.id);
            let place = Place {
                space,
                collection: number,
                id,
            };
            writer.put(&shape.document(snapshot, place, &record, wanted.language)?)?;
            (count, at) = (count + 1, Some(id));
        }
        match self.left.front_mut() {
            Some(front) if count == STEP => front.1 = at,
            _ => {
                self.left.pop_front();
            }
        }
        Ok(true)
    }
}
