//! Flipped bits: a node is killed, some bits of its log or its stores are turned over, and it starts.
//!
//! It may refuse to start, stop the damaged group, or repair itself from the others; it may never serve what is wrong, and the
//! others must not take it over. Which it was shows at the end: a node that serves is compared like every other.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rig::cluster::poll;
use rig::random::Random;

use super::{Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;

/// Most bits that are flipped, in one file.
const BITS: u64 = 8;
/// Around a flipped bit not all bytes may be zero: bits in empty room would prove nothing.
const WINDOW_BYTES: u64 = 64;
/// Attempts to find such a place.
const ATTEMPTS: usize = 400;
/// How long a node is watched for whether it refuses to start.
const REFUSES_WITHIN: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct FlipBits;

impl Fault for FlipBits {
    fn name(&self) -> &'static str {
        "flip-bits"
    }

    fn about(&self) -> &'static str {
        "SIGKILL, 1-8 bits flipped in a file of the log or the stores, started again"
    }

    fn lane(&self) -> Lane {
        Lane::Last
    }

    fn weight(&self) -> u64 {
        3
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
        let mut random = Random::new(step.dice);
        let mut files = data_files(&directory)?;
        files.sort();
        ensure!(!files.is_empty(), "the node has no data yet");
        // The remainder of a length fits.
        let file = files[random.below(files.len() as u64) as usize].clone();
        let flipped = flip(&file, &mut random)?;
        let short = file.strip_prefix(&directory).unwrap_or(&file).display().to_string();
        Ok(Hold {
            mark: flipped,
            ..Hold::new(vec![node], format!("{flipped} bits of {short} flipped"))
        })
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        let node = hold.nodes[0];
        field.start(&[node])?;
        ensure!(hold.mark > 0, "no bit could be flipped");
        field.doubtful.push(node);
        if poll(REFUSES_WITHIN, || !field.runs(node)) {
            field.lost.push(node);
            return Ok("it refused to start".to_owned());
        }
        Ok("it started".to_owned())
    }
}

/// Files with data: what is written for people, secrets and locks are left out.
pub(crate) fn data_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_path_buf()]);
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).with_context(|| format!("list {}", path.display()))? {
            let entry = entry.context("list a directory")?;
            let metadata = entry.metadata().context("look at a file")?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if metadata.is_dir() {
                open.push(entry.path());
            } else if metadata.blocks() > 0 && !name.starts_with("node.log") && !name.starts_with("spare-") && name != "LOCK" {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Flips one bit where there is something; false: there is nothing.
pub(crate) fn flip_one(path: &Path, random: &mut Random) -> Result<bool> {
    Ok(flip_bits(path, random, 1)? == 1)
}

/// Flips some bits where there is something; returns how many.
fn flip(path: &Path, random: &mut Random) -> Result<u64> {
    let wanted = 1 + random.below(BITS);
    flip_bits(path, random, wanted)
}

fn flip_bits(path: &Path, random: &mut Random, wanted: u64) -> Result<u64> {
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    let length = file.metadata().context("look at a file")?.len();
    let mut flipped = 0;
    for _ in 0..ATTEMPTS {
        if flipped == wanted || length == 0 {
            break;
        }
        let at = random.below(length);
        let start = at.saturating_sub(WINDOW_BYTES / 2);
        let mut window = vec![0; WINDOW_BYTES.min(length - start) as usize];
        file.read_exact_at(&mut window, start).context("read a place")?;
        if window.iter().all(|byte| *byte == 0) {
            continue;
        }
        let byte = window[(at - start) as usize] ^ (1 << random.below(8));
        file.write_all_at(&[byte], at).context("flip a bit")?;
        flipped += 1;
    }
    file.sync_all().context("sync a file")?;
    Ok(flipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_flip_where_there_is_something() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let mut bytes = vec![0; 40_000];
        bytes[1_000..9_000].fill(7);
        std::fs::write(&path, &bytes).unwrap();
        std::fs::write(directory.path().join("node.log"), "x").unwrap();
        assert_eq!(data_files(directory.path()).unwrap(), std::slice::from_ref(&path));
        let flipped = flip(&path, &mut Random::new(4)).unwrap();
        let after = std::fs::read(&path).unwrap();
        let differing = bytes.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(flipped > 0 && differing > 0 && differing as u64 <= flipped);
    }
}
