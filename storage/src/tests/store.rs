//! What batches, snapshots and flushes look like from outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::sim::{Random, SimDisk};
use super::{contents, event, eventually, mark, open, options, write};
use crate::batch::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::{Bytes, CollectionName, Direction, Error, Event, IndexEntry, Key, KeyRange, Mark, Options, Space, Store, Table};

#[test]
fn a_command_sees_its_own_writes_then_the_batch_then_the_store() {
    let store = open(&SimDisk::default());
    write(&store, 1, 5, &[(1, Some("one")), (2, Some("two")), (3, Some("three"))]);
    let mut batch = store.begin_batch().unwrap();
    let mut first = batch.command(2, Space(5)).unwrap();
    first.put(&event(5, 2), "two of the batch");
    first.delete(&event(5, 3));
    assert_eq!(first.touched(), 2);
    first.accept();
    let mut second = batch.command(3, Space(5)).unwrap();
    second.put(&event(5, 1), "one of the command");
    second.put(&event(5, 4), "four");
    let get = |position| second.get(&event(5, position)).unwrap();
    assert_eq!(get(1).unwrap(), "one of the command");
    assert_eq!(get(2).unwrap(), "two of the batch");
    assert_eq!(get(3), None);
    let found: Vec<Bytes> = second
        .scan(KeyRange::space(Space(5)), Direction::Backward)
        .map(|found| found.unwrap().1)
        .collect();
    assert_eq!(found, ["four", "two of the batch", "one of the command"]);
    drop(second);
    assert_eq!(contents(&store.begin_read()).len(), 3, "nothing is seen before the commit");
    batch.commit(mark(3)).unwrap();
    let snapshot = store.begin_read();
    assert_eq!(snapshot.mark(), &mark(3));
    assert_eq!(
        snapshot.get(&event(5, 1)).unwrap().unwrap(),
        "one",
        "a dropped command leaves nothing"
    );
    assert_eq!(snapshot.get(&event(5, 2)).unwrap().unwrap(), "two of the batch");
    assert_eq!(snapshot.get(&event(5, 3)).unwrap(), None);
}

#[test]
fn a_dropped_batch_leaves_nothing_and_lets_the_next_begin() {
    let store = open(&SimDisk::default());
    let mut batch = store.begin_batch().unwrap();
    assert!(matches!(store.begin_batch(), Err(Error::BatchOpen)));
    let mut command = batch.command(1, Space(1)).unwrap();
    command.put(&event(1, 1), "lost");
    command.accept();
    drop(batch);
    assert_eq!(store.mark(), Mark::default());
    write(&store, 1, 1, &[(2, Some("kept"))]);
    assert_eq!(contents(&store.begin_read()).len(), 1);
}

#[test]
fn what_was_applied_is_skipped_and_marks_never_go_back() {
    let store = open(&SimDisk::default());
    write(&store, 7, 1, &[(1, Some("x"))]);
    let mut batch = store.begin_batch().unwrap();
    assert!(batch.command(7, Space(1)).is_none());
    assert!(batch.command(3, Space(9)).is_none());
    batch.command(9, Space(1)).unwrap().accept();
    assert!(matches!(
        batch.commit(mark(8)),
        Err(Error::OutOfOrder { mark: 8, reached: 9 })
    ));
    let batch = store.begin_batch().unwrap();
    assert!(matches!(
        batch.commit(mark(6)),
        Err(Error::OutOfOrder { mark: 6, reached: 7 })
    ));
    assert_eq!(store.mark(), mark(7));
    store
        .begin_batch()
        .unwrap()
        .commit(Mark {
            index: 7,
            state: b"membership".to_vec(),
        })
        .unwrap();
    assert_eq!(
        store.persist().unwrap(),
        Mark {
            index: 7,
            state: b"membership".to_vec()
        },
        "a mark alone is durable too"
    );
}

