//! What the fuzz targets of `fuzz/` call: each function takes bytes, does with them what a store would, and panics where that breaks a
//! promise. It is here because what it calls is private. Compiled for tests, and for who asks for the feature `fuzzing`.

use std::path::Path;

use bytes::Bytes;

use crate::element::Element;
use crate::key::Key;
use crate::progress::Progress;
use crate::range::KeyRange;
use crate::store::{Options, Store};
use crate::sums::{BLOCK, Sums};
use crate::table::{self, TABLES, Table};
use crate::value::{unwrap, wrap};

/// Reads bytes as a key of every table. One that is taken is written as the same bytes; any is printed.
pub fn key(data: &[u8]) {
    if let Ok(key) = Key::from_bytes(Bytes::copy_from_slice(data)) {
        assert_eq!(key.as_bytes(), data);
        assert!(!key.to_string().is_empty());
    }
    let read = [
        stays::<table::SpaceHeader>(data),
        stays::<table::CollectionSchema>(data),
        stays::<table::CollectionName>(data),
        stays::<table::CollectionPolicy>(data),
        stays::<table::CollectionPending>(data),
        stays::<table::Token>(data),
        stays::<table::TokenSecret>(data),
        stays::<table::Record>(data),
        stays::<table::IndexEntry>(data),
        stays::<table::UniqueEntry>(data),
        stays::<table::ReferenceEntry>(data),
        stays::<table::Sequence>(data),
        stays::<table::Event>(data),
        stays::<table::History>(data),
        stays::<table::HistoryAge>(data),
        stays::<table::Idempotency>(data),
        stays::<table::IdempotencyExpiry>(data),
        stays::<table::Import>(data),
        stays::<table::Operation>(data),
        stays::<table::SearchSettings>(data),
        stays::<table::File>(data),
        stays::<table::FileVersion>(data),
        stays::<table::FileAttached>(data),
        stays::<table::ChunkUse>(data),
        stays::<table::Upload>(data),
        stays::<table::UploadChunk>(data),
        stays::<table::FileTotals>(data),
        stays::<table::LinkSecret>(data),
        stays::<table::DocumentUpdate>(data),
        stays::<table::RecordTotals>(data),
        stays::<table::DirectoryTenant>(data),
        stays::<table::DirectoryTenantUid>(data),
        stays::<table::OperatorToken>(data),
        stays::<table::DirectoryCell>(data),
        stays::<table::DirectoryCors>(data),
        stays::<table::DirectoryChange>(data),
        stays::<table::Topology>(data),
        stays::<table::TopologyWanted>(data),
        stays::<table::Backup>(data),
        stays::<table::DirectoryMove>(data),
        stays::<table::LastScrub>(data),
        stays::<table::Level>(data),
    ];
    assert!(read.iter().filter(|taken| **taken).count() <= 1, "a key of two tables");
    assert_eq!(read.len(), TABLES.len(), "a table is missing here");
    if let Ok(entry) = <table::IndexEntry as Table>::parse(data) {
        within(&entry);
    }
}

fn stays<T: Table + PartialEq>(data: &[u8]) -> bool {
    let Ok(taken) = T::parse(data) else { return false };
    let key = taken.key();
    // Minus zero and the many NaNs are written as one.
    let again = T::parse(key.as_bytes()).unwrap_or_else(|error| panic!("{key}: {error}"));
    assert_eq!(again.key(), key, "a key that was written twice");
    true
}

/// An entry lies in the range of what its values begin with, and outside of the range of any other.
fn within(entry: &table::IndexEntry) {
    for count in 0..=entry.values.len() {
        let leading = &entry.values[..count];
        let range = table::IndexEntry::range(entry.space, entry.collection, entry.index, leading);
        assert!(range.contains(entry.key().as_bytes()), "{} is not in {range:?}", entry.key());
        let other = [leading, &[Element::Text("\u{10ffff}".to_owned())]].concat();
        let range = table::IndexEntry::range(entry.space, entry.collection, entry.index, &other);
        let begins = entry.values.get(count) == other.last();
        assert!(
            begins || !range.contains(entry.key().as_bytes()),
            "{} is in {range:?}",
            entry.key()
        );
    }
}

