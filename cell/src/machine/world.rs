//! What a command sees and changes while it is applied: its space, at one moment, and nothing else.

use bytes::Bytes;
use serde::Serialize;
use storage::table::{self, SpaceHeader};
use storage::{Direction, Key, KeyRange, Space, Table};

use super::envelope::seal;
use super::limits::APPLY_KEYS;
use super::reader::{Reader, Rows};
use super::refusal::{Fault, Refusal};
use super::rows::{Actor, Event, EventKind, EventRow, Header, HeaderRow, Place, SpaceStatus, Subject};
use crate::directory::changes;
use crate::mutant::{self, Mutant};
use crate::records::totals::{self, Growth};

/// One command's world. Changes become visible, all at once, when the frame accepts them.
pub(crate) struct World<'a> {
    command: storage::Command<'a>,
    /// The space that the command is bound to.
    pub(crate) space: Space,
    /// The header, where the space exists.
    header: Option<Header>,
    header_changed: bool,
    /// Where the space stands in a move.
    place: Place,
    place_changed: bool,
    /// The command's time, in microseconds since the epoch: larger than that of every command before it in this space.
    pub(crate) stamp: u64,
    /// Who caused it.
    pub(crate) actor: Actor,
    /// Whether what it supersedes is kept.
    keeps_history: bool,
    /// By how much the command makes what is counted of the tenant's records more, or less.
    grown: Growth,
    /// In the directory: the keys that the command wrote or removed.
    written: Option<Vec<Key>>,
}

impl<'a> World<'a> {
    pub(crate) fn new(command: storage::Command<'a>, space: Space, stamp: u64, actor: Actor) -> Result<Self, Fault> {
        let (header, place) = command.placed(space)?.unzip();
        let stamp = mutant::stamp(stamp); // Mutant, B16.
        let stamp = header
            .as_ref()
            .map_or(stamp, |header| stamp.max(header.stamp.saturating_add(1)));
        Ok(Self {
            command,
            space,
            header,
            header_changed: false,
            place: place.unwrap_or_default(),
            place_changed: false,
            stamp,
            actor,
            keeps_history: false,
            grown: Growth::default(),
            written: (space == Space::SYSTEM).then(Vec::new),
        })
    }

    /// From here on what the command supersedes is kept.
    pub(crate) fn keep_history(&mut self) {
        self.keeps_history = true;
    }

    /// Whether what the command supersedes is kept.
    pub(crate) fn keeps_history(&self) -> bool {
        self.keeps_history
    }

    /// The header of a space that is served.
    pub(crate) fn live(&self) -> Result<&Header, Refusal> {
        match &self.header {
            Some(header) if header.status == SpaceStatus::Live => Ok(header),
            _ => Err(Refusal::NoSpace),
        }
    }

    /// The header of a space in whatever state.
    pub(crate) fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The header, to change it.
    pub(crate) fn header_mut(&mut self) -> Result<&mut Header, Refusal> {
        self.header_changed = true;
        self.header.as_mut().ok_or(Refusal::NoSpace)
    }

    /// The header, made by `new` where there is none yet, with its position raised by one: for spaces without events.
    pub(crate) fn touch(&mut self, new: impl FnOnce() -> Header) -> &mut Header {
        self.header_changed = true;
        let header = self.header.get_or_insert_with(new);
        header.position = header.position.saturating_add(1);
        header
    }

    /// Makes the space.
    pub(crate) fn create(&mut self, header: Header) {
        self.header_changed = true;
        self.header = Some(header);
    }

    /// Where the space stands in a move.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Says where the space stands in a move. Nothing else of its header changes: the other cell's stays the same.
    pub(crate) fn set_place(&mut self, place: Place) {
        self.place_changed |= self.place != place;
        self.place = place;
    }

    /// Takes over the header that the space has in another cell, as it is.
    pub(crate) fn adopt(&mut self, header: Header, place: Place) {
        self.header = Some(header);
        self.place = place;
        self.place_changed = true;
    }

    /// The number of the last event.
    pub(crate) fn position(&self) -> u64 {
        self.header.as_ref().map_or(0, |header| header.position)
    }

