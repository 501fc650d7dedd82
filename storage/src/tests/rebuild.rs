//! A damaged store is marked, and another replica's state takes its place, whenever the power fails.

use std::sync::Arc;

use super::sim::{Random, SimDisk};
use super::{contents, event, mark, open, options, write};
use crate::disk::Disk;
use crate::{Bytes, Direction, Error, KeyRange, Rebuild, Store};

fn sender() -> Store {
    let store = open(&SimDisk::default());
    for index in 1..=40 {
        write(&store, index, index % 5, &[(index, Some(&"new".repeat(300)))]);
    }
    store
}

fn chunks(store: &Store) -> Vec<Bytes> {
    let mut reader = store.send_snapshot();
    std::iter::from_fn(|| reader.next_chunk().unwrap()).collect()
}

fn rebuild(rebuild: &Rebuild, chunks: &[Bytes]) -> Result<Store, Error> {
    let mut writer = rebuild.receive()?;
    chunks.iter().try_for_each(|chunk| writer.write(chunk))?;
    rebuild.install(writer.finish()?)
}

/// A store that holds something else, durable.
fn damaged(disk: &SimDisk) -> Store {
    let store = open(disk);
    write(&store, 7, 1, &[(1, Some("old"))]);
    store.persist().unwrap();
    store
}

#[test]
fn a_marked_store_does_not_open_and_says_why_until_it_is_rebuilt() {
    let disk = SimDisk::default();
    let store = damaged(&disk);
    assert!(matches!(Rebuild::of(&store), Err(Error::Halted(_))), "it is not damaged");
    store.mark_damaged("the others hold something else").unwrap();
    assert_eq!(store.damaged().as_deref(), Some("the others hold something else"));
    drop(store);
    let disk = disk.survivor(&mut Random::new(3));
    let refused = Store::open_on(Arc::new(disk.clone()), options()).unwrap_err();
    assert!(
        matches!(&refused, Error::Damaged { what } if what == "the others hold something else"),
        "{refused}"
    );
    let begun = Rebuild::on(Arc::new(disk.clone()), "for another reason", options()).unwrap();
    let sender = sender();
    let store = rebuild(&begun, &chunks(&sender)).unwrap();
    let hash = |store: &Store| store.begin_read().hash(KeyRange::all()).unwrap();
    assert_eq!((store.mark(), hash(&store)), (mark(40), hash(&sender)));
    write(&store, 41, 1, &[(1, Some("after"))]);
    store.close().unwrap();
    let again = open(&disk.survivor(&mut Random::new(4)));
    assert_eq!(again.mark(), mark(41));
    assert_eq!(disk.list().unwrap(), ["store.redb"]);
}

#[test]
fn a_store_is_rebuilt_under_those_who_still_read_it() {
    let disk = SimDisk::default();
    let store = damaged(&disk);
    let (old, walk) = (
        store.begin_read(),
        store.begin_read().scan(KeyRange::all(), Direction::Forward),
    );
    let receiving = store.receive_snapshot().unwrap();
    store.mark_damaged("for the test").unwrap();
    let begun = Rebuild::of(&store).unwrap();
    let new = rebuild(&begun, &chunks(&sender())).unwrap();
    assert!(matches!(old.get(&event(1, 1)), Err(Error::Damaged { .. })));
    assert!(walk.take(1).all(|found| found.is_err()));
    assert!(matches!(store.begin_batch(), Err(Error::Halted(_))));
    assert!(
        matches!(store.install(receiving_end(receiving)), Err(Error::Halted(_))),
        "nothing comes over the new store"
    );
    drop((store, old, begun));
    write(&new, 41, 2, &[(1, Some("goes on"))]);
    new.persist().unwrap();
    assert_eq!(contents(&new.begin_read()).len(), 41);
    drop(new);
    assert_eq!(open(&disk).mark(), mark(41));
}

/// A snapshot that began to come before the damage was found.
fn receiving_end(mut writer: crate::SnapshotWriter) -> crate::ReceivedSnapshot {
    chunks(&open(&SimDisk::default()))
        .iter()
        .for_each(|chunk| writer.write(chunk).unwrap());
    writer.finish().unwrap()
}

#[test]
fn a_failed_sync_is_not_damage() {
    let disk = SimDisk::default();
    let store = damaged(&disk);
    write(&store, 8, 1, &[(2, Some("more"))]);
    disk.fail_sync_after(0);
    assert!(store.persist().is_err());
    assert!(store.halted().is_some() && store.damaged().is_none());
    assert!(matches!(Rebuild::of(&store), Err(Error::Halted(_))));
    assert!(
        store.begin_read().get(&event(1, 2)).unwrap().is_some(),
        "what was applied can still be read"
    );
    drop(store);
    assert_eq!(open(&disk).mark(), mark(7), "it opens as it was");
}

#[test]
fn a_refused_stream_leaves_the_store_damaged_and_it_may_be_tried_again() {
    let disk = SimDisk::default();
    damaged(&disk).mark_damaged("for the test").unwrap();
    let begun = Rebuild::on(Arc::new(disk.clone()), "", options()).unwrap();
    let good = chunks(&sender());
    assert!(matches!(
        rebuild(&begun, &good[..good.len() - 1]),
        Err(Error::SnapshotRefused(_))
    ));
    assert!(matches!(
        Store::open_on(Arc::new(disk), options()),
        Err(Error::Damaged { .. })
    ));
    assert_eq!(rebuild(&begun, &good).unwrap().mark(), mark(40));
}

#[test]
fn a_crash_at_any_moment_of_a_rebuild_leaves_a_damaged_store_or_the_new_one() {
    let stream = chunks(&sender());
    let (mut before, mut after) = (0, 0);
    for calls in 0..80 {
        let disk = SimDisk::default();
        let store = damaged(&disk);
        store.mark_damaged("for the test").unwrap();
        drop(store);
        disk.die_after(calls);
        let built = Rebuild::on(Arc::new(disk.clone()), "again", options()).and_then(|begun| rebuild(&begun, &stream));
        let done = built.is_ok();
        drop(built);
        let disk = disk.survivor(&mut Random::new(calls));
        match Store::open_on(Arc::new(disk.clone()), options()) {
            Ok(store) => {
                assert_eq!(store.mark(), mark(40), "never the old one, and never an empty one");
                assert_eq!(contents(&store.begin_read()).len(), 40);
                after += 1;
            }
            Err(Error::Damaged { what }) => {
                assert!(!done, "a rebuild that was finished is durable");
                assert_eq!(what, "for the test");
                let begun = Rebuild::on(Arc::new(disk), "once more", options()).unwrap();
                assert_eq!(rebuild(&begun, &stream).unwrap().mark(), mark(40));
                before += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(before > 10 && after > 10, "{before} {after}");
}

#[test]
fn power_that_fails_while_a_store_is_marked_leaves_it_as_it_was_or_marked() {
    let (mut marked, mut unmarked) = (0, 0);
    for calls in 0..8 {
        for seed in 0..8 {
            let disk = SimDisk::default();
            let store = damaged(&disk);
            disk.die_after(calls);
            let done = store.mark_damaged("for the test").is_ok();
            assert!(store.damaged().is_some());
            drop(store);
            match Store::open_on(Arc::new(disk.survivor(&mut Random::new(seed))), options()) {
                Ok(store) => {
                    assert!(!done && store.mark() == mark(7));
                    unmarked += 1;
                }
                Err(Error::Damaged { .. }) => marked += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(marked > 5 && unmarked > 5, "{marked} {unmarked}");
}
