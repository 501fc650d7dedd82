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

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use super::checkpoint::Checkpoint;
use super::error::WalError;
use super::frame::{Frame, Kind, SEGMENT_HEADER_BYTES, frame_bytes};
use super::group::GroupCell;
use super::options::{LogEntry, PREWRITE_AHEAD_BYTES, Synced};
use super::queue::{Batch, CopyForward, Op, Position, Queued, call};
use super::runs::Place;
use super::segment::{Segment, failed};
use super::shared::Shared;

/// The buffer is written out when it has grown to this.
const BUFFER_BYTES: usize = 1 << 20;

/// What takes effect once the batch is durable.
enum Effect {
    Entries {
        cell: Arc<GroupCell>,
        segment: u64,
        first: u64,
        places: Vec<Place>,
    },
    Moved {
        cell: Arc<GroupCell>,
        index: u64,
        segment: u64,
        place: Place,
    },
    Truncated {
        cell: Arc<GroupCell>,
        from: u64,
    },
    Purged {
        cell: Arc<GroupCell>,
        upto: u64,
    },
}

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
        while let Some(batch) = self.shared.queue.take() {
            let last = batch.last;
            if !self.commit(batch) {
                return;
            }
            if last {
                if let Err(error) = self.close() {
                    self.shared.stop(error);
                }
                return;
            }
        }
        self.shared.queue.fail(Vec::new());
    }

    /// Writes, syncs, shows, calls back. `false`: it failed, and the log has stopped.
    fn commit(&mut self, batch: Batch) -> bool {
        let Batch {
            copies, ops, committed, ..
        } = batch;
        let copied = !copies.is_empty();
        let written = self.lay_out(&copies, &ops, committed).and_then(|()| {
            // A committed position alone waits for company: losing it costs nothing.
            if ops.is_empty() && !copied {
                self.flush()
            } else {
                self.sync()
            }
        });
        let synced = match written {
            Ok(()) => Synced { at: Instant::now() },
            Err(error) => {
                // Stopped before the callbacks, so that none of them finds the log open.
                self.shared.stop(error);
                self.shared.queue.fail(ops);
                return false;
            }
        };
        self.take_effect(ops.last().map(|queued| queued.number));
        let bytes: u64 = ops.iter().map(|queued| queued.bytes).sum();
        let copy_bytes: u64 = copies.iter().map(|copy| u64::from(copy.place.bytes)).sum();
        for queued in ops {
            if matches!(queued.op, Op::Append(_)) {
                self.shared.counters.appends.fetch_add(1, Ordering::Relaxed);
            }
            call(queued.done, Ok(synced));
        }
        self.shared.queue.finished(bytes + copy_bytes, copied, self.position());
        self.news |= copied;
        self.tell_keeper();
        true
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

    /// Lays out one frame, in the next segment if this one is full.
    fn put(&mut self, kind: Kind, group: u64, index: u64, payload: &[u8]) -> Result<(u64, Place), WalError> {
        let bytes = frame_bytes(payload.len());
        if self.tail + bytes + frame_bytes(0) > self.active.header.capacity {
            self.rotate()?;
        }
        let place = Place {
            offset: self.tail as u32,
            bytes: bytes as u32,
        };
        self.put_here(&Frame {
            kind,
            group,
            index,
            payload,
        });
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok((self.active.sequence(), place))
    }

    fn put_here(&mut self, frame: &Frame<'_>) {
        frame.encode(self.active.stamp(), self.tail, self.synced, &mut self.buffer);
        self.tail = self.written + self.buffer.len() as u64;
        self.frames += 1;
    }

    fn rotate(&mut self) -> Result<(), WalError> {
        // First the successor, so that a seal always has one.
        let next = self.take_next()?;
        self.put_here(&Frame {
            kind: Kind::Seal,
            group: 0,
            index: next.sequence(),
            payload: &[],
        });
        self.sync()?;
        self.shared.table().insert(next.sequence(), next.clone());
        self.active = next.clone();
        (self.tail, self.written, self.synced) = (SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES);
        {
            let mut yard = self.shared.yard();
            yard.active = next;
            yard.next = None;
            yard.tail = self.tail;
            yard.wanted = 0;
            yard.need_next = false;
        }
        self.news = true;
        self.put_checkpoint()
    }

    fn checkpoint(&self) -> Vec<(u64, Vec<u8>)> {
        self.groups.iter().map(|(id, state)| (*id, state.encode())).collect()
    }

    /// Writes every group's state at the head of the active segment.
    fn put_checkpoint(&mut self) -> Result<(), WalError> {
        let states = self.checkpoint();
        let bytes: u64 = states.iter().map(|(_, state)| frame_bytes(state.len())).sum();
        self.checkpoint_bytes = bytes;
        if bytes > self.active.header.capacity / 2 {
            let reason = format!(
                "the state of {} groups does not fit into a segment of {} bytes",
                states.len(),
                self.active.header.capacity
            );
            return Err(WalError::Stopped(reason));
        }
        for (group, state) in &states {
            self.put_here(&Frame {
                kind: Kind::Checkpoint,
                group: *group,
                index: 0,
                payload: state,
            });
        }
        self.put_here(&Frame {
            kind: Kind::CheckpointEnd,
            group: 0,
            index: states.len() as u64,
            payload: &[],
        });
        self.fresh = false;
        Ok(())
    }

    /// Writes the buffer, into bytes that exist already.
    fn flush(&mut self) -> Result<(), WalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.wait_prewritten()?;
        self.active
            .file
            .write_at(&self.buffer, self.written)
            .map_err(|error| failed("write", &self.active.path, error))?;
        self.shared
            .counters
            .frames
            .fetch_add(std::mem::take(&mut self.frames), Ordering::Relaxed);
        self.shared
            .counters
            .bytes
            .fetch_add(self.buffer.len() as u64, Ordering::Relaxed);
        self.written = self.tail;
        self.buffer.clear();
        Ok(())
    }

    /// Makes everything so far durable. An error is final.
    fn sync(&mut self) -> Result<(), WalError> {
        self.flush()?;
        if self.synced == self.written {
            return Ok(());
        }
        if self.shared.options.sync {
            let start = Instant::now();
            self.active
                .file
                .sync_data()
                .map_err(|error| failed("fsync", &self.active.path, error))?;
            let took = start.elapsed().as_micros() as u64;
            let counters = &self.shared.counters;
            counters.fsyncs.fetch_add(1, Ordering::Relaxed);
            counters.last_fsync_us.store(took, Ordering::Relaxed);
            counters.max_fsync_us.fetch_max(took, Ordering::Relaxed);
        }
        self.synced = self.written;
        self.shared.checkpointed.store(self.active.sequence(), Ordering::Release);
        Ok(())
    }

    fn take_effect(&mut self, durable_op: Option<u64>) {
        let mut grown: Vec<Arc<GroupCell>> = Vec::new();
        for effect in std::mem::take(&mut self.effects) {
            let shared = &self.shared;
            let mut lose = |segment, bytes| shared.lose(segment, bytes);
            match effect {
                Effect::Entries {
                    cell,
                    segment,
                    first,
                    places,
                } => {
                    let mut inner = cell.lock();
                    (first..)
                        .zip(places)
                        .for_each(|(index, place)| inner.runs.push(index, segment, place));
                    drop(inner);
                    if grown.last().is_none_or(|last| !Arc::ptr_eq(last, &cell)) {
                        grown.push(cell);
                    }
                }
                Effect::Moved {
                    cell,
                    index,
                    segment,
                    place,
                } => {
                    if let Some((old, place)) = cell.lock().runs.relocate(index, segment, place) {
                        lose(old, u64::from(place.bytes));
                    }
                    self.news = true;
                }
                Effect::Truncated { cell, from } => {
                    cell.lock().runs.truncate(from, &mut lose);
                    self.news = true;
                }
                Effect::Purged { cell, upto } => {
                    cell.lock().runs.purge(upto, &mut lose);
                    self.news = true;
                }
            }
        }
        // Only now: what leaves the memory must be found on the disk, whichever effect of this batch says where.
        for cell in grown {
            cell.lock().evict(self.shared.options.tail_bytes, durable_op.unwrap_or(0));
        }
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

    /// Waits until the keeper has prewritten what the buffer needs.
    fn wait_prewritten(&self) -> Result<(), WalError> {
        if self.tail <= self.active.prewritten() {
            return Ok(());
        }
        let mut yard = self.shared.yard();
        yard.wanted = self.tail;
        yard.news += 1;
        let asked = yard.news;
        self.shared.yard_changed.notify_all();
        while self.tail > self.active.prewritten() {
            if yard.stop {
                return Err(WalError::Stopped("the log was stopped while it waited for space".into()));
            }
            if yard.answered >= asked
                && let Some(full) = &yard.full
            {
                return Err(WalError::Full(full.clone()));
            }
            yard = self.shared.wait_yard(yard);
        }
        Ok(())
    }

    /// Waits for the next segment.
    fn take_next(&self) -> Result<Arc<Segment>, WalError> {
        let mut yard = self.shared.yard();
        yard.need_next = true;
        yard.news += 1;
        let asked = yard.news;
        self.shared.yard_changed.notify_all();
        loop {
            if let Some(next) = &yard.next {
                // It stays there until it is the active one: there must never be two without frames.
                return Ok(next.clone());
            }
            if yard.stop {
                return Err(WalError::Stopped("the log was stopped while it waited for a segment".into()));
            }
            if yard.answered >= asked
                && let Some(full) = &yard.full
            {
                return Err(WalError::Full(full.clone()));
            }
            yard = self.shared.wait_yard(yard);
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
