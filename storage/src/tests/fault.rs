//! Disks that fail, lie and fill up, and files that are not what they should be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::sim::SimDisk;
use super::{contents, event, eventually, mark, open, options, without_checksums, write};
use crate::ground::STORE_FORMAT;
use crate::{Direction, Error, KeyRange, Options, Store};

#[test]
fn a_failed_sync_halts_for_good_and_is_never_tried_again() {
    let told = Arc::new(AtomicU64::new(0));
    let telling = told.clone();
    let on_flush: crate::OnFlush = Arc::new(move || {
        telling.fetch_add(1, Ordering::SeqCst);
    });
    let disk = SimDisk::default();
    let store = Store::open_on(
        Arc::new(disk.clone()),
        Options {
            on_flush: Some(on_flush),
            ..options()
        },
    )
    .unwrap();
    write(&store, 1, 1, &[(1, Some("x"))]);
    let batch = store.begin_batch().unwrap();
    drop(batch);
    disk.fail_sync_after(0);
    assert!(store.persist().is_err());
    let reason = store.halted().unwrap();
    assert!(reason.contains("os error 5"), "{reason}");
    assert_eq!(told.load(Ordering::SeqCst), 1);
    let syncs = disk.syncs();
    assert!(matches!(store.persist(), Err(Error::Halted(_))));
    assert!(matches!(store.begin_batch(), Err(Error::Halted(_))));
    assert!(matches!(store.receive_snapshot(), Err(Error::Halted(_))));
    assert_eq!(store.durable(), 0);
    assert_eq!(contents(&store.begin_read()).len(), 1, "what was applied can still be read");
    assert!(store.close().is_err());
    assert_eq!(disk.syncs(), syncs, "nothing was synced after the failure");
}

#[test]
fn a_batch_that_is_open_when_the_store_halts_cannot_commit() {
    let disk = SimDisk::default();
    let store = Store::open_on(
        Arc::new(disk.clone()),
        Options {
            freeze_bytes: 1,
            ..options()
        },
    )
    .unwrap();
    disk.fail_sync_after(0);
    write(&store, 1, 1, &[(1, Some("x"))]);
    let batch = store.begin_batch();
    eventually("the halt", || store.halted().is_some());
    if let Ok(batch) = batch {
        assert!(matches!(batch.commit(mark(2)), Err(Error::Halted(_))));
    }
    assert_eq!(store.mark(), mark(1));
}

#[test]
fn a_flush_waits_for_room_on_a_full_disk_and_the_store_serves_meanwhile() {
    let disk = SimDisk::default();
    let store = open(&disk);
    write(&store, 1, 1, &[(1, Some("x"))]);
    store.persist().unwrap();
    disk.set_full(true);
    write(&store, 2, 1, &[(2, Some("y"))]);
    let waiting = std::thread::spawn({
        let store = store.clone();
        move || store.persist()
    });
    disk.wait_for_refused_write();
    write(&store, 3, 1, &[(3, Some("z"))]);
    assert_eq!(contents(&store.begin_read()).len(), 3);
    assert!(store.halted().is_none() && !waiting.is_finished());
    disk.set_full(false);
    waiting.join().unwrap().unwrap();
    store.close().unwrap();
    assert_eq!(open(&disk).mark(), mark(3));
}

#[test]
fn a_store_that_closes_on_a_full_disk_says_so_and_the_durable_state_is_whole() {
    let disk = SimDisk::default();
    let store = open(&disk);
    write(&store, 1, 1, &[(1, Some("x"))]);
    store.persist().unwrap();
    disk.set_full(true);
    write(&store, 2, 1, &[(2, Some("y"))]);
    let error = store.close().unwrap_err().to_string();
    assert!(
        error.contains("no storage space") || error.contains("no space left"),
        "{error}"
    );
    disk.set_full(false);
    let store = open(&disk);
    assert_eq!(store.mark(), mark(1));
    assert_eq!(contents(&store.begin_read()).len(), 1);
}