#[test]
fn a_command_is_bound_to_its_space() {
    let store = open(&SimDisk::default());
    write(&store, 1, 2, &[(1, Some("other"))]);
    let mut batch = store.begin_batch().unwrap();
    let command = batch.command(2, Space(1)).unwrap();
    assert!(matches!(command.get(&event(2, 1)), Err(Error::OtherSpace { bound: 1, .. })));
    assert!(matches!(
        command.scan(KeyRange::all(), Direction::Forward).next(),
        Some(Err(Error::OtherSpace { .. }))
    ));
    assert_eq!(command.scan(KeyRange::space(Space(1)), Direction::Forward).count(), 0);
    drop(command);
    let mut command = batch.command(2, Space(1)).unwrap();
    command.put(&event(2, 1), "stolen");
    command.accept();
    assert!(matches!(batch.commit(mark(2)), Err(Error::OtherSpace { bound: 1, .. })));
    assert_eq!(store.mark(), mark(1));
}

#[test]
fn keys_and_values_over_the_limits_are_refused() {
    let store = open(&SimDisk::default());
    let try_put = |key: Key, bytes: usize| {
        let mut batch = store.begin_batch().unwrap();
        let mut command = batch.command(1, Space(1)).unwrap();
        command.put_raw(key, Bytes::from(vec![0; bytes]));
        command.accept();
        batch.commit(mark(1))
    };
    let long = CollectionName {
        space: Space(1),
        name: "x".repeat(MAX_KEY_BYTES),
    }
    .key();
    assert!(matches!(
        try_put(long, 1),
        Err(Error::TooLarge {
            limit_bytes: MAX_KEY_BYTES,
            ..
        })
    ));
    assert!(matches!(
        try_put(event(1, 1).key(), MAX_VALUE_BYTES + 1),
        Err(Error::TooLarge { .. })
    ));
    try_put(event(1, 1).key(), MAX_VALUE_BYTES).unwrap();
}

/// Random writes and random scans over all layers: own writes, batch, active, two frozen deltas that cannot get away, the file.
#[test]
fn scans_in_both_directions_agree_with_a_model_over_all_layers() {
    let disk = SimDisk::default();
    let store = Store::open_on(
        Arc::new(disk.clone()),
        Options {
            freeze_bytes: 6 << 10,
            ..options()
        },
    )
    .unwrap();
    let mut random = Random::new(3);
    let mut model: BTreeMap<Key, Bytes> = BTreeMap::new();
    for index in 1..=120u64 {
        if index == 40 {
            store.persist().unwrap();
            disk.hold();
        }
        let mut batch = store.begin_batch().unwrap();
        let mut command = batch.command(index, Space(1)).unwrap();
        for _ in 0..4 {
            let key = event(1, random.below(150)).key();
            if random.below(3) == 0 {
                command.delete_raw(key.clone());
                model.remove(&key);
            } else {
                let value = Bytes::from(format!("value {} {}", random.next(), "x".repeat(50)));
                command.put_raw(key.clone(), value.clone());
                model.insert(key, value);
            }
        }
        let range = KeyRange {
            start: event(1, random.below(150)).key().to_bytes(),
            end: event(1, random.below(170)).key().to_bytes(),
        };
        let forward: Vec<(Key, Bytes)> = command.scan(range.clone(), Direction::Forward).map(Result::unwrap).collect();
        let expected = || {
            model
                .iter()
                .filter(|(key, _)| range.contains(key.as_bytes()))
                .map(|(key, value)| (key.clone(), value.clone()))
        };
        assert_eq!(forward, expected().collect::<Vec<_>>());
        let backward: Vec<(Key, Bytes)> = command.scan(range.clone(), Direction::Backward).map(Result::unwrap).collect();
        assert_eq!(backward, expected().rev().collect::<Vec<_>>());
        command.accept();
        batch.commit(mark(index)).unwrap();
        let snapshot = store.begin_read();
        assert_eq!(contents(&snapshot), model);
        for position in 0..150 {
            let key = event(1, position).key();
            assert_eq!(snapshot.get_raw(key.as_bytes()).unwrap().as_ref(), model.get(&key));
        }
    }
    assert_eq!(store.stats().frozen, 2, "the scans went over two frozen deltas");
    disk.release();
    store.close().unwrap();
}

