//! Snapshots from one store into another, on good days and on bad ones.

use std::sync::Arc;
use std::thread;

use super::crash::{apply, assert_equals_model, recover, scenario};
use super::sim::{Random, SimDisk};
use super::{contents, event, eventually, mark, open, options, write};
use crate::disk::Disk;
use crate::key::push_hex;
use crate::{Bytes, Error, KeyRange, MAX_CHUNK_BYTES, Mark, Space, Store};

fn chunks(store: &Store) -> Vec<Bytes> {
    let mut reader = store.send_snapshot();
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        assert!(chunk.len() <= MAX_CHUNK_BYTES);
        chunks.push(chunk);
    }
    assert!(reader.next_chunk().unwrap().is_none());
    chunks
}

fn receive(store: &Store, chunks: &[Bytes]) -> Result<(), Error> {
    let mut writer = store.receive_snapshot()?;
    chunks.iter().try_for_each(|chunk| writer.write(chunk))?;
    store.install(writer.finish()?)
}

/// A store with a file, a delta, and values longer than a chunk.
fn sender() -> Store {
    let store = open(&SimDisk::default());
    for index in 1..=60 {
        write(&store, index, index % 9, &[(index, Some(&"v".repeat(40_000))), (1, None)]);
    }
    write(&store, 61, 3, &[(900, Some(&"long".repeat(600_000)))]);
    store.persist().unwrap();
    write(&store, 62, 4, &[(4, None), (901, Some(""))]);
    store
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list().unwrap()
}

#[test]
fn a_received_snapshot_is_the_senders_state_and_survives() {
    let sender = sender();
    let disk = SimDisk::default();
    let receiver = open(&disk);
    write(&receiver, 5, 77, &[(1, Some("of another life"))]);
    let before = receiver.begin_read();
    let chunks = chunks(&sender);
    assert!(chunks.len() > 4);
    receive(&receiver, &chunks).unwrap();
    assert_eq!((receiver.mark(), receiver.durable_mark()), (mark(62), mark(62)));
    let hash = |store: &Store| store.begin_read().hash(KeyRange::all()).unwrap();
    assert_eq!(hash(&receiver), hash(&sender));
    assert_eq!(contents(&before).len(), 1, "who reads the old state keeps it");
    assert_eq!(receiver.delta_bytes(), 0);
    write(&receiver, 63, 1, &[(1, Some("after"))]);
    write(&sender, 63, 1, &[(1, Some("after"))]);
    receiver.persist().unwrap();
    drop((before, receiver));
    let again = open(&disk.survivor(&mut Random::new(1)));
    assert_eq!((again.mark(), hash(&again)), (mark(63), hash(&sender)));
    assert_eq!(names(&disk), ["store.redb"]);
}

#[test]
fn a_snapshot_is_sent_as_of_its_beginning_while_applies_go_on() {
    let sender = sender();
    let hash = sender.begin_read().hash(KeyRange::all()).unwrap();
    let mut reader = sender.send_snapshot();
    assert_eq!(reader.mark(), &mark(62));
    let receiver = open(&SimDisk::default());
    let mut writer = receiver.receive_snapshot().unwrap();
    let mut index = 62;
    while let Some(chunk) = reader.next_chunk().unwrap() {
        writer.write(&chunk).unwrap();
        index += 1;
        write(&sender, index, index % 9, &[(index, Some("later")), (index - 40, None)]);
        sender.persist().unwrap();
    }
    let received = writer.finish().unwrap();
    assert_eq!(received.mark(), &mark(62));
    receiver.install(received).unwrap();
    assert_eq!(receiver.begin_read().hash(KeyRange::all()).unwrap(), hash);
}

#[test]
fn the_bytes_of_the_chunks_never_change() {
    let store = open(&SimDisk::default());
    let mut batch = store.begin_batch().unwrap();
    let mut command = batch.command(3, Space(1)).unwrap();
    command.put(&event(1, 2), "value");
    command.accept();
    batch
        .commit(Mark {
            index: 3,
            state: vec![0xEE],
        })
        .unwrap();
    let shown: Vec<String> = chunks(&store)
        .iter()
        .map(|chunk| {
            let mut hex = String::new();
            push_hex(chunk, &mut hex);
            hex
        })
        .collect();
    assert_eq!(
        shown,
        [
            "0101000000000000000001000000000000000300000001ee000063e77277",
            "010200000000000000010000001100000005000000000000000120000000000000000276616c756509ff4905",
            "0103000000000000000200000000000000011519bb35f3de9d57a5dc10b3a6580de3e05b2153919766987d1bac71feb6149a1e1fe6bd",
        ]
    );
}

