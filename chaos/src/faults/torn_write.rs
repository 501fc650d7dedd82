//! A torn write: after a kill, the place after the log's last frame holds part of a frame that was never synced. It must be cut
//! off, and the node must start and have all that it acknowledged.
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
/// Most bytes that are torn.
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

/// Writes garbage after the last frame; returns where.
fn tear(directory: &Path, random: &mut Random) -> Result<usize> {
    let mut segments = data_files(directory)?;
    segments.retain(|path| path.extension().is_some_and(|kind| kind == "segment"));
    segments.sort();
    for path in segments.iter().rev() {
        let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let Some(end) = end(&bytes)? else { continue };
        let room = (bytes.len() - end) as u64;
        ensure!(room > TORN_BYTES, "the newest segment is full");
        let length = 1 + random.below(TORN_BYTES);
        let garbage: Vec<u8> = (0..length).map(|_| random.draw().to_le_bytes()[0]).collect();
        let file = OpenOptions::new()
            .write(true)
            .open(path)
            .with_context(|| format!("open {}", path.display()))?;
        file.write_all_at(&garbage, end as u64).context("tear a write")?;
        file.sync_all().context("sync a segment")?;
        return Ok(end);
    }
    anyhow::bail!("no segment has a frame")
}

/// Where the last frame of a segment ends; none: it has no frame, or it is sealed.
fn end(bytes: &[u8]) -> Result<Option<usize>> {
    ensure!(
        bytes
            .get(..12)
            .is_some_and(|head| head.starts_with(b"CNLOGSEG") && head[8] == 1),
        "the segment is not of format 1"
    );
    let stamp = [&bytes[32..40], &bytes[24..32]].concat();
    let mut at = SEGMENT_HEADER_BYTES;
    let mut kind = 0;
    while let Some(header) = bytes.get(at..at + FRAME_HEADER_BYTES) {
        let number = |from: usize| u32::from_le_bytes([header[from], header[from + 1], header[from + 2], header[from + 3]]);
        let seed = crc32c(0, &[&stamp[..], &(at as u64).to_le_bytes()].concat());
        if header[4] == 0 || crc32c(seed, &header[..32]) != number(32) {
            break;
        }
        kind = header[4];
        at += (FRAME_HEADER_BYTES + number(0) as usize).next_multiple_of(8);
    }
    // Kind 9 seals a segment: the log goes on in the next one.
    Ok((at > SEGMENT_HEADER_BYTES && kind != 9).then_some(at))
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
    fn the_end_comes_after_the_last_good_frame() {
        let mut bytes = vec![0; 4096];
        bytes[..8].copy_from_slice(b"CNLOGSEG");
        bytes[8] = 1;
        bytes[24..40].copy_from_slice(&[3; 16]);
        assert_eq!(end(&bytes).unwrap(), None);
        let mut frame = [0; 36];
        (frame[0], frame[4]) = (5, 1);
        let seed = crc32c(0, &[&[3; 16][..], &512_u64.to_le_bytes()].concat());
        let crc = crc32c(seed, &frame[..32]).to_le_bytes();
        frame[32..].copy_from_slice(&crc);
        bytes[512..548].copy_from_slice(&frame);
        assert_eq!(end(&bytes).unwrap(), Some(512 + 48));
    }
}
