//! The keeper: a thread that does ahead of time, or afterwards, what must not take time while something waits for the disk.
//!
//! - It prewrites zeros: a few steps ahead of the tail while a segment is new, so that a quiet node's log stays small, and the
//!   whole next segment once the active one is half full. The sync thread never grows a file: overwriting costs a
//!   fraction (MEASUREMENTS.md), and a full disk shows here first, before anything that was accepted is lost.
//! - It gives the next segment its header and name before it is needed.
//! - It releases the oldest segment once no group needs any entry in it, for recycling or deletion.
//! - It copies the few live entries of an old segment forward, so that an idle group does not pin the log. With more than
//!   `copy_after_segments` in use this is done when at most a quarter of the oldest segment is live, or at most half of the
//!   whole log. So the log is only ever full when more than half of it is needed.
//!
//! # When there is no space
//!
//! The log's bound, or the disk. There is no reserve file that would have to be deleted first: the reserve is the last
//! `headroom_bytes` of what is prewritten already. Entries are refused before they come near it (`WalError::Full`, nothing
//! changes, and they are taken again once there is space); votes, truncations and purges may use it, and purges are what
//! makes space. Only when the headroom is used up as well does the log stop, or when a single append is larger than a
//! quarter of a segment and meets the end. One segment beyond the bound may be made for copying forward, which frees more
//! than it takes; entries wait until that is done.

mod copy;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::error::WalError;
use super::frame::{SegmentHeader, Stamp};
use super::options::{FULL_RETRY, PREWRITE_AHEAD_BYTES, READER_RETRY, SHORT_RETRY};
use super::segment::{Segment, failed, spare_name};
use super::shared::Shared;

