//! The log on a healthy disk.

use std::sync::Mutex;

use super::*;
use crate::wal::RealDisk;
use crate::wal::options::LogState;

#[test]
fn what_is_appended_is_readable_at_once_and_after_opening_again() {
    let disk = Forgetful::default();
    let (wal, report) = open(&disk);
    assert_eq!((report.segments, report.groups, report.cut), (1, 0, None));
    let group = wal.group(7);
    assert_eq!(group.state(), LogState::default());
    let (done, waiting) = waiter();
    group
        .append_blocking(
            (0..50)
                .map(|index| entry(index, format!("entry {index}").as_bytes()))
                .collect(),
            done,
        )
        .unwrap();
    assert_eq!(all(&group).len(), 50);
    wait(&waiting).unwrap();
    vote(&group, b"vote 3");
    group.save_committed(Bytes::from_static(b"committed 40")).unwrap();
    purge(&group, 9);
    let before = group.state();
    assert_eq!(
        (before.first, before.last, before.last_bytes.clone()),
        (10, Some(49), Some(Bytes::from_static(b"entry 49")))
    );
    wal.close().unwrap();
    let refused = group.append_blocking(vec![entry(50, b"")], waiter().0);
    assert!(matches!(refused, Err(WalError::Stopped(_))));
    drop(group);

    let (wal, report) = open(&disk);
    assert_eq!((report.groups, report.cut), (1, None));
    assert_eq!(wal.groups(), vec![7]);
    let group = wal.group(7);
    assert_eq!(group.state(), before);
    assert_eq!(
        group
            .read(12, 15, usize::MAX)
            .unwrap()
            .iter()
            .map(|entry| entry.index)
            .collect::<Vec<_>>(),
        vec![12, 13, 14]
    );
    assert_eq!(group.read(12, 30, 1).unwrap(), vec![entry(12, b"entry 12")], "at least one");
    assert_eq!(all(&group).len(), 40);
    append(&group, 50, b"more");
    assert_eq!(
        group.read(49, 60, usize::MAX).unwrap(),
        vec![entry(49, b"entry 49"), entry(50, b"more")]
    );
}

#[test]
fn entries_must_continue_the_log_and_an_error_changes_nothing() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    append(&group, 5, b"an empty log may begin anywhere");
    let (done, waiting) = waiter();
    let error = group.append_blocking(vec![entry(7, b"")], done).unwrap_err();
    assert!(matches!(
        error,
        WalError::OutOfOrder {
            group: 1,
            expected: 6,
            found: 7
        }
    ));
    assert!(wait(&waiting).is_err());
    let (done, waiting) = waiter();
    assert!(matches!(
        group.append_blocking(vec![entry(6, &[0; 20 << 10])], done),
        Err(WalError::TooLarge { .. })
    ));
    assert!(wait(&waiting).is_err());
    assert_eq!((group.state().first, group.state().last), (5, Some(5)));
    eventually("the room is given back", || wal.stats().queued_bytes == 0);
}

#[test]
fn truncating_and_purging_beyond_the_end_leave_what_raft_expects() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    (0..100).for_each(|index| append(&group, index, &[index as u8; 100]));
    let (done, waiting) = waiter();
    // The tail in memory is 20 entries long: entry 30 comes from the disk.
    group.truncate_after_blocking(Some(30), done).unwrap();
    assert_eq!(
        (group.state().last, group.state().last_bytes),
        (Some(30), Some(Bytes::from(vec![30; 100])))
    );
    wait(&waiting).unwrap();
    append(&group, 31, b"again");
    purge(&group, 200);
    assert_eq!(
        (group.state().first, group.state().last, group.state().last_bytes),
        (201, None, None)
    );
    let (done, waiting) = waiter();
    group.truncate_after_blocking(None, done).unwrap();
    wait(&waiting).unwrap();
    append(&group, 201, b"after the snapshot");
    purge(&group, 150);
    assert_eq!(group.state().purged, Some((200, Bytes::from_static(b"purged 200"))));
    let before = group.state();
    drop((wal, group));
    let (wal, _) = open(&disk);
    assert_eq!(wal.group(1).state(), before);
    assert_eq!(all(&wal.group(1)), vec![entry(201, b"after the snapshot")]);
}

