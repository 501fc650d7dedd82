//! The sync thread: gathers what waits, writes it, fdatasyncs once, then shows and calls back in order.
//!
//! A batch goes through four steps: frames are laid out in a buffer (`put`), written, made durable (`sync`), and only then do
//! the places of its entries, and what it truncated and purged, take effect for readers and for the release of segments.
//! So nothing is ever released because of a purge that a power loss could still undo.
//!
//! When a segment is full, it is sealed and fsynced before the first frame goes into the next one: a torn tail can only be
//! in the last segment that has frames. The next one begins with a checkpoint of all groups.
//!
//! Any failure is final. A failed fdatasync is never tried again, because the kernel may have dropped the bytes and would
//! then say yes.

mod effect;
mod in_hand;
mod tail;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use effect::Effect;
use in_hand::InHand;

use super::checkpoint::Checkpoint;
use super::error::WalError;
use super::frame::{Kind, frame_bytes};
use super::group::GroupCell;
use super::options::{LogEntry, PREWRITE_AHEAD_BYTES, Synced};
use super::queue::{Batch, CopyForward, Op, Position, Queued, call};
use super::segment::Segment;
use super::shared::Shared;

/// The buffer is written out when it has grown to this.
const BUFFER_BYTES: usize = 1 << 20;

/// See the module.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    active: Arc<Segment>,
    /// Where the next frame goes; the buffer ends here.
    tail: u64,
    /// Where the buffer begins.
    written: u64,
    /// Durable up to here.
    synced: u64,
    /// The active segment has no complete checkpoint yet.
    fresh: bool,
    buffer: Vec<u8>,
    /// Each group as written.
    groups: BTreeMap<u64, Checkpoint>,
    effects: Vec<Effect>,
    frames: u64,
    /// What a checkpoint takes, or a little more.
    checkpoint_bytes: u64,
    /// The keeper has something to look at.
    news: bool,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        active: Arc<Segment>,
        tail: u64,
        fresh: bool,
        groups: BTreeMap<u64, Checkpoint>,
    ) -> Writer {
        let (written, synced, buffer) = (tail, tail, Vec::with_capacity(BUFFER_BYTES * 2));
        let mut writer = Writer {
            shared,
            active,
            tail,
            written,
            synced,
            fresh,
            buffer,
            groups,
            effects: Vec::new(),
            frames: 0,
            checkpoint_bytes: 0,
            news: false,
        };
        writer.checkpoint_bytes = writer.checkpoint().iter().map(|(_, state)| frame_bytes(state.len())).sum();
        // Before anyone can append: what is accepted depends on it.
        writer.shared.queue.finished(0, false, writer.position());
        writer
    }

    /// Works until the log is closed or stops.
    pub(crate) fn run(mut self) {
        let mut in_hand = InHand::new(self.shared.clone());
        while let Some(batch) = self.shared.queue.take() {
            let last = batch.last;
            if let Err(error) = self.commit(batch, &mut in_hand) {
                // Stopped before the callbacks, so that none of them finds the log open.
                return self.shared.stop(error);
            }
            if last {
                if let Err(error) = self.close() {
                    self.shared.stop(error);
                }
                return;
            }
        }
    }

    /// Writes, syncs, shows, calls back.
    fn commit(&mut self, batch: Batch, in_hand: &mut InHand) -> Result<(), WalError> {
        let Batch {
            copies, ops, committed, ..
        } = batch;
        let copied = !copies.is_empty();
        let ops = in_hand.take(ops);
        self.lay_out(&copies, ops, committed)?;
        // A committed position alone waits for company: losing it costs nothing.
        if ops.is_empty() && !copied {
            self.flush()?;
        } else {
            self.sync()?;
        }
        let synced = Synced { at: Instant::now() };
        self.take_effect(ops.last().map(|queued| queued.number));
        let bytes: u64 = ops.iter().map(|queued| queued.bytes).sum();
        let copy_bytes: u64 = copies.iter().map(|copy| u64::from(copy.place.bytes)).sum();
        for queued in in_hand {
            if matches!(queued.op, Op::Append(_)) {
                self.shared.counters.appends.fetch_add(1, Ordering::Relaxed);
            }
            call(queued.done, Ok(synced));
        }
        self.news |= copied;
        if self.news {
            // Whoever sees the room that this made must not take the keeper's verdict for one that knows of it.
            self.shared.yard().news += 1;
        }
        self.shared.queue.finished(bytes + copy_bytes, copied, self.position());
        self.tell_keeper();
        Ok(())
    }

    fn lay_out(&mut self, copies: &[CopyForward], ops: &[Queued], committed: BTreeMap<u64, Bytes>) -> Result<(), WalError> {
        if self.fresh {
            self.put_checkpoint()?;
        }
        for copy in copies {
            self.put_copy(copy)?;
        }
        for queued in ops {
            let id = queued.cell.id;
            match &queued.op {
                Op::Append(entries) => self.put_entries(&queued.cell, entries)?,
                Op::Vote(vote) => {
                    self.put(Kind::Vote, id, 0, vote)?;
                    self.group(id).vote = Some(vote.clone());
                }
                Op::Truncate(from) => {
                    self.put(Kind::Truncate, id, *from, &[])?;
                    self.group(id).truncate(*from);
                    self.effects.push(Effect::Truncated {
                        cell: queued.cell.clone(),
                        from: *from,
                    });
                }
                Op::Purge(upto, purged) => {
                    self.put(Kind::Purge, id, *upto, purged)?;
                    self.group(id).purge(*upto, purged.clone());
                    self.effects.push(Effect::Purged {
                        cell: queued.cell.clone(),
                        upto: *upto,
                    });
                }
                Op::Nothing => {}
            }
        }
        for (id, committed) in committed {
            self.put(Kind::Committed, id, 0, &committed)?;
            self.group(id).committed = Some(committed);
        }
        Ok(())
    }

    fn put_entries(&mut self, cell: &Arc<GroupCell>, entries: &[LogEntry]) -> Result<(), WalError> {
        for LogEntry { index, bytes } in entries {
            let (segment, place) = self.put(Kind::Entry, cell.id, *index, bytes)?;
            if self.group(cell.id).entry(*index).is_err() {
                return Err(WalError::Stopped(format!(
                    "entry {index} of group {} is out of order in the queue",
                    cell.id
                )));
            }
            self.active.live.fetch_add(u64::from(place.bytes), Ordering::AcqRel);
            match self.effects.last_mut() {
                Some(Effect::Entries {
                    cell: same,
                    segment: here,
                    first,
                    places,
                }) if Arc::ptr_eq(same, cell) && *here == segment && *first + places.len() as u64 == *index => {
                    places.push(place);
                }
                _ => self.effects.push(Effect::Entries {
                    cell: cell.clone(),
                    segment,
                    first: *index,
                    places: vec![place],
                }),
            }
        }
        Ok(())
    }

    /// Copies an entry if it is still where it was found. Copies come first in a batch, when what is durable and what is
    /// written are the same; later an operation of this batch could already have replaced the entry.
    fn put_copy(&mut self, copy: &CopyForward) -> Result<(), WalError> {
        if copy.cell.lock().runs.get(copy.index) != Some((copy.segment, copy.place)) {
            return Ok(());
        }
        let (segment, place) = self.put(Kind::Copy, copy.cell.id, copy.index, &copy.bytes)?;
        self.active.live.fetch_add(u64::from(place.bytes), Ordering::AcqRel);
        self.effects.push(Effect::Moved {
            cell: copy.cell.clone(),
            index: copy.index,
            segment,
            place,
        });
        self.shared.counters.copied.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn group(&mut self, id: u64) -> &mut Checkpoint {
        self.groups.entry(id).or_default()
    }

    fn position(&self) -> Position {
        Position {
            active: self.active.clone(),
            tail: self.tail,
            checkpoint_bytes: self.checkpoint_bytes,
        }
    }

    fn tell_keeper(&mut self) {
        let (prewritten, capacity) = (self.active.prewritten(), self.active.header.capacity);
        let mut yard = self.shared.yard();
        yard.tail = self.tail;
        let short = prewritten < capacity && prewritten < self.tail + PREWRITE_AHEAD_BYTES;
        let half = self.tail > capacity / 2 && yard.next.as_ref().is_none_or(|next| next.prewritten() < next.header.capacity);
        if std::mem::take(&mut self.news) || short || half {
            yard.news += 1;
            self.shared.yard_changed.notify_all();
        }
    }

    /// Notes a clean end: the next start then tolerates no torn tail before it.
    fn close(&mut self) -> Result<(), WalError> {
        if self.fresh {
            self.put_checkpoint()?;
        }
        // A full log is closed without the note: it is not worth a segment.
        if self.tail + frame_bytes(0) * 2 <= self.active.prewritten().min(self.active.header.capacity) {
            self.put(Kind::Closed, 0, 0, &[])?;
        }
        self.sync()
    }
}