#[test]
fn a_snapshot_keeps_what_it_saw_while_everything_moves_on() {
    let store = open(&SimDisk::default());
    write(&store, 1, 1, &[(1, Some("old")), (2, Some("gone"))]);
    let before = store.begin_read();
    let walk = before.scan(KeyRange::all(), Direction::Forward);
    store.persist().unwrap();
    let flushed = store.begin_read();
    write(&store, 2, 1, &[(1, Some("new")), (2, None)]);
    store.persist().unwrap();
    assert_eq!(contents(&before), contents(&flushed));
    assert_eq!(before.get(&event(1, 1)).unwrap().unwrap(), "old");
    assert_eq!(walk.count(), 2);
    assert_eq!(contents(&store.begin_read()).len(), 1);
    assert_eq!((before.mark(), store.begin_read().mark()), (&mark(1), &mark(2)));
}

#[test]
fn spaces_are_found_whichever_layer_they_are_in() {
    let store = open(&SimDisk::default());
    for (index, space) in [0, 3, 9, u64::MAX].into_iter().enumerate() {
        write(&store, index as u64 + 1, space, &[(1, Some("a")), (2, Some("b"))]);
        if space == 3 {
            store.persist().unwrap();
        }
    }
    write(&store, 9, 3, &[(1, None), (2, None)]);
    let spaces: Vec<Space> = store.begin_read().spaces().map(Result::unwrap).collect();
    assert_eq!(spaces, [Space(0), Space(9), Space(u64::MAX)]);
}

#[test]
fn the_hash_says_what_is_stored_and_nothing_of_how() {
    let (one, other) = (open(&SimDisk::default()), open(&SimDisk::default()));
    for index in 1..50 {
        write(&one, index, index % 7, &[(index, Some("value"))]);
        one.persist().unwrap();
        write(
            &other,
            index,
            index % 7,
            &[(index, Some("value")), (1000, Some("for a moment"))],
        );
    }
    write(&one, 50, 1, &[(1, None)]);
    for space in 0..7 {
        write(&other, 50 + space, space, &[(1000, None), (1, None)]);
    }
    let hash = one.begin_read().hash(KeyRange::all()).unwrap();
    assert_eq!(hash, other.begin_read().hash(KeyRange::all()).unwrap());
    assert_eq!(hash.keys, 48);
    write(&one, 51, 3, &[(3, Some("valuE"))]);
    assert_ne!(hash.hash, one.begin_read().hash(KeyRange::all()).unwrap().hash);
}

#[test]
fn an_idle_delta_is_flushed_and_told() {
    let told = Arc::new(AtomicU64::new(0));
    let telling = told.clone();
    let on_flush: crate::OnFlush = Arc::new(move || {
        telling.fetch_add(1, Ordering::SeqCst);
    });
    let dir = tempfile::tempdir().unwrap();
    let quick = Options {
        idle_flush: Duration::from_millis(5),
        on_flush: Some(on_flush),
        ..Options::default()
    };
    let store = Store::open(dir.path(), quick).unwrap();
    write(&store, 1, 1, &[(1, Some("x"))]);
    eventually("an idle flush", || store.durable() == 1 && told.load(Ordering::SeqCst) > 0);
    assert_eq!(store.durable_mark(), mark(1));
    assert_eq!((store.delta_bytes(), store.stats().flushes), (0, 1));
}

#[test]
fn a_slow_disk_fills_two_frozen_deltas_then_the_active_one_and_asks_to_wait() {
    let disk = SimDisk::default();
    let small = Options {
        freeze_bytes: 2 << 10,
        delta_limit_bytes: 16 << 10,
        ..options()
    };
    let store = Store::open_on(Arc::new(disk.clone()), small).unwrap();
    disk.hold();
    let mut index = 0;
    while !store.over_limit() {
        index += 1;
        write(&store, index, index % 5, &[(index, Some(&"x".repeat(500)))]);
    }
    assert_eq!(store.stats().frozen, 2);
    write(&store, index + 1, 1, &[(1, Some("applying is never refused"))]);
    assert_eq!(store.durable(), 0);
    disk.release();
    eventually("room", || !store.over_limit());
    assert_eq!(store.persist().unwrap(), mark(index + 1));
}

