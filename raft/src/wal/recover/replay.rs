//! Reading the segments in order, each frame as the sync thread meant it, up to the end or to the damage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::super::checkpoint::Checkpoint;
use super::super::error::WalError;
use super::super::frame::{FrameHeader, Kind, SEGMENT_HEADER_BYTES};
use super::super::options::{Cut, Recovery};
use super::super::runs::Place;
use super::super::scan::{End, look_behind, scan};
use super::super::segment::Segment;
use super::settle::Extent;
use super::{Found, Group};

/// The groups while the segments are read.
#[derive(Default)]
pub(super) struct Replay {
    groups: BTreeMap<u64, Group>,
    report: Recovery,
    /// The segment that was read last: its frames, and whether its checkpoint is complete.
    extent: Extent,
    checkpointed: bool,
    /// Where writing goes on.
    tail: u64,
}

impl Replay {
    /// Returns the positions of the active segment and of the prepared one after it.
    pub(super) fn read_all(&mut self, segments: &[Arc<Segment>]) -> Result<(usize, Option<usize>), WalError> {
        let mut before = None;
        for (at, segment) in segments.iter().enumerate() {
            let end = self.read_segment(segment, at == 0)?;
            match (end, segments.get(at + 1)) {
                (End::Sealed { next }, Some(after)) if after.sequence() == next => before = Some((segment, self.extent)),
                (End::Sealed { next }, _) => {
                    let reason = format!("the segment ends here and continues in segment {next}, which is missing");
                    return Err(WalError::damaged(&segment.path, segment.header.capacity, reason));
                }
                (End::Open { at: tail }, after) => {
                    if let Some(after) = after {
                        must_be_blank(segment, tail, after, segments.len() - at - 2)?;
                    }
                    self.cut(segment, before)?;
                    return Ok((at, after.map(|_| at + 1)));
                }
            }
        }
        // The last segment is sealed and its successor is there, or the loop would have returned: impossible, but not
        // worth a panic.
        let segment = segments
            .last()
            .ok_or_else(|| WalError::Stopped("there is no segment".into()))?;
        Err(WalError::damaged(&segment.path, 0, "the last segment is sealed"))
    }

    fn read_segment(&mut self, segment: &Segment, oldest: bool) -> Result<End, WalError> {
        let mut head = Head {
            oldest,
            states: BTreeMap::new(),
            complete: false,
        };
        self.extent = Extent::default();
        let end = scan(segment, |offset, header, kind, payload| {
            self.extent.frame(offset, header);
            self.report.frames += 1;
            self.report.bytes += header.frame_bytes();
            self.frame(&mut head, segment.sequence(), offset, header, kind, payload)
                .map_err(|reason| WalError::damaged(&segment.path, offset, reason))
        })?;
        self.report.segments += 1;
        self.checkpointed = head.complete;
        Ok(end)
    }

    /// One frame. `Err` says why it is impossible here, although its checksum is right.
    fn frame(
        &mut self,
        head: &mut Head,
        segment: u64,
        offset: u64,
        header: &FrameHeader,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), String> {
        match (kind, head.complete) {
            (Kind::Checkpoint, false) => {
                let state = Checkpoint::decode(payload).ok_or("the checkpoint cannot be read")?;
                head.states.insert(header.group, state);
                return Ok(());
            }
            (Kind::CheckpointEnd, false) => return self.begin_segment(head, header.index),
            (Kind::Checkpoint | Kind::CheckpointEnd, true) => return Err("a checkpoint stands in the middle".into()),
            (_, false) => return Err(format!("a frame of kind {kind:?} stands before the end of the checkpoint")),
            (_, true) => {}
        }
        let group = || format!("group {}", header.group);
        let place = Place {
            offset: offset as u32,
            bytes: header.frame_bytes() as u32,
        };
        match kind {
            Kind::Seal | Kind::Closed => return Ok(()),
            _ => {}
        }
        let Group { state, runs, .. } = self.groups.entry(header.group).or_default();
        match kind {
            Kind::Entry => {
                let index = header.index;
                state
                    .entry(index)
                    .map_err(|next| format!("{}: entry {index} follows, where {next} should", group()))?;
                runs.push(index, segment, place);
            }
            Kind::Copy if (state.first..state.next).contains(&header.index) => {
                runs.relocate(header.index, segment, place);
            }
            Kind::Copy => return Err(format!("{}: a copy of entry {}, which is not live", group(), header.index)),
            Kind::Vote => state.vote = Some(Bytes::copy_from_slice(payload)),
            Kind::Committed => state.committed = Some(Bytes::copy_from_slice(payload)),
            Kind::Truncate => {
                state.truncate(header.index);
                runs.truncate(header.index, &mut |_, _| {});
            }
            Kind::Purge => {
                // One that changes nothing, because it is the last index of all or was purged before, takes no entries either.
                if state.purge(header.index, Bytes::copy_from_slice(payload)) {
                    runs.purge(header.index, &mut |_, _| {});
                }
            }
            Kind::Checkpoint | Kind::CheckpointEnd | Kind::Seal | Kind::Closed => {}
        }
        Ok(())
    }

