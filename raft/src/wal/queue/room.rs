//! Who may enter the queue: its bound in bytes, and what is prewritten.

use std::sync::Arc;

use tokio::sync::futures::Notified;

use super::super::error::WalError;
use super::super::frame::SEGMENT_HEADER_BYTES;
use super::super::segment::Segment;
use super::{Inner, Queue};

/// The answer to a reservation.
pub(crate) enum Room {
    Reserved,
    /// Too much waits for the disk.
    Busy,
    /// It does not fit into what is prewritten; `news`: the keeper did not know that so much is wanted.
    Short {
        news: bool,
    },
}

impl Queue {
    /// Reserves so many bytes, if they fit; whoever gets them pushes or gives them back. One that is larger than the bound fits
    /// when it is alone. Entries that do not fit into what is prewritten are `Short`, or refused if the keeper's verdict is
    /// that the log is full and the caller knows it to be fresh; the rest may use the headroom.
    pub(crate) fn try_reserve(&self, bytes: u64, entries: bool, fresh: bool) -> Result<Room, WalError> {
        let mut inner = self.lock();
        inner.check_open()?;
        if inner.bytes > 0 && inner.bytes + bytes > self.limit_bytes {
            return Ok(Room::Busy);
        }
        if !entries || self.fits(&inner, bytes) {
            inner.bytes += bytes;
            if entries {
                inner.want = 0;
            }
            return Ok(Room::Reserved);
        }
        if let Some(full) = inner.full.as_ref().filter(|_| fresh) {
            return Err(WalError::Full(full.clone()));
        }
        let news = inner.want < bytes;
        inner.want = inner.want.max(bytes);
        Ok(Room::Short { news })
    }

    /// Comes with the next change of anything that `try_reserve` depends on, counted from this call.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Something changed: whoever waits for room is to look again.
    pub(crate) fn announce(&self) {
        self.changed.notify_waiters();
    }

    /// Does all that waits, and so much more, fit into what is prewritten?
    pub(super) fn fits(&self, inner: &Inner, bytes: u64) -> bool {
        let Some(position) = &inner.position else { return false };
        let waiting = inner.bytes + bytes.min(self.chunk_bytes);
        let left = |segment: &Segment, used: u64| segment.prewritten().saturating_sub(used + self.headroom_bytes);
        let next = inner
            .next
            .as_ref()
            .map_or(0, |next| left(next, SEGMENT_HEADER_BYTES + position.checkpoint_bytes));
        !inner.crowded && (waiting <= left(&position.active, position.tail) || waiting <= next)
    }

    /// Do entries wait for more to be prewritten?
    pub(crate) fn is_short(&self) -> bool {
        let inner = self.lock();
        inner.want > 0 && !self.fits(&inner, inner.want)
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.lock().bytes -= bytes;
        self.announce();
    }

    /// The keeper has prewritten something, or prepared the next segment.
    pub(crate) fn more_space(&self, next: Option<Arc<Segment>>) {
        let mut inner = self.lock();
        if next.is_some() {
            inner.next = next;
        }
        drop(inner);
        self.announce();
    }

    pub(crate) fn set_crowded(&self, crowded: bool) {
        if std::mem::replace(&mut self.lock().crowded, crowded) != crowded {
            self.announce();
        }
    }

    /// The keeper's verdict: what does not fit now is refused. `None`: it is worth waiting.
    pub(crate) fn set_full(&self, full: Option<String>) {
        self.lock().full = full;
        self.announce();
    }

    pub(crate) fn full(&self) -> Option<String> {
        self.lock().full.clone()
    }
}