#[test]
fn a_stream_with_a_hole_a_swap_a_repetition_damage_or_no_end_is_refused() {
    let good = chunks(&sender());
    let disk = SimDisk::default();
    let receiver = open(&disk);
    write(&receiver, 1, 1, &[(1, Some("mine"))]);
    let mut bad: Vec<Vec<Bytes>> = Vec::new();
    for at in 0..good.len() {
        let mut hole = good.clone();
        hole.remove(at);
        let mut twice = good.clone();
        twice.insert(at, good[at].clone());
        let mut flipped = good.clone();
        let mut bytes = good[at].to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        flipped[at] = Bytes::from(bytes);
        let mut short = good.clone();
        short[at] = good[at].slice(..good[at].len() - 1);
        bad.extend([hole, twice, flipped, short, good[..at].to_vec()]);
        if at > 0 {
            let mut swapped = good.clone();
            swapped.swap(at - 1, at);
            bad.push(swapped);
        }
    }
    bad.push([good.clone(), vec![good[0].clone()]].concat());
    bad.push(vec![Bytes::from(vec![0; MAX_CHUNK_BYTES + 1])]);
    for stream in &bad {
        assert!(matches!(receive(&receiver, stream), Err(Error::SnapshotRefused(_))));
        assert_eq!(names(&disk), ["store.redb"], "what was refused is removed");
    }
    assert_eq!((receiver.mark(), contents(&receiver.begin_read()).len()), (mark(1), 1));
    receive(&receiver, &good).unwrap();
}

#[test]
fn a_chunk_of_a_newer_format_is_refused_by_name() {
    let receiver = open(&SimDisk::default());
    let mut chunk = chunks(&receiver)[0].to_vec();
    chunk[0] = 2;
    let body = chunk.len() - 4;
    let checksum = crc32c::crc32c(&chunk[..body]).to_be_bytes();
    chunk[body..].copy_from_slice(&checksum);
    let refused = receiver.receive_snapshot().unwrap().write(&chunk);
    assert!(matches!(refused, Err(Error::NewerFormat { found: 2, known: 1, .. })));
}

#[test]
fn keys_out_of_order_are_refused_though_every_checksum_is_right() {
    let receiver = open(&SimDisk::default());
    let (one, other) = (open(&SimDisk::default()), open(&SimDisk::default()));
    write(&one, 1, 5, &[(1, Some("a"))]);
    write(&other, 1, 4, &[(1, Some("a"))]);
    let (mut stream, more) = (chunks(&one), chunks(&other));
    let mut second = more[1].to_vec();
    second[2..10].copy_from_slice(&2u64.to_be_bytes());
    let body = second.len() - 4;
    let checksum = crc32c::crc32c(&second[..body]).to_be_bytes();
    second[body..].copy_from_slice(&checksum);
    stream.insert(2, Bytes::from(second));
    let refused = receive(&receiver, &stream).unwrap_err().to_string();
    assert!(refused.contains("event space=4 position=1 is out of order"), "{refused}");
}

#[test]
fn a_snapshot_is_not_installed_under_an_open_batch_and_may_be_tried_again() {
    let receiver = open(&SimDisk::default());
    let stream = chunks(&sender());
    let batch = receiver.begin_batch().unwrap();
    assert!(matches!(receive(&receiver, &stream), Err(Error::BatchOpen)));
    drop(batch);
    receive(&receiver, &stream).unwrap();
}

#[test]
fn a_snapshot_that_finds_no_room_fails_and_is_removed_instead_of_waiting() {
    let stream = chunks(&sender());
    let disk = SimDisk::default();
    let receiver = open(&disk);
    write(&receiver, 1, 1, &[(1, Some("mine"))]);
    receiver.persist().unwrap();
    // There is no room for the beginning of its file, or for the end of it.
    for begun in [false, true] {
        let (store, disk_of_it, stream) = (receiver.clone(), disk.clone(), stream.clone());
        let receiving = thread::spawn(move || {
            disk_of_it.set_full(!begun);
            let mut writer = store.receive_snapshot()?;
            stream.iter().try_for_each(|chunk| writer.write(chunk))?;
            disk_of_it.set_full(true);
            writer.finish().map(drop)
        });
        eventually("the refusal", || receiving.is_finished());
        let refused = receiving.join().unwrap().unwrap_err();
        assert!(matches!(refused, Error::Io { .. }), "{refused}");
        assert_eq!(names(&disk), ["store.redb"], "what takes the room is removed");
    }
    assert!(receiver.halted().is_none());
    assert_eq!((receiver.mark(), contents(&receiver.begin_read()).len()), (mark(1), 1));
    disk.set_full(false);
    receive(&receiver, &stream).unwrap();
}

