//! Copying the live entries of the oldest segment forward, so that it can be released.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::error::WalError;
use super::super::options::COPY_STEP_BYTES;
use super::super::queue::CopyForward;
use super::super::segment::Segment;
use super::Keeper;

impl Keeper {
    /// The oldest segment, if copying its live entries forward frees more than it takes.
    pub(super) fn worth_copying(&self) -> Option<Arc<Segment>> {
        if self.no_copies {
            return None;
        }
        let checkpointed = self.shared.checkpointed.load(Ordering::Acquire);
        let table = self.shared.table();
        if table.len() <= self.shared.options.copy_after_segments {
            return None;
        }
        let oldest = table.first_key_value().filter(|(sequence, _)| **sequence < checkpointed)?.1;
        let live = |segment: &Segment| segment.live.load(Ordering::Acquire);
        let (all_live, all): (u64, u64) = table.values().fold((0, 0), |(sum, all), segment| {
            (sum + live(segment), all + segment.header.capacity)
        });
        (live(oldest) * 4 <= oldest.header.capacity || all_live * 2 <= all).then(|| oldest.clone())
    }

    pub(super) fn copy_forward(&mut self) -> Result<bool, WalError> {
        if !self.shared.queue.may_copy() {
            return Ok(false);
        }
        let Some(oldest) = self.worth_copying() else {
            return Ok(false);
        };
        let step = COPY_STEP_BYTES.min(self.shared.options.segment_bytes / 16);
        let mut copies = Vec::new();
        let mut bytes = 0;
        for cell in self.shared.cells() {
            let found = cell.lock().runs.in_segment(oldest.sequence(), step.saturating_sub(bytes));
            for (index, place) in found {
                match oldest.read_entry(place, cell.id, index) {
                    Ok(entry) => {
                        bytes += u64::from(place.bytes);
                        copies.push(CopyForward {
                            cell: cell.clone(),
                            index,
                            segment: oldest.sequence(),
                            place,
                            bytes: entry,
                        });
                    }
                    Err(error) => {
                        tracing::error!(%error, "an entry cannot be copied forward; its segment stays");
                        self.no_copies = true;
                        return Ok(true);
                    }
                }
            }
        }
        if copies.is_empty() {
            return Ok(false);
        }
        Ok(self.shared.queue.push_copies(copies))
    }
}
