//! What redb takes for its file: writes are only remembered; a sync writes them, sorted, joined and at a calm pace.
//!
//! redb calls `write` while it holds a lock of its page cache, so that must be quick and can never rest. `sync_data` takes
//! everything remembered so far, sorts it by place, joins neighbours to pieces of up to 128 KiB, and writes piece after piece: it
//! starts the write-back of each and waits for the one before, so that the device never has a long queue in front of the log's
//! own fsync. Then it syncs. To redb this is the same as a page cache: nothing is durable before the sync, everything after.
//!
//! Reads see what is remembered. While a sync is under way, what it writes is still answered from memory.
//!
//! A write to the store's file that finds no room on the disk waits for room, unless the store is going: it has changed nothing that
//! anybody relies on, and what waits is only the flush. A file that is not the store's yet, or not any more, does not wait: it may be
//! itself what takes the room. Any other failure of a write, and every failure of a sync, is final: every call after it fails with the
//! same reason, and nothing is tried again.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use bytes::Bytes;

use crate::disk::DiskFile;
use crate::pace::Pace;

/// Neighbouring writes are joined up to this length. Longer ones make the log wait longer behind each; shorter ones cost calls.
const PIECE_BYTES: usize = 128 << 10;

/// The buffer in front of a file.
#[derive(Debug)]
pub(crate) struct Buffered {
    file: Arc<dyn DiskFile>,
    pace: Arc<Pace>,
    /// A write that finds no room waits for it; else it fails.
    waits: AtomicBool,
    pending: RwLock<Pending>,
    /// One sync at a time, and no change of length during it.
    syncing: Mutex<()>,
    failure: OnceLock<String>,
}

#[derive(Debug, Default)]
struct Pending {
    /// Written since the last sync began.
    fresh: Extents,
    /// What a sync is writing now.
    draining: Arc<Extents>,
}

impl Buffered {
    pub(crate) fn new(file: Arc<dyn DiskFile>, pace: Arc<Pace>, waits: bool) -> Buffered {
        Buffered {
            file,
            pace,
            waits: AtomicBool::new(waits),
            pending: RwLock::default(),
            syncing: Mutex::default(),
            failure: OnceLock::new(),
        }
    }

    /// The length of the file.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        self.file.len()
    }

    /// From now on a write that finds no room waits for it, or fails.
    pub(crate) fn set_waits(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    fn check(&self) -> io::Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(reason) => Err(io::Error::other(format!("an earlier write failed: {reason}"))),
        }
    }

    /// Remembers a failure for good.
    fn latch<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            let _ = self.failure.set(error.to_string());
        })
    }

    fn with_room(&self, write: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let mut told = false;
        loop {
            match write() {
                Err(error) if no_room(&error) && self.waits.load(Ordering::Relaxed) && self.pace.wait_for_room() => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "a flush waits for room on the disk");
                    }
                }
                written => {
                    if told && written.is_ok() {
                        tracing::info!("there is room on the disk again: the flush goes on");
                    }
                    return written;
                }
            }
        }
    }

    fn write_out(&self, extents: &Extents) -> io::Result<()> {
        let pieces = extents.pieces();
        let rest = self.pace.share(pieces.len());
        let mut before = None;
        let mut joined = Vec::new();
        for piece in &pieces {
            let data = match piece.parts.as_slice() {
                [only] => only.as_ref(),
                parts => {
                    joined.clear();
                    parts.iter().for_each(|part| joined.extend_from_slice(part));
                    joined.as_slice()
                }
            };
            self.with_room(|| self.file.write_at(piece.offset, data))?;
            let len = data.len() as u64;
            self.file.start_writeback(piece.offset, len)?;
            if let Some((offset, len)) = before.replace((piece.offset, len)) {
                self.file.wait_writeback(offset, len)?;
            }
            self.pace.rest(rest);
        }
        self.with_room(|| self.file.finish_writes())?;
        self.file.sync_data()
    }
}

/// Whether more room would have helped.
fn no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The backend that redb owns; the store keeps the other handle.
#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Arc<Buffered>);

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.check()?;
        self.0.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let pending = self.0.pending.read().unwrap_or_else(PoisonError::into_inner);
        if pending.fresh.covers(offset, out.len()) {
            pending.fresh.overlay(offset, out);
            return Ok(());
        }
        if pending.draining.covers(offset, out.len()) {
            // What lies in the file may be half of it, which is nobody's damage.
            pending.draining.overlay(offset, out);
            pending.fresh.overlay(offset, out);
            return Ok(());
        }
        // The lock is held across the read, so that no sync ends between the file's bytes and the remembered ones.
        self.0.file.read_at(offset, out)?;
        pending.draining.overlay(offset, out);
        pending.fresh.overlay(offset, out);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.check()?;
        let _syncing = self.0.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pending = self.0.pending.write().unwrap_or_else(PoisonError::into_inner);
        pending.fresh.truncate(len);
        self.0.latch(self.0.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.check()?;
        let _syncing = self.0.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let draining = {
            let mut pending = self.0.pending.write().unwrap_or_else(PoisonError::into_inner);
            pending.draining = Arc::new(std::mem::take(&mut pending.fresh));
            pending.draining.clone()
        };
        self.0.latch(self.0.write_out(&draining))?;
        let mut pending = self.0.pending.write().unwrap_or_else(PoisonError::into_inner);
        let written = std::mem::take(&mut pending.draining);
        drop(pending);
        drop(written);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.check()?;
        let data = Bytes::copy_from_slice(data);
        self.0
            .pending
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .fresh
            .insert(offset, data);
        Ok(())
    }
}

