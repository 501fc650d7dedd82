//! Waiting for room: without the thread, and no longer than until there is enough.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

#[test]
fn an_append_that_waits_for_the_disk_leaves_its_thread_alone() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    disk.hold_sync_of(Some(".segment"));
    (0..4).for_each(|index| group.append_blocking(vec![entry(index, &[1; 4_000])], waiter().0).unwrap());
    let mut context = Context::from_waker(Waker::noop());
    let (done, waiting) = waiter();
    let mut fifth = pin!(group.append(vec![entry(4, &[1; 4_000])], done));
    assert!(fifth.as_mut().poll(&mut context).is_pending());
    assert_eq!(group.state().last, Some(3), "nothing has changed");
    {
        // One that is given up leaves nothing behind.
        let given_up = pin!(group.save_vote(Bytes::from(vec![7; 1_000]), waiter().0));
        assert!(given_up.poll(&mut context).is_pending());
    }
    disk.hold_sync_of(None);
    block_on(fifth).unwrap();
    wait(&waiting).unwrap();
    assert_eq!((group.state().last, group.state().vote), (Some(4), None));
    eventually("all room is given back", || wal.stats().queued_bytes == 0);
}

#[test]
fn an_append_goes_ahead_as_soon_as_enough_is_prewritten() {
    let disk = Forgetful::default();
    // The keeper's work on the first segment: it prewrites in several steps.
    disk.hold_sync_of(Some("00000000000000000001.segment"));
    let options = LogOptions {
        segment_bytes: 8 << 20,
        max_bytes: 64 << 20,
        ..LogOptions::default()
    };
    let (wal, _) = Wal::open(Path::new(DIR), options, Arc::new(disk.clone())).unwrap();
    let group = wal.group(1);
    let mut context = Context::from_waker(Waker::noop());
    let (done, waiting) = waiter();
    let mut append = pin!(group.append(vec![entry(0, &[1; 1 << 20])], done));
    assert!(append.as_mut().poll(&mut context).is_pending(), "only half of that is there");
    disk.let_syncs_pass(1);
    eventually("it is taken, while the keeper is in its second step", || {
        matches!(append.as_mut().poll(&mut context), Poll::Ready(Ok(())))
    });
    eventually("the keeper is in its second step", || disk.holds());
    disk.hold_sync_of(None);
    wait(&waiting).unwrap();
}
