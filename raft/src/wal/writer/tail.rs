//! The end of the log: laying out frames in the buffer, and getting it to the disk, from one segment into the next.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::error::WalError;
use super::super::frame::{Frame, Kind, SEGMENT_HEADER_BYTES, frame_bytes};
use super::super::runs::Place;
use super::super::segment::{Segment, failed};
use super::{BUFFER_BYTES, Writer};
use crate::mutant::Mutant;

impl Writer {
    /// Lays out one frame, in the next segment if this one is full.
    pub(super) fn put(&mut self, kind: Kind, group: u64, index: u64, payload: &[u8]) -> Result<(u64, Place), WalError> {
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

    pub(super) fn checkpoint(&self) -> Vec<(u64, Vec<u8>)> {
        self.groups.iter().map(|(id, state)| (*id, state.encode())).collect()
    }

    /// Writes every group's state at the head of the active segment.
    pub(super) fn put_checkpoint(&mut self) -> Result<(), WalError> {
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
    pub(super) fn flush(&mut self) -> Result<(), WalError> {
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
    pub(super) fn sync(&mut self) -> Result<(), WalError> {
        self.flush()?;
        // Mutant, B1. `synced` stays, or frames would witness that what is lost had been durable.
        if self.synced == self.written || Mutant::AckBeforeFsync.active() {
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
}