#[test]
fn persist_waits_for_an_open_batch_of_another_thread() {
    let store = open(&SimDisk::default());
    write(&store, 1, 1, &[(1, Some("x"))]);
    let batch = store.begin_batch().unwrap();
    thread::scope(|scope| {
        let persisted = scope.spawn(|| store.persist().unwrap());
        batch.commit(mark(2)).unwrap();
        assert!(persisted.join().unwrap().index >= 1);
    });
}

#[test]
fn a_closed_store_is_whole_on_disk_and_begins_no_batch() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    write(&store, 3, 1, &[(1, Some("x"))]);
    let other = store.clone();
    store.close().unwrap();
    assert!(matches!(other.begin_batch(), Err(Error::Closed)));
    assert_eq!(other.begin_read().get(&event(1, 1)).unwrap().unwrap(), "x");
    drop(other);
    let again = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!((again.mark(), again.durable()), (mark(3), 3));
    assert_eq!(contents(&again.begin_read()).len(), 1);
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

/// One thread moves amounts between accounts, in small deltas that are flushed all the while; the others must never see money
/// missing, nor an event without its index entry, nor a mark that is not the number of events.
#[test]
fn readers_see_whole_commits_while_batches_and_flushes_run() {
    const ACCOUNTS: u64 = 8;
    const MOVES: u64 = 1500;
    let dir = tempfile::tempdir().unwrap();
    let quick = Options {
        freeze_bytes: 16 << 10,
        pace: false,
        commit_bytes: 2 << 10,
        ..Options::default()
    };
    let store = Store::open(dir.path(), quick).unwrap();
    let space = Space(4);
    let account = |number| IndexEntry {
        space,
        collection: 1,
        index: 1,
        values: Vec::new(),
        id: [number as u8; 16],
    };
    let amount = |value: Bytes| i64::from_be_bytes(value.as_ref().try_into().unwrap());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 0..2 {
            let (store, over) = (&store, &over);
            scope.spawn(move || {
                let mut last = 0;
                while !over.load(Ordering::Relaxed) {
                    let snapshot = store.begin_read();
                    let sum: i64 = snapshot
                        .scan(IndexEntry::range(space, 1, 1, &[]), Direction::Forward)
                        .map(|found| amount(found.unwrap().1))
                        .sum();
                    assert_eq!(sum, 0, "reader {reader} at {}", snapshot.mark().index);
                    let events = snapshot.scan(Event::range_after(space, 0), Direction::Backward);
                    let newest = events
                        .map(|found| Event::parse(found.unwrap().0.as_bytes()).unwrap().position)
                        .next();
                    assert_eq!(newest.unwrap_or(0), snapshot.mark().index);
                    assert!(snapshot.mark().index >= last);
                    last = snapshot.mark().index;
                }
            });
        }
        let mut random = Random::new(8);
        let mut index = 0;
        let deadline = Instant::now() + Duration::from_secs(60);
        while (index < MOVES || store.stats().flushes < 2) && Instant::now() < deadline {
            let mut batch = store.begin_batch().unwrap();
            for _ in 0..1 + random.below(4) {
                index += 1;
                let mut command = batch.command(index, space).unwrap();
                let (from, to) = (account(random.below(ACCOUNTS)), account(random.below(ACCOUNTS)));
                for (key, change) in [(from, -7i64), (to, 7)] {
                    let now = command.get(&key).unwrap().map_or(0, amount) + change;
                    command.put(&key, now.to_be_bytes().to_vec());
                }
                command.put(&Event { space, position: index }, vec![1; 40]);
                command.accept();
            }
            batch.commit(mark(index)).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(store.stats().flushes >= 2, "no flush ran meanwhile");
    store.close().unwrap();
}
