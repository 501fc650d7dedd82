//! What a batch changes for readers and for the release of segments, once it is durable.

use std::sync::Arc;

use super::super::group::GroupCell;
use super::super::runs::Place;
use super::Writer;

/// What takes effect once the batch is durable.
pub(super) enum Effect {
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

impl Writer {
    pub(super) fn take_effect(&mut self, durable_op: Option<u64>) {
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
}