/// See the module.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    next_sequence: u64,
    next_spare: u64,
    /// Out of the table, but perhaps still being read. The oldest first.
    retired: Vec<Arc<Segment>>,
    /// What was found missing in this pass.
    full: Option<String>,
    /// Copying met damage; what is damaged stays where it is.
    no_copies: bool,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, next_sequence: u64, next_spare: u64) -> Keeper {
        Keeper {
            shared,
            next_sequence,
            next_spare,
            retired: Vec::new(),
            full: None,
            no_copies: false,
        }
    }

    /// Works until the log ends.
    pub(crate) fn run(mut self) {
        loop {
            let seen = {
                let yard = self.shared.yard();
                if yard.stop {
                    return;
                }
                yard.news
            };
            self.full = None;
            match self.pass() {
                Ok(true) => {}
                Ok(false) => self.rest(seen),
                Err(error) => return self.shared.stop(error),
            }
        }
    }

    /// Does one thing. `false`: there was nothing to do, or no space to do it.
    fn pass(&mut self) -> Result<bool, WalError> {
        let prepared = usize::from(self.shared.yard().next.is_some());
        let crowded = self.shared.table().len() + prepared > self.shared.options.max_segments();
        self.shared.queue.set_crowded(crowded);
        if crowded && self.shared.queue.may_copy() {
            self.full = Some(self.at_bound());
        }
        Ok(self.extend_active()? || self.release()? || self.prepare_next()? || self.extend_next()? || self.copy_forward()?)
    }

    fn rest(&mut self, seen: u64) {
        // What is only waiting for its last reader will be free at once: that is worth waiting for. So are copies that are
        // on their way, but not for the sync thread, which writes them.
        let mut full = self.full.take().filter(|_| self.retired.is_empty());
        let retry = match (&full, self.retired.is_empty()) {
            (_, false) => Some(READER_RETRY),
            (Some(_), true) => Some(FULL_RETRY),
            // What is wanted fits once the sync thread is further.
            (None, true) => self.shared.queue.is_short().then_some(SHORT_RETRY),
        };
        let for_writer = full.clone();
        full = full.filter(|_| self.shared.queue.may_copy());
        self.tell(full);
        let mut yard = self.shared.yard();
        yard.full = for_writer;
        yard.answered = seen;
        self.shared.yard_changed.notify_all();
        self.shared.queue.announce();
        if yard.stop || yard.news != seen {
            return;
        }
        match retry {
            Some(time) => {
                let waited = self.shared.yard_changed.wait_timeout(yard, time);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            }
            None => drop(self.shared.wait_yard(yard)),
        }
    }

    /// Tells the queue, and at a change the operator.
    fn tell(&self, full: Option<String>) {
        match (&full, self.shared.queue.full()) {
            (Some(reason), None) => tracing::warn!(reason, "the log has no space left"),
            (None, Some(_)) => tracing::info!("the log has space again"),
            _ => {}
        }
        self.shared.queue.set_full(full);
    }

    fn extend_active(&mut self) -> Result<bool, WalError> {
        let (active, end) = {
            let yard = self.shared.yard();
            (yard.active.clone(), yard.wanted.max(yard.tail + PREWRITE_AHEAD_BYTES))
        };
        let enough = active.prewritten() >= end && !self.shared.queue.is_short();
        if enough || active.prewritten() >= active.header.capacity {
            return Ok(false);
        }
        self.extend(&active)
    }

    fn extend_next(&mut self) -> Result<bool, WalError> {
        let short = self.shared.queue.is_short();
        let next = {
            let yard = self.shared.yard();
            let half = yard.tail > yard.active.header.capacity / 2;
            yard.next.clone().filter(|_| half || short)
        };
        match next {
            Some(next) if next.prewritten() < next.header.capacity => self.extend(&next),
            _ => Ok(false),
        }
    }

    fn extend(&mut self, segment: &Segment) -> Result<bool, WalError> {
        let extended = segment.prewrite_step(&*self.shared.disk);
        if self.without_space(extended)?.is_none() {
            return Ok(false);
        }
        self.shared.queue.more_space(None);
        self.shared.yard_changed.notify_all();
        Ok(true)
    }

    fn at_bound(&self) -> String {
        format!("it has reached its bound of {} bytes", self.shared.options.max_bytes)
    }

    /// `None`: there is no space, which is noted; any other error is passed on.
    fn without_space<T>(&mut self, result: Result<T, WalError>) -> Result<Option<T>, WalError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_no_descriptor() => {
                self.full = Some(format!("no file descriptor is free ({error})"));
                Ok(None)
            }
            Err(error) if error.is_no_space() => {
                self.full = Some(format!("no space on the disk ({error})"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn prepare_next(&mut self) -> Result<bool, WalError> {
        let short = self.shared.queue.is_short();
        let spare = {
            let mut yard = self.shared.yard();
            let wanted = short || yard.need_next || yard.tail > yard.active.header.capacity / 2;
            if yard.next.is_some() || !wanted {
                return Ok(false);
            }
            yard.spares.pop()
        };
        let (segments, max) = (self.shared.table().len(), self.shared.options.max_segments());
        if segments >= max && !(segments == max && self.worth_copying().is_some()) {
            self.full = Some(self.at_bound());
            self.shared.yard().spares.extend(spare);
            return Ok(false);
        }
        let spare = spare.unwrap_or_else(|| self.new_spare());
        let stamp = Stamp {
            sequence: self.next_sequence,
            salt: self.shared.disk.random(),
        };
        let header = SegmentHeader {
            log: self.shared.log,
            stamp,
            capacity: self.shared.options.segment_bytes,
        };
        let made = Segment::make(&*self.shared.disk, &self.shared.dir, &spare, header);
        match self.without_space(made)? {
            Some(segment) => {
                self.next_sequence += 1;
                // The queue first: it must not hear of a segment that the sync thread has taken already.
                self.shared.queue.more_space(Some(segment.clone()));
                self.shared.yard().next = Some(segment);
                self.shared.yard_changed.notify_all();
                Ok(true)
            }
            None => {
                // Half a file is no use and takes space that a purge may need.
                match self.shared.disk.remove(&spare) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", &spare, error)),
                    _ => Ok(false),
                }
            }
        }
    }

    fn new_spare(&mut self) -> PathBuf {
        self.next_spare += 1;
        self.shared.dir.join(spare_name(self.next_spare))
    }

    /// Takes the oldest segment out of use if nothing needs it; recycles it when its last reader has gone.
    fn release(&mut self) -> Result<bool, WalError> {
        let checkpointed = self.shared.checkpointed.load(Ordering::Acquire);
        let mut table = self.shared.table();
        if let Some(oldest) = table.first_entry()
            && *oldest.key() < checkpointed
            && oldest.get().live.load(Ordering::Acquire) == 0
        {
            self.retired.push(oldest.remove());
        }
        drop(table);
        // In order of age, so that what is left on the disk never has a gap.
        match self.retired.first() {
            Some(oldest) if Arc::strong_count(oldest) == 1 => {
                let oldest = self.retired.remove(0);
                self.recycle(&oldest)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn recycle(&mut self, segment: &Segment) -> Result<(), WalError> {
        let options = &self.shared.options;
        let whole = segment.header.capacity == options.segment_bytes && segment.prewritten() == options.segment_bytes;
        let wanted = whole && self.shared.yard().spares.len() < options.recycle;
        let spare = self.new_spare();
        let (disk, path) = (&*self.shared.disk, &segment.path);
        if wanted {
            disk.rename(path, &spare).map_err(|error| failed("rename", path, error))?;
        } else {
            disk.remove(path).map_err(|error| failed("remove", path, error))?;
        }
        // The old name must be gone for good before the file gets a new header.
        disk.sync_dir(&self.shared.dir)
            .map_err(|error| failed("fsync", &self.shared.dir, error))?;
        if wanted {
            self.shared.yard().spares.push(spare);
        }
        Ok(())
    }
}
