//! Flipped bits in every kind of page: none is ever served, and what reads do not meet a scrub finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sim::{Random, SimDisk};
use super::{contents, event, eventually, mark, open, options, without_checksums, write};
use crate::sums::{BLOCK, GROUP_BLOCKS, physical};
use crate::{Bytes, Direction, Error, Key, KeyRange, Options, Scrubbed, Store};

const FILE: &str = "store.redb";

/// A store of some hundred pages, most of them leaves, on a disk of its own, closed.
fn closed() -> (SimDisk, BTreeMap<Key, Bytes>) {
    let disk = SimDisk::default();
    let store = open(&disk);
    for index in 1..=900 {
        let value = format!("value of {index} {}", "x".repeat(300 + index as usize % 200));
        write(&store, index, index % 6, &[(index, Some(&value))]);
        if index % 300 == 0 {
            store.persist().unwrap();
        }
    }
    let expected = contents(&store.begin_read());
    store.close().unwrap();
    (disk, expected)
}

/// Every page is read from the disk whenever it is needed.
fn uncached() -> Options {
    Options {
        cache_bytes: 0,
        ..options()
    }
}

fn length(disk: &SimDisk) -> usize {
    let mut length = 0;
    disk.corrupt(FILE, |bytes| length = bytes.len());
    length
}

fn scrub(store: &Store) -> Result<Scrubbed, Error> {
    store.scrub(&store.begin_read(), || false)
}

/// Reads everything, each key and all in order; false when damage was met. Panics over a wrong answer.
fn reads_right(store: &Store, expected: &BTreeMap<Key, Bytes>, what: &str) -> bool {
    for (key, value) in expected {
        match store.begin_read().get_raw(key.as_bytes()) {
            Ok(found) => assert_eq!(found.as_ref(), Some(value), "{key}, {what}"),
            Err(Error::Damaged { .. }) => return false,
            Err(other) => panic!("{other}, {what}"),
        }
    }
    let mut walked = 0;
    for (found, wanted) in store.begin_read().scan(KeyRange::all(), Direction::Forward).zip(expected) {
        let Ok((key, value)) = found else { return false };
        assert_eq!((&key, &value), wanted, "{what}");
        walked += 1;
    }
    assert_eq!(walked, expected.len(), "{what}");
    true
}

#[test]
fn of_200_flipped_bits_none_is_served_and_those_in_use_are_found_by_one_scrub() {
    let (disk, expected) = closed();
    let length = length(&disk) as u64;
    let mut random = Random::new(11);
    let (mut opened, mut read, mut scrubbed, mut unused) = (0, 0, 0, 0);
    while opened + read + scrubbed + unused < 200 {
        let (at, bit) = (random.below(length) as usize, random.below(8));
        let what = format!("bit {bit} of byte {at} flipped");
        let copy = disk.survivor(&mut Random::new(1));
        let mut empty = false;
        let flip = |bytes: &mut Vec<u8>| {
            empty = bytes[at - at % BLOCK..][..BLOCK].iter().all(|byte| *byte == 0);
            bytes[at] ^= 1 << bit;
        };
        // While it is closed; or while it is open, and nothing of it is in redb's cache.
        let store = if at % 4 == 0 {
            copy.corrupt(FILE, flip);
            match Store::open_on(Arc::new(copy), uncached()) {
                Ok(store) => store,
                Err(error) => {
                    assert!(matches!(error, Error::Damaged { .. }), "{error}, {what}");
                    opened += 1;
                    continue;
                }
            }
        } else {
            let store = Store::open_on(Arc::new(copy.clone()), uncached()).unwrap();
            copy.corrupt(FILE, flip);
            store
        };
        if empty {
            continue;
        }
        if !reads_right(&store, &expected, &what) {
            read += 1;
        } else if scrub(&store).is_err() {
            assert!(store.damaged().is_some(), "{what}");
            scrubbed += 1;
        } else {
            assert!(reads_right(&store, &expected, &what));
            unused += 1;
        }
    }
    let counted = format!("{opened} at opening, {read} by reading, {scrubbed} by a scrub, {unused} unused");
    // redb itself reads every page when it opens, but only where its own assertions are on.
    assert!(opened > 0 && opened + read > 80 && scrubbed > 0 && unused < 100, "{counted}");
}

