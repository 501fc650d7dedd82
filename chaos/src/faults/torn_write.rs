//! A torn write: after a kill, the place after the log's last frame holds part of a frame that was never synced: garbage, or, every
//! other time, the whole header of a next entry with only the beginning of its payload. It must be cut off, and the node must start
//! and have all that it acknowledged.
//!
//! The end of the log is found by its own format (`raft/src/wal/frame.rs`, format 1), because only there is garbage something
//! that a disk may leave behind; anywhere else it is damage, which is the matter of `flip-bits`.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rig::random::Random;

use super::flip_bits::data_files;
use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;

const SEGMENT_HEADER_BYTES: usize = 512;
const FRAME_HEADER_BYTES: usize = 36;
/// The kind of a frame that is an entry.
const ENTRY: u8 = 1;
/// The kind of a frame that seals a segment: the log goes on in the next one.
const SEAL: u8 = 9;
/// Most bytes of garbage.
const TORN_BYTES: u64 = 400;

/// See the module.
pub(super) struct TornWrite;

impl Fault for TornWrite {
    fn name(&self) -> &'static str {
        "torn-write"
    }

    fn about(&self) -> &'static str {
        "SIGKILL, part of a frame after the log's last one, started again: it must be cut off"
    }

    fn lane(&self) -> Lane {
        Lane::Nodes
    }

    fn damages(&self) -> bool {
        true
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (50, 500)
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_one(step.whom)?;
        field.kill(&[node])?;
        let directory = field.cluster.data().join(field.name(node));
        let torn = tear(&directory, &mut Random::new(step.dice));
        let said = match &torn {
            Ok(at) => format!("torn at byte {at} of the newest segment"),
            Err(error) => format!("{error:#}"),
        };
        Ok(Hold {
            mark: u64::from(torn.is_ok()),
            ..Hold::new(vec![node], said)
        })
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        field.start(&hold.nodes)?;
        ensure!(hold.mark > 0, "the log's end was not found: {}", hold.said);
        Ok("started again".to_owned())
    }
}

/// Writes part of a frame after the last one; returns where.
fn tear(directory: &Path, random: &mut Random) -> Result<usize> {
    let mut segments = data_files(directory)?;
    segments.retain(|path| path.extension().is_some_and(|kind| kind == "segment"));
    segments.sort();
    for path in segments.iter().rev() {
        let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let Some(tail) = tail(&bytes)? else { continue };
        let torn = match (random.below(2), tail.entry) {
            (0, Some(entry)) => begun(&bytes, entry, tail.end, random),
            _ => garbage(random),
        };
        ensure!(bytes.len() - tail.end > torn.len(), "the newest segment is full");
        let file = OpenOptions::new()
            .write(true)
            .open(path)
            .with_context(|| format!("open {}", path.display()))?;
        file.write_all_at(&torn, tail.end as u64).context("tear a write")?;
        file.sync_all().context("sync a segment")?;
        return Ok(tail.end);
    }
    anyhow::bail!("no segment has a frame")
}

fn garbage(random: &mut Random) -> Vec<u8> {
    let length = 1 + random.below(TORN_BYTES);
    (0..length).map(|_| random.draw().to_le_bytes()[0]).collect()
}

/// The next entry after the one at `entry`: its header, and the beginning of a payload.
fn begun(bytes: &[u8], entry: usize, at: usize, random: &mut Random) -> Vec<u8> {
    let length = u32_at(bytes, entry) as usize;
    let mut frame = bytes[entry..entry + FRAME_HEADER_BYTES + length].to_vec();
    let index = u64::from(u32_at(&frame, 24)) | (u64::from(u32_at(&frame, 28)) << 32);
    frame[24..32].copy_from_slice(&(index + 1).to_le_bytes());
    let crc = crc32c(seed(bytes, at), &frame[..32]);
    frame[32..36].copy_from_slice(&crc.to_le_bytes());
    let written = FRAME_HEADER_BYTES + random.below(length.max(1) as u64 / 2 + 1) as usize;
    frame[written..].fill(0);
    frame
}

/// The end of a segment.
#[derive(Debug, PartialEq, Eq)]
struct Tail {
    /// Where its last frame ends.
    end: usize,
    /// Where its last frame that is an entry begins.
    entry: Option<usize>,
}

/// The end of a segment; none: it has no frame, or it is sealed.
fn tail(bytes: &[u8]) -> Result<Option<Tail>> {
    ensure!(
        bytes
            .get(..12)
            .is_some_and(|head| head.starts_with(b"CNLOGSEG") && head[8] == 1),
        "the segment is not of format 1"
    );
    let mut at = SEGMENT_HEADER_BYTES;
    let (mut kind, mut entry) = (0, None);
    while let Some(header) = bytes.get(at..at + FRAME_HEADER_BYTES) {
        if header[4] == 0 || crc32c(seed(bytes, at), &header[..32]) != u32_at(header, 32) {
            break;
        }
        kind = header[4];
        if kind == ENTRY {
            entry = Some(at);
        }
        at += (FRAME_HEADER_BYTES + u32_at(header, 0) as usize).next_multiple_of(8);
    }
    Ok((at > SEGMENT_HEADER_BYTES && kind != SEAL).then_some(Tail { end: at, entry }))
}

/// What the checksum of a frame's header at this place begins with.
fn seed(bytes: &[u8], at: usize) -> u32 {
    crc32c(0, &[&bytes[32..40], &bytes[24..32], &(at as u64).to_le_bytes()[..]].concat())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// CRC-32C (Castagnoli), bit by bit: a segment is read once.
fn crc32c(before: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!before, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4, and the usual check value.
        assert_eq!(crc32c(0, b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(crc32c(0, b"1234"), b"56789"), 0xE306_9283);
    }

    #[test]
    fn the_end_comes_after_the_last_good_frame_and_a_torn_one_is_none() {
        let mut bytes = vec![0; 4096];
        bytes[..8].copy_from_slice(b"CNLOGSEG");
        bytes[8] = 1;
        bytes[24..40].copy_from_slice(&[3; 16]);
        assert_eq!(tail(&bytes).unwrap(), None);
        let mut frame = [7; 41];
        frame[..36].fill(0);
        (frame[0], frame[4], frame[24]) = (5, ENTRY, 9);
        let crc = crc32c(seed(&bytes, 512), &frame[..32]).to_le_bytes();
        frame[32..36].copy_from_slice(&crc);
        bytes[512..553].copy_from_slice(&frame);
        let (end, entry) = (512 + 48, Some(512));
        assert_eq!(tail(&bytes).unwrap(), Some(Tail { end, entry }));
        let torn = begun(&bytes, 512, end, &mut Random::new(1));
        assert_eq!(
            (torn.len(), torn[24], torn[40]),
            (41, 10, 0),
            "the next index, and an end that was not written"
        );
        bytes[end..end + 41].copy_from_slice(&torn);
        let header_is_good = Tail {
            end: end + 48,
            entry: Some(end),
        };
        assert_eq!(
            tail(&bytes).unwrap(),
            Some(header_is_good),
            "only its payload tells that it is torn"
        );
    }
}