#[test]
fn an_installed_snapshot_waits_for_room_and_the_file_before_it_does_not() {
    let stream = chunks(&sender());
    let disk = SimDisk::default();
    let receiver = open(&disk);
    write(&receiver, 1, 1, &[(1, Some("mine"))]);
    let mut writer = receiver.receive_snapshot().unwrap();
    stream.iter().for_each(|chunk| writer.write(chunk).unwrap());
    let received = writer.finish().unwrap();
    disk.set_full(true);
    // The file that is replaced writes when it is closed.
    let installing = thread::spawn({
        let store = receiver.clone();
        move || store.install(received)
    });
    eventually("the install", || installing.is_finished());
    installing.join().unwrap().unwrap();
    write(&receiver, 63, 1, &[(1, Some("after"))]);
    let before = disk.refused();
    let waiting = thread::spawn({
        let store = receiver.clone();
        move || store.persist()
    });
    eventually("a second try", || disk.refused() > before + 1);
    assert!(receiver.halted().is_none() && !waiting.is_finished());
    disk.set_full(false);
    waiting.join().unwrap().unwrap();
    assert_eq!(receiver.durable_mark(), mark(63));
}

#[test]
fn an_install_interrupts_a_flush() {
    let disk = SimDisk::default();
    let receiver = open(&disk);
    for index in 1..=40 {
        write(&receiver, index, index, &[(index, Some(&"x".repeat(500)))]);
    }
    let stream = chunks(&sender());
    let mut writer = receiver.receive_snapshot().unwrap();
    stream.iter().for_each(|chunk| writer.write(chunk).unwrap());
    let received = writer.finish().unwrap();
    disk.hold();
    let persisting = receiver.clone();
    let persist = thread::spawn(move || persisting.persist());
    disk.wait_for_held_sync();
    let installing = receiver.clone();
    let install = thread::spawn(move || installing.install(received));
    disk.release();
    install.join().unwrap().unwrap();
    assert!(persist.join().unwrap().unwrap().index >= 40);
    assert_eq!((receiver.mark(), receiver.durable()), (mark(62), 62));
    drop(receiver);
    assert_eq!(open(&disk).mark(), mark(62));
}

#[test]
fn a_crash_at_any_moment_of_an_install_leaves_the_old_state_or_the_new() {
    let sender = open(&SimDisk::default());
    write(&sender, 9, 2, &[(1, Some("new")), (2, Some("newer"))]);
    let stream = chunks(&sender);
    let (mut old, mut new) = (0, 0);
    for calls in 0..60 {
        let disk = SimDisk::default();
        let receiver = open(&disk);
        write(&receiver, 5, 1, &[(1, Some("old"))]);
        receiver.persist().unwrap();
        disk.die_after(calls);
        let installed = receive(&receiver, &stream).is_ok();
        drop(receiver);
        let disk = disk.survivor(&mut Random::new(calls));
        let store = open(&disk);
        let found = contents(&store.begin_read()).len();
        match store.mark().index {
            5 => assert!(found == 1 && !installed, "an installed snapshot is durable"),
            9 => assert_eq!(found, 2),
            other => panic!("mark {other}"),
        }
        *(if store.mark().index == 5 { &mut old } else { &mut new }) += 1;
        assert_eq!(names(&disk), ["store.redb"], "leftovers are removed at opening");
    }
    assert!(old > 5 && new > 5, "{old} {new}");
}

#[test]
fn a_sender_that_is_itself_replaying_says_which_spaces_are_ahead() {
    let mut mixed = 0;
    for at in (60..400).step_by(20) {
        let disk = SimDisk::default();
        disk.die_after(at);
        if scenario(&disk).is_ok() {
            continue;
        }
        let Ok(sender) = Store::open_on(Arc::new(disk.survivor(&mut Random::new(at))), options()) else {
            continue;
        };
        let Some(upto) = sender.begin_read().replaying_until() else {
            continue;
        };
        mixed += 1;
        let base = sender.mark().index;
        apply(&sender, base + 1, base + 5).unwrap();
        let disk = SimDisk::default();
        let receiver = open(&disk);
        receive(&receiver, &chunks(&sender)).unwrap();
        assert_eq!(
            (receiver.mark().index, receiver.begin_read().replaying_until()),
            (base + 5, Some(upto))
        );
        apply(&receiver, base + 6, base + 8).unwrap();
        receiver.persist().unwrap();
        drop(receiver);
        let receiver = recover(&disk, 120, &mut Random::new(at)).unwrap();
        assert_equals_model(&receiver, 120);
    }
    assert!(mixed > 2, "{mixed}");
}
