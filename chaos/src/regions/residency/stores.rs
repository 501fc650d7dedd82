//! What the stores of backups hold, in the clear: each object as it lies there, and what is deflated in it.
//!
//! Read by the words of the documents (docs/archive.md, docs/backups.md), not by the program's own code. An object has a head of 48 bytes.
//! A segment of the log is the length of its head (u32, little-endian), its head, and deflated commands. The pieces of a tenant's archive,
//! one behind the other, are eight bytes and blocks: kind, length, stored length, checksum, deflated bytes.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::DeflateDecoder;

use crate::regions::canary;

/// The head of every object.
const OBJECT_HEAD: usize = 48;
const OBJECT_MAGIC: &[u8] = b"CNOB";
/// What an archive begins with, without its version.
const ARCHIVE_MAGIC: &[u8] = b"CNARCH\0";
/// Bytes of a block before what is stored.
const BLOCK_HEAD: usize = 13;
/// The folder of the segments of a log, and the last part of the name of what lists a base.
const LOG: &str = "log";
const MANIFEST: &str = "manifest";

/// What lies in a store, by the path of the object.
pub(super) struct Held {
    /// What it holds in the clear.
    pub(super) texts: Vec<(PathBuf, Vec<u8>)>,
    /// Bytes of files.
    pub(super) bytes: u64,
    /// The segments of logs.
    pub(super) segments: Vec<PathBuf>,
}

/// Reads a store. No node may be writing into it.
pub(super) fn read(store: &Path) -> Result<Held> {
    let mut held = Held {
        texts: Vec::new(),
        bytes: 0,
        segments: Vec::new(),
    };
    let mut archives: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut paths = canary::files(store)?;
    // The pieces of an archive have numbers of equal length.
    paths.sort();
    for path in paths {
        let object = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        held.bytes += object.len() as u64;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // What a crash left of a write is whatever it is.
        if !name.contains('#') {
            ensure!(object.starts_with(OBJECT_MAGIC), "{} is not an object", path.display());
            let content = object.get(OBJECT_HEAD..).unwrap_or_default();
            let is_in = |folder: &str| path.parent().is_some_and(|parent| parent.ends_with(folder));
            if is_in(LOG) {
                let commands = segment(content).with_context(|| format!("read the segment {}", path.display()))?;
                held.texts.push((path.clone(), commands));
                held.segments.push(path.clone());
            } else if let Some((tenant, _)) = name.rsplit_once('-').filter(|_| name != MANIFEST) {
                archives
                    .entry(path.with_file_name(tenant))
                    .or_default()
                    .extend_from_slice(content);
            }
        }
        held.texts.push((path, object));
    }
    for (path, archive) in archives {
        // A base that was not finished has the first pieces of one.
        let is_finished = path.with_file_name(MANIFEST).is_file();
        let texts = blocks(&archive, is_finished).with_context(|| format!("read the archive {}", path.display()))?;
        held.texts.push((path, texts));
    }
    Ok(held)
}

/// The commands of a segment.
fn segment(content: &[u8]) -> Result<Vec<u8>> {
    let (length, rest) = content.split_first_chunk::<4>().context("it is cut")?;
    let entries = rest.get(u32::from_le_bytes(*length) as usize..).context("it is cut")?;
    inflate(entries)
}

/// What the blocks of an archive hold, one behind the other.
fn blocks(archive: &[u8], is_whole: bool) -> Result<Vec<u8>> {
    ensure!(archive.starts_with(ARCHIVE_MAGIC), "it is none");
    let (mut rest, mut all) = (archive.get(ARCHIVE_MAGIC.len() + 1..).unwrap_or_default(), Vec::new());
    while let Some((head, after)) = rest.split_first_chunk::<BLOCK_HEAD>() {
        let stored = u32::from_le_bytes([head[5], head[6], head[7], head[8]]) as usize;
        let Some(block) = after.get(..stored) else { break };
        all.extend(inflate(block)?);
        rest = &after[stored..];
    }
    ensure!(rest.is_empty() || !is_whole, "{} bytes at its end are no block", rest.len());
    Ok(all)
}

fn inflate(stored: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    DeflateDecoder::new(stored).read_to_end(&mut out).context("inflate it")?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    fn deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn object(content: &[u8]) -> Vec<u8> {
        let mut object = OBJECT_MAGIC.to_vec();
        object.resize(OBJECT_HEAD, 0);
        object.extend_from_slice(content);
        object
    }

    fn block(text: &[u8]) -> Vec<u8> {
        let stored = deflate(text);
        let lengths = [text.len(), stored.len()].map(|length| (length as u32).to_le_bytes());
        [&[2][..], &lengths.concat(), &[0; 4], &stored].concat()
    }

    #[test]
    fn what_is_deflated_in_segments_and_in_archives_of_several_pieces_is_read() {
        let store = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &[u8]| {
            let path = store.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, object(content)).unwrap();
        };
        let segment = [&3u32.to_le_bytes()[..], b"abc", &deflate(b"a command of the log")].concat();
        put("cells/2/line/log/01-02", &segment);
        let archive = [&b"CNARCH\0\x01"[..], &block(b"a row"), &block(b"another row")].concat();
        let (first, second) = archive.split_at(archive.len() - 5);
        put("cells/2/line/bases/07-x/9-000000", first);
        put("cells/2/line/bases/07-x/9-000001", second);
        put("cells/2/line/bases/07-x/manifest", b"acme");
        let held = read(store.path()).unwrap();
        let has = |wanted: &[u8]| held.texts.iter().any(|(_, text)| rig::http::find(text, wanted).is_some());
        for wanted in [&b"a command of the log"[..], b"a rowanother row", b"acme", b"abc"] {
            assert!(has(wanted), "{wanted:?}");
        }
        assert_eq!(held.segments, [store.path().join("cells/2/line/log/01-02")]);
        put("cells/2/line/bases/07-x/9-000001", &second[..3]);
        assert!(read(store.path()).is_err(), "a finished base is whole");
    }
}