#[test]
fn every_bit_of_the_header_and_of_the_checksums_is_watched() {
    let (disk, expected) = closed();
    for at in (0..16).chain(physical(0) as usize..physical(0) as usize + 320) {
        for bit in [0, 5] {
            disk.corrupt(FILE, |bytes| bytes[at] ^= 1 << bit);
            let copy = disk.survivor(&mut Random::new(1));
            disk.corrupt(FILE, |bytes| bytes[at] ^= 1 << bit);
            let opened = Store::open_on(Arc::new(copy), options());
            assert!(matches!(opened, Err(Error::Damaged { .. })), "bit {bit} of byte {at}");
        }
    }
    let store = open(&disk);
    assert!(reads_right(&store, &expected, "nothing flipped"));
}

/// redb answers from its cache, and would for as long as the page stays there.
#[test]
fn a_scrub_finds_a_flipped_bit_behind_the_page_cache_and_reads_are_refused_from_then_on() {
    let (disk, expected) = closed();
    let cached = Options {
        cache_bytes: 64 << 20,
        ..options()
    };
    let store = Store::open_on(Arc::new(disk.clone()), cached).unwrap();
    assert!(reads_right(&store, &expected, "nothing flipped"));
    let right = scrub(&store).unwrap();
    assert_eq!(right.hash, store.begin_read().hash(KeyRange::all()).unwrap());
    assert!(right.blocks > 50, "{right:?}");
    let old = store.begin_read();
    disk.corrupt(FILE, |bytes| {
        let at = bytes.windows(12).position(|found| found == b"value of 450").unwrap();
        bytes[at] ^= 1;
    });
    assert!(reads_right(&store, &expected, "only on the disk"), "the cache has it right");
    assert!(matches!(scrub(&store), Err(Error::Damaged { .. })));
    assert!(
        store.damaged().unwrap().contains("checksum of block"),
        "{:?}",
        store.damaged()
    );
    assert!(store.halted().is_some());
    for key in expected.keys() {
        assert!(matches!(old.get_raw(key.as_bytes()), Err(Error::Damaged { .. })));
    }
    assert!(old.scan(KeyRange::all(), Direction::Forward).next().unwrap().is_err());
    assert!(matches!(store.begin_batch(), Err(Error::Halted(_))));
}

#[test]
fn the_leftovers_of_a_crash_are_no_damage() {
    for at in (20..1_400).step_by(61) {
        let disk = SimDisk::default();
        disk.die_after(at);
        let written = || -> Result<(), Error> {
            let store = Store::open_on(Arc::new(disk.clone()), options())?;
            for index in 1..=400 {
                let value = "y".repeat(700);
                let mut batch = store.begin_batch()?;
                let mut command = batch.command(index, crate::Space(index % 9)).unwrap();
                command.put(&event(index % 9, index % 70), value);
                command.accept();
                batch.commit(mark(index))?;
                if index % 40 == 0 {
                    store.persist()?;
                }
            }
            Ok(())
        };
        drop(written());
        let disk = disk.survivor(&mut Random::new(at));
        let Ok(store) = Store::open_on(Arc::new(disk), options()) else {
            panic!("power loss at {at} is no damage");
        };
        match scrub(&store) {
            Ok(_) | Err(Error::Replaying { .. }) => {}
            Err(other) => panic!("{other} after power loss at {at}"),
        }
        assert!(store.halted().is_none());
    }
}

#[test]
fn a_scrub_ends_when_it_is_told_to_or_the_store_is_closed() {
    let (disk, _) = closed();
    let store = open(&disk);
    let snapshot = store.begin_read();
    assert!(matches!(store.scrub(&snapshot, || true), Err(Error::Closed)));
    store.clone().close().unwrap();
    assert!(matches!(store.scrub(&snapshot, || false), Err(Error::Closed)));
    assert!(store.damaged().is_none());
}