/// Reads bytes as a value, as the progress of a file, and as checksums of blocks. The first byte is the length of the key.
pub fn value(data: &[u8]) {
    let Some((length, rest)) = data.split_first() else { return };
    let (key, wrapped) = rest.split_at(usize::from(*length).min(rest.len()));
    let mut out = Vec::new();
    if let Ok(value) = unwrap(key, wrapped) {
        wrap(key, value, &mut out);
        assert_eq!(out, wrapped, "a value that is written otherwise");
    }
    wrap(key, wrapped, &mut out);
    assert_eq!(unwrap(key, &out).ok(), Some(wrapped));
    if let Ok(progress) = Progress::decode(rest, "a fuzzed row") {
        assert_eq!(progress.encode()[1..], rest[1..], "a progress that is written otherwise");
    }
    let mut block = vec![0; BLOCK];
    let count = rest.len().min(BLOCK);
    block[..count].copy_from_slice(&rest[..count]);
    let _ = Sums::decode(u64::from(*length), &block);
}

/// Receives the chunks that the bytes stand for and installs what came in whole. Nothing of a snapshot that is refused is ever in the
/// store. `dir` is empty, and is left dirty.
pub fn snapshot(data: &[u8], dir: &Path) {
    let options = Options {
        pace: false,
        ..Options::default()
    };
    let store = Store::open(dir, options).unwrap_or_else(|error| panic!("open a store: {error}"));
    let before = hash(&store);
    let mut writer = store
        .receive_snapshot()
        .unwrap_or_else(|error| panic!("receive a snapshot: {error}"));
    let mut hasher = blake3::Hasher::new();
    let (mut rest, mut sequence, mut refused) = (data, 0_u64, false);
    while let Some((head, more)) = rest.split_first_chunk::<3>() {
        let [kind, high, low] = *head;
        let (payload, more) = more.split_at(usize::from(u16::from_be_bytes([high, low])).min(more.len()));
        rest = more;
        let chunk = match kind {
            // As it is.
            0..128 => payload.to_vec(),
            // An end that fits: its count of keys is chosen, its hash is right.
            128 => {
                let keys = payload.len() as u64;
                sealed(3, sequence, &[&keys.to_be_bytes()[..], hasher.finalize().as_bytes()].concat())
            }
            kind => sealed(kind % 4, sequence, payload),
        };
        let taken = writer.write(&chunk).is_ok();
        assert!(!(refused && taken), "a chunk is taken after one was refused");
        refused |= !taken;
        hasher.update(payload);
        sequence += 1;
    }
    match writer.finish() {
        Ok(received) => {
            assert!(!refused, "a snapshot is whole though a chunk was refused");
            store
                .install(received)
                .unwrap_or_else(|error| panic!("install a snapshot: {error}"));
            for row in store.begin_read().scan(KeyRange::all(), crate::Direction::Forward) {
                row.unwrap_or_else(|error| panic!("read what was installed: {error}"));
            }
        }
        Err(_) => assert_eq!(hash(&store), before, "a snapshot that was refused left something"),
    }
}

fn hash(store: &Store) -> Option<[u8; 32]> {
    store.begin_read().hash(KeyRange::all()).ok().map(|found| found.hash)
}

/// A chunk with the right checksum.
fn sealed(kind: u8, sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut chunk = vec![1, kind];
    chunk.extend_from_slice(&sequence.to_be_bytes());
    chunk.extend_from_slice(payload);
    chunk.extend_from_slice(&crc32c::crc32c(&chunk).to_be_bytes());
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a target over its seeds, so that all of it is held without a fuzzer too.
    fn seeds(target: &str, run: impl Fn(&[u8])) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus-seed").join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(&seeds).expect("the seeds of the target") {
            let path = entry.expect("a seed").path();
            eprintln!("{}", path.display());
            run(&std::fs::read(&path).expect("a seed"));
            count += 1;
        }
        assert!(count > 0, "{target} has no seeds");
    }

    #[test]
    fn every_target_holds_over_its_seeds() {
        seeds("key", key);
        seeds("value", value);
        seeds("snapshot", |data| {
            let dir = tempfile::tempdir().expect("a directory");
            snapshot(data, dir.path());
        });
    }
}