#[test]
fn a_flipped_bit_in_a_value_is_never_served_names_the_key_and_halts() {
    let disk = SimDisk::default();
    without_checksums(&disk);
    let store = open(&disk);
    write(
        &store,
        1,
        7,
        &[(1, Some("fine")), (2, Some("a very special value")), (3, Some("fine too"))],
    );
    store.close().unwrap();
    disk.corrupt("store.redb", |bytes| {
        let value = b"a very special value";
        let places: Vec<usize> = (0..bytes.len() - value.len())
            .filter(|at| bytes[*at..].starts_with(value))
            .collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at + 3] ^= 1);
    });
    let store = open(&disk);
    let snapshot = store.begin_read();
    assert_eq!(snapshot.get(&event(7, 1)).unwrap().unwrap(), "fine");
    assert!(store.halted().is_none());
    let mut walk = snapshot.scan(KeyRange::all(), Direction::Forward);
    assert!(walk.next().unwrap().is_ok());
    let error = walk.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("event space=7 position=2"), "{error}");
    assert!(walk.next().is_none());
    assert!(matches!(snapshot.get(&event(7, 2)), Err(Error::Damaged { .. })));
    assert!(store.halted().unwrap().contains("event space=7 position=2"));
    assert!(matches!(store.begin_batch(), Err(Error::Halted(_))));
    assert!(matches!(snapshot.hash(KeyRange::all()), Err(Error::Damaged { .. })));
    let mut reader = store.send_snapshot();
    assert!(reader.next_chunk().is_ok());
    assert!(matches!(reader.next_chunk(), Err(Error::Damaged { .. })));
    assert!(
        reader.next_chunk().is_err(),
        "a stream that could not be read whole gets no end"
    );
}

/// Flips bits anywhere in the file: whatever happens, no wrong value is served and nothing panics.
#[test]
fn damage_anywhere_in_the_file_is_never_served() {
    let disk = SimDisk::default();
    let store = open(&disk);
    for index in 1..=40 {
        write(
            &store,
            index,
            index % 6,
            &[(index, Some(&format!("value of {index} {}", "x".repeat(400))))],
        );
    }
    let expected = contents(&store.begin_read());
    store.close().unwrap();
    let mut used = 0;
    disk.corrupt("store.redb", |bytes| {
        used = bytes.iter().rposition(|byte| *byte != 0).unwrap()
    });
    for at in (0..used).step_by(used / 150) {
        disk.corrupt("store.redb", |bytes| bytes[at] ^= 0x10);
        let copy = disk.survivor(&mut super::sim::Random::new(1));
        disk.corrupt("store.redb", |bytes| bytes[at] ^= 0x10);
        let Ok(store) = Store::open_on(Arc::new(copy), options()) else {
            continue;
        };
        for (key, value) in &expected {
            if let Ok(found) = store.begin_read().get_raw(key.as_bytes()) {
                assert_eq!(found.as_ref(), Some(value), "{key} after damage at {at}");
            }
        }
        for found in store.begin_read().scan(KeyRange::all(), Direction::Forward).take(1000) {
            let Ok((key, value)) = found else { break };
            assert_eq!(expected.get(&key), Some(&value), "{key} after damage at {at}");
        }
    }
}

#[test]
fn a_directory_belongs_to_one_store_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let refused = Store::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(refused, Error::Locked { .. }));
    assert!(refused.to_string().contains(&*dir.path().to_string_lossy()), "{refused}");
    let snapshot = store.begin_read();
    store.close().unwrap();
    assert!(
        matches!(Store::open(dir.path(), Options::default()), Err(Error::Locked { .. })),
        "a snapshot still reads the file"
    );
    drop(snapshot);
    Store::open(dir.path(), Options::default()).unwrap();
}

#[test]
fn a_file_of_a_newer_version_is_refused_by_name() {
    const DATA: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("meta");
    let dir = tempfile::tempdir().unwrap();
    // Without checksums of blocks, as files of the first version are.
    let database = redb::Database::create(dir.path().join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut wrapped = Vec::new();
    crate::value::wrap(b"format", &(STORE_FORMAT + 1).to_be_bytes(), &mut wrapped);
    transaction
        .open_table(DATA)
        .unwrap()
        .insert(&b"format"[..], wrapped.as_slice())
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refused = Store::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(refused, Error::NewerFormat { found: 2, known: 1, .. }), "{refused}");
    assert!(refused.to_string().contains("store.redb"), "{refused}");
}

#[test]
fn a_file_that_is_empty_or_no_store_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store.redb");
    for bytes in [Vec::new(), vec![7; 100_000]] {
        std::fs::write(&file, bytes).unwrap();
        let refused = Store::open(dir.path(), Options::default()).unwrap_err();
        assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
        assert!(refused.to_string().contains("store.redb"), "{refused}");
    }
}