#[test]
fn callbacks_come_once_and_in_the_order_of_submission_over_all_groups() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let order = Arc::new(Mutex::new(Vec::new()));
    for number in 0..500_u64 {
        let order = order.clone();
        let done: Done = Box::new(move |result| order.lock().unwrap().push((number, result.is_ok())));
        let group = wal.group(number % 5);
        match number % 3 {
            0 => group
                .save_vote_blocking(Bytes::from(number.to_le_bytes().to_vec()), done)
                .unwrap(),
            _ => group
                .append_blocking(vec![entry(group.state().last.map_or(0, |last| last + 1), b"x")], done)
                .unwrap(),
        }
    }
    wal.clone().close().unwrap();
    assert_eq!(
        *order.lock().unwrap(),
        (0..500).map(|number| (number, true)).collect::<Vec<_>>()
    );
    let stats = wal.stats();
    assert!(stats.fsyncs < 500 && stats.frames >= 500, "{stats:?}");
}

#[test]
fn a_callback_that_panics_or_drops_the_last_handle_does_not_end_the_log() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    group
        .save_vote_blocking(Bytes::new(), Box::new(|_| panic!("a fault of the caller")))
        .unwrap();
    append(&group, 0, b"still there");
    let (sender, receiver) = sync_channel(1);
    let last = group.clone();
    let done: Done = Box::new(move |_| {
        drop(last);
        let _ = sender.send(());
    });
    group.save_vote_blocking(Bytes::new(), done).unwrap();
    drop((wal, group));
    receiver.recv_timeout(DEADLINE).unwrap();
}

#[test]
fn old_segments_are_recycled_and_an_idle_group_does_not_pin_them() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let (idle, busy) = (wal.group(1), wal.group(2));
    (0..10).for_each(|index| append(&idle, index, format!("idle {index}").as_bytes()));
    vote(&idle, b"an old vote");
    for index in 0..3000 {
        append(&busy, index, &[index as u8; 1000]);
        if index % 20 == 19 {
            purge(&busy, index - 5);
        }
    }
    eventually("old segments go", || wal.stats().segments <= 6);
    let stats = wal.stats();
    assert!(stats.copied >= 10, "{stats:?}");
    assert!(
        disk.used_bytes() < 12 * (64 << 10),
        "3 MB went through {} bytes of files",
        disk.used_bytes()
    );
    let check = |wal: &Wal| {
        assert_eq!(all(&wal.group(1)).len(), 10);
        assert_eq!(all(&wal.group(1))[9], entry(9, b"idle 9"));
        assert_eq!(wal.group(1).state().vote, Some(Bytes::from_static(b"an old vote")));
        assert_eq!(all(&wal.group(2)).last(), Some(&entry(2999, &[183; 1000])));
    };
    check(&wal);
    drop((wal, idle, busy));
    check(&open(&disk).0);
}

#[test]
fn a_real_directory_is_locked_stays_small_and_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node").join("log");
    let (wal, _) = Wal::open(&path, LogOptions::default(), Arc::new(RealDisk)).unwrap();
    let second = Wal::open(&path, LogOptions::default(), Arc::new(RealDisk));
    assert!(matches!(second, Err(WalError::Locked { .. })));
    append(&wal.group(3), 0, b"to stay");
    let bytes: u64 = std::fs::read_dir(&path)
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= 4 << 20, "a quiet log takes {bytes} bytes");
    wal.close().unwrap();
    let (wal, report) = Wal::open(&path, LogOptions::default(), Arc::new(RealDisk)).unwrap();
    assert_eq!((all(&wal.group(3)), report.cut), (vec![entry(0, b"to stay")], None));
}