    /// Stores a row.
    pub(crate) fn put<T: Table, R: Serialize>(&mut self, key: &T, row: &R) {
        self.put_sealed(key, seal(row).into());
    }

    /// Stores bytes that are sealed already.
    pub(crate) fn put_sealed<T: Table>(&mut self, key: &T, bytes: Bytes) {
        let key = key.key();
        self.wrote(&key);
        self.command.put_raw(key, bytes);
    }

    /// Stores a row that counts among the tenant's records (`records::totals`), in the place of a value of so many bytes, if there was one.
    pub(crate) fn put_counted<T: Table>(&mut self, key: &T, value: Bytes, before: Option<usize>) {
        let key = key.key();
        self.grown.put(&key, value.len(), before);
        self.command.put_raw(key, value);
    }

    /// Removes a row that counts, whose value has so many bytes.
    pub(crate) fn delete_counted(&mut self, key: Key, before: usize) {
        self.grown.delete(&key, before);
        self.command.delete_raw(key);
    }

    /// Brings the totals along with what the command has counted: once, in the end.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        totals::settle(self, self.grown)
    }

    /// Stores a row by its encoded key and value.
    pub(crate) fn put_raw(&mut self, key: storage::Key, value: Bytes) {
        self.command.put_raw(key, value);
    }

    /// Reads a row by its encoded key.
    pub(crate) fn get_raw(&self, key: &storage::Key) -> Result<Option<Bytes>, storage::Error> {
        self.command.get_raw(key.as_bytes())
    }

    /// Stores a key without a value: what it says is in the key.
    pub(crate) fn put_key<T: Table>(&mut self, key: &T) {
        self.put_sealed(key, Bytes::new());
    }

    /// Removes a row.
    pub(crate) fn delete<T: Table>(&mut self, key: &T) {
        self.delete_raw(key.key());
    }

    /// Removes a row by its encoded key.
    pub(crate) fn delete_raw(&mut self, key: Key) {
        self.wrote(&key);
        self.command.delete_raw(key);
    }

    fn wrote(&mut self, key: &Key) {
        if let Some(written) = &mut self.written {
            written.push(key.clone());
        }
    }

    /// Appends an event.
    pub(crate) fn event(&mut self, kind: EventKind, subject: Subject) -> Result<(), Refusal> {
        let (space, stamp, actor) = (self.space, self.stamp, self.actor.clone());
        let header = self.header_mut()?;
        header.position = header.position.saturating_add(1 + mutant::gap(header.position)); // Mutant, B23.
        let position = header.position;
        let row = EventRow::V1(Event {
            stamp,
            actor,
            kind,
            subject,
        });
        let key = table::Event { space, position };
        if Mutant::EventOutsideCommit.active() {
            // Mutant, B17: it waits in memory for the next commit of the space.
            let late = mutant::later(key, seal(&row));
            late.into_iter().for_each(|(key, row)| self.command.put(&key, row));
            return Ok(());
        }
        self.put(&key, &row);
        Ok(())
    }

    /// How many keys the command has written or deleted.
    pub(crate) fn touched(&self) -> usize {
        self.command.touched()
    }

    /// Refuses what would touch too much.
    pub(crate) fn check_size(&self) -> Result<(), Refusal> {
        if self.command.touched() <= APPLY_KEYS {
            return Ok(());
        }
        Err(Refusal::TooLarge {
            what: format!("the change touches more than {APPLY_KEYS} keys: split it"),
        })
    }

    /// Writes the header and makes everything visible with the batch.
    pub(crate) fn accept(mut self) {
        if (self.header_changed || self.place_changed)
            && let Some(mut header) = self.header.take()
        {
            if self.header_changed {
                header.stamp = self.stamp;
            }
            let position = header.position;
            let row = HeaderRow::new(header, self.place);
            self.put(&SpaceHeader { space: self.space }, &row);
            if let Some(written) = self.written.take() {
                changes::note(&mut self.command, position, written);
            }
        }
        self.command.accept();
    }
}

impl Reader for World<'_> {
    fn get<T: Table>(&self, key: &T) -> Result<Option<Bytes>, storage::Error> {
        self.command.get(key)
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Rows<'_> {
        Reader::scan(&self.command, range, direction)
    }
}
