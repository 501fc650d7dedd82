//! The last events of spaces, as they are told: read and written once, whoever follows.
//!
//! A change that a thousand followers wait for would be read a thousand times. So whoever reads up to the last event leaves what was read
//! here, and the others find it. Events never change; what of an event depends on who asks (rules, filters) is not kept.
//!
//! Invariant: the events of a tail are in order and without gaps, and of one slug and one version of the schema: both are shown in them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use api::body::event::Told;
use serde_json::value::RawValue;
use storage::Space;

use crate::machine::rows::{EventKind, Subject};
use crate::mutant::Mutant;

/// Most events of a tail. Raised: followers that are slower read less from the store. Lowered: less memory a space.
const EVENTS: usize = 512;
/// Most spaces with a tail. Raised: more memory. Lowered: tenants that take turns are read again.
const SPACES: usize = 64;
/// Longest fields of a record that are kept with its event, in bytes.
const FIELDS_BYTES: usize = 2 * 1024;

/// An event as it was read.
pub(crate) struct Line {
    pub(crate) kind: EventKind,
    pub(crate) subject: Subject,
    pub(crate) told: Arc<Told>,
    /// The record's fields as the change left them, where somebody has asked for them.
    fields: OnceLock<Option<Arc<RawValue>>>,
}

impl Line {
    pub(crate) fn new(kind: EventKind, subject: Subject, told: Told) -> Self {
        Self {
            kind,
            subject,
            told: Arc::new(told),
            fields: OnceLock::new(),
        }
    }

    pub(crate) fn position(&self) -> u64 {
        self.told.event().position
    }

    /// The record's fields, read where nobody has; short ones are kept for others.
    pub(crate) fn fields<E>(&self, read: impl FnOnce() -> Result<Option<Arc<RawValue>>, E>) -> Result<Option<Arc<RawValue>>, E> {
        if let Some(known) = self.fields.get() {
            return Ok(known.clone());
        }
        let fields = read()?;
        if fields.as_ref().is_none_or(|fields| fields.get().len() <= FIELDS_BYTES) {
            // Another one may have kept the same.
            let _ = self.fields.set(fields.clone());
        }
        Ok(fields)
    }
}

/// What the events of a tail are shown with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) slug: String,
    pub(crate) schema: u64,
}

struct Tail {
    shown: Shown,
    lines: VecDeque<Arc<Line>>,
}

/// The tails of one replica.
#[derive(Default)]
pub(crate) struct Tails(Mutex<BTreeMap<Space, Tail>>);

impl Tails {
    /// The events after a position up to `to`, at most `limit`; none: the tail does not reach back so far.
    pub(crate) fn after(&self, space: Space, shown: &Shown, after: u64, to: u64, limit: usize) -> Option<Vec<Arc<Line>>> {
        let tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = tails.get(&space).filter(|tail| tail.shown == *shown)?;
        let first = tail.lines.front()?.position();
        let skipped = after.checked_sub(first.checked_sub(1)?)?;
        let there = tail.lines.iter().skip(usize::try_from(skipped).ok()?);
        let forgets = |position: u64| Mutant::TailSkipsAnEvent.active() && position % 32 == 31 && position < to; // Mutant, B23.
        let found: Vec<_> = there
            .take_while(|line| line.position() <= to)
            .filter(|line| !forgets(line.position()))
            .take(limit)
            .map(Arc::clone)
            .collect();
        (!found.is_empty()).then_some(found)
    }

    /// Whether the events after a position are kept, as they are shown now.
    pub(crate) fn reaches(&self, space: Space, shown: &Shown, after: u64) -> bool {
        let tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = tails.get(&space).filter(|tail| tail.shown == *shown);
        tail.and_then(|tail| tail.lines.front())
            .is_some_and(|first| first.position() <= after + 1)
    }

    /// Keeps events that were read, the last of which was the space's last.
    pub(crate) fn keep(&self, space: Space, shown: &Shown, read: &[Arc<Line>]) {
        let Some(last) = read.last().map(|line| line.position()) else {
            return;
        };
        let mut tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !tails.contains_key(&space) && tails.len() >= SPACES {
            tails.pop_first();
        }
        let tail = tails.entry(space).or_insert_with(|| Tail {
            shown: shown.clone(),
            lines: VecDeque::new(),
        });
        // What somebody read from an older snapshot must not replace what is newer.
        if tail.shown.schema > shown.schema || tail.lines.back().is_some_and(|line| line.position() >= last) {
            return;
        }
        let next = tail.lines.back().map_or(0, |line| line.position() + 1);
        if tail.shown != *shown || read.first().is_none_or(|line| line.position() > next) {
            tail.shown = shown.clone();
            tail.lines.clear();
        }
        let known = tail.lines.back().map_or(0, |line| line.position());
        let new = read.iter().filter(|line| line.position() > known);
        tail.lines.extend(new.map(Arc::clone));
        let over = tail.lines.len().saturating_sub(EVENTS);
        tail.lines.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use api::body::event::Event;

    use super::*;

    fn line(position: u64) -> Arc<Line> {
        let event = Event {
            specversion: "1.0".into(),
            id: String::new(),
            source: String::new(),
            kind: "record.created".into(),
            subject: None,
            time: String::new(),
            position,
            actor: String::new(),
            collection: None,
            record: None,
            version: None,
            file: None,
            fields: None,
        };
        Arc::new(Line::new(EventKind::RecordCreated, Subject::Tenant, Told::new(event)))
    }

    fn shown(schema: u64) -> Shown {
        Shown {
            slug: "acme".into(),
            schema,
        }
    }

    #[test]
    fn a_tail_has_no_gaps_and_is_of_one_schema() {
        let (tails, space) = (Tails::default(), Space(3));
        let found = |schema, after, to, limit| {
            let found = tails.after(space, &shown(schema), after, to, limit)?;
            Some(found.iter().map(|line| line.position()).collect::<Vec<_>>())
        };
        tails.keep(space, &shown(1), &[line(5), line(6)]);
        assert_eq!(found(1, 4, 9, 9), Some(vec![5, 6]));
        let reaches = |schema, after| tails.reaches(space, &shown(schema), after);
        assert!(reaches(1, 4) && reaches(1, 6) && !reaches(1, 3) && !reaches(2, 4));
        assert_eq!(found(1, 5, 9, 9), Some(vec![6]));
        assert_eq!((found(1, 3, 9, 9), found(1, 6, 9, 9), found(2, 4, 9, 9)), (None, None, None));
        tails.keep(space, &shown(1), &[line(6), line(7), line(8)]);
        assert_eq!((found(1, 4, 7, 9), found(1, 4, 9, 1)), (Some(vec![5, 6, 7]), Some(vec![5])));
        tails.keep(space, &shown(1), &[line(5)]);
        assert_eq!(found(1, 7, 9, 9), Some(vec![8]), "what is older changes nothing");
        tails.keep(space, &shown(1), &[line(10)]);
        assert_eq!(
            (found(1, 7, 10, 9), found(1, 9, 10, 9)),
            (None, Some(vec![10])),
            "9 is not there"
        );
        tails.keep(space, &shown(2), &[line(11)]);
        assert_eq!((found(1, 10, 11, 9), found(2, 10, 11, 9)), (None, Some(vec![11])));
        let many: Vec<_> = (12..12 + 2 * EVENTS as u64).map(line).collect();
        tails.keep(space, &shown(2), &many);
        assert_eq!(
            tails.0.lock().expect("a lock").get(&space).map(|tail| tail.lines.len()),
            Some(EVENTS)
        );
    }
}