    /// The checkpoint is complete: the oldest segment's is where reading begins, any other must say what was read.
    fn begin_segment(&mut self, head: &mut Head, count: u64) -> Result<(), String> {
        head.complete = true;
        if head.states.len() as u64 != count {
            return Err(format!("the checkpoint has {} groups instead of {count}", head.states.len()));
        }
        let states = std::mem::take(&mut head.states);
        if head.oldest {
            self.groups = states
                .into_iter()
                .map(|(id, state)| {
                    (
                        id,
                        Group {
                            state,
                            ..Group::default()
                        },
                    )
                })
                .collect();
            return Ok(());
        }
        if let Some((id, _)) = states
            .iter()
            .find(|(id, state)| self.groups.get(id).map(|group| &group.state) != Some(state))
        {
            return Err(format!("the checkpoint of group {id} is not what the segments before it say"));
        }
        if states.len() != self.groups.len() {
            return Err(format!(
                "the checkpoint has {} groups, the segments before it {}",
                states.len(),
                self.groups.len()
            ));
        }
        Ok(())
    }

    /// Judges what follows the last good frame of the active segment, wipes it out, and makes the rest durable. `before` is the
    /// segment before it.
    fn cut(&mut self, segment: &Segment, before: Option<(&Arc<Segment>, Extent)>) -> Result<(), WalError> {
        let end = self.extent.end;
        let behind = look_behind(segment, end)?;
        if let Some(evidence) = behind.evidence {
            let reason = format!("a frame is wrong here, and the frame at {evidence} says that it had been durable");
            return Err(WalError::damaged(&segment.path, end, reason));
        }
        if !self.checkpointed && before.is_none() && segment.sequence() > 1 {
            let reason =
                "the oldest segment has no complete checkpoint, and it had one when the segments before it were released";
            return Err(WalError::damaged(&segment.path, end, reason));
        }
        let torn_to = behind.torn_to.unwrap_or(end).max(end).min(segment.prewritten());
        if self.checkpointed {
            self.extent.settle(segment, torn_to)?;
            self.tail = end;
        } else {
            // Nothing here proves that the seal before it is durable.
            if let Some((before, extent)) = before {
                extent.settle(before, extent.end)?;
            }
            // Without its whole checkpoint a segment could not be the oldest one: begin it again.
            let nothing = Extent::default();
            nothing.settle(segment, torn_to)?;
            self.tail = nothing.end;
        }
        if behind.torn_to.is_some() {
            self.report.cut = Some(Cut {
                file: segment.path.clone(),
                offset: end,
                bytes: torn_to.saturating_sub(end),
            });
        }
        Ok(())
    }

    pub(super) fn finish(
        mut self,
        log: u64,
        segments: Vec<Arc<Segment>>,
        active: usize,
        next: Option<usize>,
        spares: Vec<u64>,
    ) -> Result<Found, WalError> {
        let next = next.and_then(|next| segments.get(next).cloned());
        let table: BTreeMap<u64, Arc<Segment>> = segments
            .into_iter()
            .take(active + 1)
            .map(|segment| (segment.sequence(), segment))
            .collect();
        let missing = |id: &u64, index: u64| {
            let file = table.values().next().map(|segment| segment.path.clone()).unwrap_or_default();
            WalError::damaged(&file, 0, format!("entry {index} of group {id} is live, and in no segment"))
        };
        for (id, group) in &mut self.groups {
            if let Some(index) = group.runs.first_missing(group.state.first, group.state.next) {
                return Err(missing(id, index));
            }
            for (sequence, bytes) in group.runs.bytes() {
                if let Some(segment) = table.get(&sequence) {
                    segment.live.fetch_add(bytes, Ordering::AcqRel);
                }
            }
            if let Some(last) = group.state.last() {
                let (sequence, place) = group.runs.get(last).ok_or_else(|| missing(id, last))?;
                let segment = table.get(&sequence).ok_or_else(|| missing(id, last))?;
                group.last = Some(segment.read_entry(place, *id, last)?);
            }
        }
        self.report.groups = self.groups.len();
        let (tail, fresh) = (self.tail, !self.checkpointed);
        Ok(Found {
            log,
            table,
            tail,
            fresh,
            next,
            spares,
            groups: self.groups,
            report: self.report,
        })
    }
}

/// The head of the segment that is being read.
struct Head {
    oldest: bool,
    states: BTreeMap<u64, Checkpoint>,
    complete: bool,
}

/// A segment without seal may only be followed by one that was prepared and never written to.
fn must_be_blank(segment: &Segment, tail: u64, after: &Segment, more: usize) -> Result<(), WalError> {
    let behind = look_behind(after, SEGMENT_HEADER_BYTES)?;
    if more > 0 || behind.torn_to.is_some() {
        let reason = format!(
            "a frame is wrong or missing here, and {} was written after it",
            after.path.display()
        );
        return Err(WalError::damaged(&segment.path, tail, reason));
    }
    Ok(())
}