#[test]
fn a_pin_shows_its_own_position_though_the_batch_goes_on() {
    let (one, other) = (open(&SimDisk::default()), open(&SimDisk::default()));
    let put = |batch: &mut crate::Batch, index: u64| {
        let mut command = batch.command(index, crate::Space(index % 3)).unwrap();
        command.put(&event(index % 3, index), format!("at {index}"));
        command.accept();
    };
    // One replica applies all in one batch, the other in three.
    let mut batch = one.begin_batch().unwrap();
    (1..=5).for_each(|index| put(&mut batch, index));
    let pinned = batch.pin(5);
    (6..=9).for_each(|index| put(&mut batch, index));
    batch.commit(mark(9)).unwrap();
    for range in [1..=2, 3..=5, 6..=9] {
        let (mut batch, end) = (other.begin_batch().unwrap(), *range.end());
        range.for_each(|index| put(&mut batch, index));
        batch.commit(mark(end)).unwrap();
        if end == 5 {
            let hash = |snapshot: &crate::Snapshot| snapshot.hash(KeyRange::all()).unwrap();
            assert_eq!(hash(&pinned), hash(&other.begin_read()));
        }
    }
    assert_eq!((pinned.mark().index, contents(&pinned).len()), (5, 5));
    assert_eq!(contents(&one.begin_read()).len(), 9);
}

#[test]
fn a_file_from_before_there_were_checksums_is_read_written_and_in_time_replaced() {
    let disk = SimDisk::default();
    without_checksums(&disk);
    let store = open(&disk);
    write(&store, 1, 1, &[(1, Some("old"))]);
    store.persist().unwrap();
    assert_eq!(scrub(&store).unwrap().blocks, 0, "there is nothing to check it by");
    let mut reader = store.send_snapshot();
    let mut writer = store.receive_snapshot().unwrap();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        writer.write(&chunk).unwrap();
    }
    store.install(writer.finish().unwrap()).unwrap();
    assert!(scrub(&store).unwrap().blocks > 0);
    drop(reader);
    store.close().unwrap();
    let store = open(&disk);
    assert_eq!(contents(&store.begin_read()).len(), 1);
    disk.corrupt(FILE, |bytes| assert!(bytes.starts_with(b"CNSUMS")));
}

#[test]
fn a_file_of_several_groups_of_blocks_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    let value = "z".repeat(1 << 20);
    for index in 1..=12 {
        write(&store, index, index, &[(index, Some(&value))]);
    }
    store.persist().unwrap();
    assert!(store.stats().file_bytes > 2 * GROUP_BLOCKS * BLOCK as u64);
    let hash = store.begin_read().hash(KeyRange::all()).unwrap();
    store.close().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    let scrubbed = scrub(&store).unwrap();
    assert_eq!(scrubbed.hash, hash);
    assert!(scrubbed.blocks > 3 * GROUP_BLOCKS - 100, "{scrubbed:?}");
}

#[test]
fn a_flush_that_waited_for_room_anywhere_leaves_right_checksums() {
    let mut waited = 0;
    for calls in 0..40 {
        let disk = SimDisk::default();
        let store = open(&disk);
        write(&store, 1, 1, &[(1, Some("before"))]);
        store.persist().unwrap();
        for index in 2..=60 {
            write(&store, index, index % 5, &[(index, Some(&"x".repeat(600)))]);
        }
        disk.full_after(calls);
        let persisting = std::thread::spawn({
            let store = store.clone();
            move || store.persist()
        });
        eventually("an end or a refusal", || persisting.is_finished() || disk.refused() > 0);
        waited += u64::from(disk.refused() > 0);
        assert_eq!(contents(&store.begin_read()).len(), 60);
        disk.set_full(false);
        persisting.join().unwrap().unwrap();
        let hash = scrub(&store).unwrap().hash;
        store.close().unwrap();
        let store = Store::open_on(Arc::new(disk), uncached()).unwrap();
        assert_eq!(scrub(&store).unwrap().hash, hash);
    }
    assert!(waited > 20, "{waited}");
}