/// Written stretches of a file, none of which overlap.
#[derive(Debug, Default)]
struct Extents(BTreeMap<u64, Bytes>);

/// Stretches that lie directly behind one another, to be written by one call.
struct Piece {
    offset: u64,
    parts: Vec<Bytes>,
}

impl Extents {
    /// Remembers a write; what it covers of older ones is forgotten.
    fn insert(&mut self, offset: u64, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let end = offset + data.len() as u64;
        self.cut(offset, end);
        self.0.insert(offset, data);
    }

    /// Forgets everything between two places.
    fn cut(&mut self, start: u64, end: u64) {
        let touched: Vec<u64> = self.overlapping(start, end).map(|(at, _)| at).collect();
        for at in touched {
            let Some(old) = self.0.remove(&at) else { continue };
            let old_end = at + old.len() as u64;
            if at < start {
                self.0.insert(at, old.slice(..(start - at) as usize));
            }
            if old_end > end {
                self.0.insert(end, old.slice((end - at) as usize..));
            }
        }
    }

    fn truncate(&mut self, len: u64) {
        self.cut(len, u64::MAX);
    }

    fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, &Bytes)> {
        let before = self
            .0
            .range(..start)
            .next_back()
            .filter(move |(at, data)| *at + data.len() as u64 > start);
        let within = self.0.range((Bound::Included(start), Bound::Excluded(end.max(start))));
        before.into_iter().chain(within).map(|(at, data)| (*at, data))
    }

    /// Whether one stretch holds all of these bytes.
    fn covers(&self, offset: u64, len: usize) -> bool {
        let found = self.0.range(..=offset).next_back();
        found.is_some_and(|(at, data)| at + data.len() as u64 >= offset + len as u64)
    }

    /// Puts what is remembered of these bytes over them.
    fn overlay(&self, offset: u64, out: &mut [u8]) {
        if self.0.is_empty() {
            return;
        }
        let end = offset + out.len() as u64;
        for (at, data) in self.overlapping(offset, end) {
            let from = at.max(offset);
            let to = (at + data.len() as u64).min(end);
            out[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&data[(from - at) as usize..(to - at) as usize]);
        }
    }

    fn pieces(&self) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut end = 0;
        let mut length = 0;
        for (at, data) in &self.0 {
            match pieces.last_mut() {
                Some(piece) if *at == end && length + data.len() <= PIECE_BYTES => {
                    piece.parts.push(data.clone());
                    length += data.len();
                }
                _ => {
                    pieces.push(Piece {
                        offset: *at,
                        parts: vec![data.clone()],
                    });
                    length = data.len();
                }
            }
            end = at + data.len() as u64;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered_writes_read_back_like_a_file() {
        let mut seed = 9u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let mut model = vec![0u8; 4096];
        let mut extents = Extents::default();
        for round in 0..2000u32 {
            let offset = random(4000);
            let data = vec![(round % 251) as u8 + 1; 1 + random(4096 - offset - 1).min(300) as usize];
            model[offset as usize..offset as usize + data.len()].copy_from_slice(&data);
            extents.insert(offset, Bytes::from(data));
            let from = random(4096) as usize;
            let mut out = vec![0; 1 + random((4096 - from) as u64) as usize];
            extents.overlay(from as u64, &mut out);
            assert_eq!(out, model[from..from + out.len()]);
        }
        let mut written = vec![0; 4096];
        for piece in extents.pieces() {
            let data = piece.parts.concat();
            written[piece.offset as usize..piece.offset as usize + data.len()].copy_from_slice(&data);
        }
        assert_eq!(written, model);
        extents.truncate(1000);
        assert!(extents.0.iter().all(|(at, data)| at + data.len() as u64 <= 1000));
    }

    #[test]
    fn neighbours_are_joined_up_to_the_length_of_a_piece() {
        let mut extents = Extents::default();
        for page in (0..64u64).rev() {
            extents.insert(page * 4096, Bytes::from(vec![page as u8; 4096]));
        }
        extents.insert(1 << 30, Bytes::from_static(b"far away"));
        let pieces: Vec<(u64, usize)> = extents
            .pieces()
            .iter()
            .map(|piece| (piece.offset, piece.parts.len()))
            .collect();
        assert_eq!(pieces, [(0, 32), (128 << 10, 32), (1 << 30, 1)]);
    }
}
