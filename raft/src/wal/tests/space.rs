//! A log that is full, by its own bound or by the disk's: entries are refused, votes are not, and nothing is lost.

use super::forgetful::Cut;
use super::*;

const SEGMENT_BYTES: u64 = 64 << 10;

/// Appends until the log is full; returns the number of entries.
fn fill(group: &GroupLog) -> u64 {
    let first = group.state().last.map_or(0, |last| last + 1);
    for index in first..100_000 {
        let (done, waiting) = waiter();
        match group.append_blocking(vec![entry(index, &[index as u8; 2_000])], done) {
            Ok(()) => drop(wait(&waiting).unwrap()),
            Err(WalError::Full(_)) => {
                assert_eq!(wait(&waiting).unwrap_err().kind(), io::ErrorKind::StorageFull);
                return index;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the log has no bound");
}

fn full_log_takes_votes_and_goes_on_after_a_purge(space_bytes: Option<u64>) {
    let disk = Forgetful::default();
    disk.limit_space(space_bytes);
    let (wal, _) = open(&disk);
    let (group, other) = (wal.group(1), wal.group(2));
    append(&other, 0, b"of another group");
    let count = fill(&group);
    assert!(wal.stats().full.is_some() && wal.stats().stopped.is_none());
    assert_eq!(group.state().last, Some(count - 1));
    eventually("nothing waits", || wal.stats().queued_bytes == 0);
    (0..20).for_each(|term: u8| vote(&other, &[term]));
    vote(&group, b"while full");
    // A crash while full: it opens, is still full, has the votes.
    let expected = (group.state(), all(&group));
    let left = disk.power_cut(Cut::Random(7));
    left.limit_space(space_bytes);
    drop((wal, group, other));
    let (wal, _) = open(&left);
    let (group, other) = (wal.group(1), wal.group(2));
    assert_eq!((group.state(), all(&group)), expected);
    assert_eq!(other.state().vote, Some(Bytes::from_static(&[19])));
    let refused = (0..40).any(|ahead| {
        group
            .append_blocking(vec![entry(count + ahead, &[1; 2_000])], waiter().0)
            .is_err()
    });
    assert!(refused, "it is still full");
    // Purging makes room.
    purge(&group, count - 3);
    eventually("there is room again", || {
        let next = group.state().last.unwrap() + 1;
        let (done, waiting) = waiter();
        group.append_blocking(vec![entry(next, &[1; 2_000])], done).is_ok() && wait(&waiting).is_ok()
    });
    (0..200).for_each(|_| {
        let next = group.state().last.unwrap() + 1;
        append(&group, next, &[2; 2_000]);
        purge(&group, next - 2);
    });
    assert_eq!(all(&other), vec![entry(0, b"of another group")]);
    assert!(left.used_bytes() <= 19 * SEGMENT_BYTES, "{}", left.used_bytes());
}

#[test]
fn a_log_at_its_bound_refuses_entries_and_recovers_by_purging() {
    full_log_takes_votes_and_goes_on_after_a_purge(None);
}

#[test]
fn a_full_disk_refuses_entries_and_recovers_by_purging() {
    for extra in [0, 1_000, 40_000] {
        full_log_takes_votes_and_goes_on_after_a_purge(Some(5 * SEGMENT_BYTES + extra));
    }
}

#[test]
fn space_that_returns_is_found_without_a_restart() {
    let disk = Forgetful::default();
    disk.limit_space(Some(4 * SEGMENT_BYTES));
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    let count = fill(&group);
    assert!(wal.stats().full.unwrap().contains("no space on the disk"));
    disk.limit_space(None);
    eventually("the space is found", || wal.stats().full.is_none());
    append(&group, count, b"again");
}

#[test]
fn votes_that_use_up_the_headroom_stop_the_log_with_a_reason_and_lose_nothing() {
    let disk = Forgetful::default();
    disk.limit_space(Some(3 * SEGMENT_BYTES));
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    let count = fill(&group);
    let mut acknowledged = None;
    for number in 0..100_000_u64 {
        let (done, waiting) = waiter();
        let vote = Bytes::from(number.to_le_bytes().to_vec());
        let _ = group.save_vote_blocking(vote.clone(), done);
        if let Err(error) = wait(&waiting) {
            assert!(error.to_string().contains("full"), "{error}");
            break;
        }
        acknowledged = Some(vote);
    }
    assert!(wal.stats().stopped.unwrap().contains("the log is full"));
    assert!(acknowledged.is_some());
    drop((wal, group));
    let left = disk.power_cut(Cut::Clean);
    let (wal, _) = open(&left);
    assert_eq!(wal.group(1).state().vote, acknowledged);
    assert_eq!(wal.group(1).state().last, Some(count - 1));
}

#[test]
fn a_process_without_file_descriptors_waits_for_some_and_goes_on() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    append(&group, 0, b"before");
    disk.take_descriptors(true);
    let count = fill(&group);
    assert!(
        wal.stats().full.is_some_and(|why| why.contains("no file descriptor")),
        "{:?}",
        wal.stats()
    );
    assert!(wal.stats().stopped.is_none(), "{:?}", wal.stats());
    disk.take_descriptors(false);
    eventually("there is room again", || {
        let (done, waiting) = waiter();
        let next = group.state().last.map_or(0, |last| last + 1);
        group.append_blocking(vec![entry(next, &[1; 2_000])], done).is_ok() && wait(&waiting).is_ok()
    });
    assert!(group.state().last >= Some(count - 1) && wal.stats().stopped.is_none());
}
