//! Torn tails: every byte offset of the last frames, every operation of a recovery, failing fdatasync.

use super::forgetful::Cut;
use super::*;
use crate::wal::frame::{FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES};
use crate::wal::scan::scan;
use crate::wal::segment::Segment;

/// The frames of a segment as (begin, end of the payload).
fn frames(disk: &Forgetful, sequence: u64) -> Vec<(usize, usize, FrameHeader)> {
    let log = crate::wal::identity::read_identity(disk, Path::new(DIR)).unwrap().unwrap();
    let segment = Segment::open(disk, segment_path(sequence), sequence, log).unwrap();
    let mut found = Vec::new();
    scan(&segment, |offset, header, _, _| {
        let end = offset + FRAME_HEADER_BYTES + u64::from(header.length);
        found.push((offset as usize, end as usize, *header));
        Ok(())
    })
    .unwrap();
    found
}

/// A log whose last segment is a recycled file, so that old frames lie behind its end. Returns it with the bytes of that file
/// in its earlier life.
fn recycled() -> (Forgetful, u64, Vec<u8>) {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    let old = |disk: &Forgetful| {
        disk.files()
            .into_iter()
            .find(|path| path.to_string_lossy().contains("spare-"))
    };
    // The keeper may take a spare at any moment: what was seen is read from a copy in which it stays. It makes new ones too,
    // which hold nothing of an earlier life, and are empty at first.
    let spare = || {
        old(&disk).and_then(|_| {
            let image = disk.image();
            let bytes = image.contents(&old(&image)?);
            bytes.contains(&7).then_some(bytes)
        })
    };
    let mut index = 0;
    let earlier = loop {
        if let Some(earlier) = spare() {
            break earlier;
        }
        append(&group, index, &[7; 150]);
        if index % 50 == 49 {
            purge(&group, index);
        }
        index += 1;
        assert!(index < 10_000, "a segment is recycled");
    };
    purge(&group, index - 1);
    (1..4).for_each(|round| append(&group, index + round - 1, format!("kept {round}").as_bytes()));
    // The last frames: an entry, a vote, and an entry over several sectors.
    append(&group, index + 3, b"the first of the last");
    vote(&group, b"a vote among the last");
    append(&group, index + 4, &[5; 420]);
    let disk = disk.power_cut(Cut::Clean);
    drop((wal, group));
    let last = disk
        .files()
        .iter()
        .filter_map(|path| crate::wal::segment::sequence_of(path.file_name()?.to_str()?))
        .max()
        .unwrap();
    let last = if frames(&disk, last).is_empty() { last - 1 } else { last };
    (disk, last, earlier)
}

/// The bytes of the last frames from `at` on become something else.
fn torn(kind: &str, bytes: &[u8], at: usize, end: usize, earlier: &[u8], random: &mut Random) -> Vec<u8> {
    let mut torn = bytes.to_vec();
    match kind {
        "cut" => torn.truncate(at),
        "zeroed" => torn[at..end].fill(0),
        "garbage" => torn[at..end].iter_mut().for_each(|byte| *byte = random.next() as u8),
        _ => torn[at..end].copy_from_slice(&earlier[at..end]),
    }
    torn
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_to_whole_frames_and_continued() {
    let (disk, last, earlier) = recycled();
    let path = segment_path(last);
    let bytes = disk.contents(&path);
    let frames = frames(&disk, last);
    let (first_torn, end) = (frames[frames.len() - 3].0, frames[frames.len() - 1].1);
    let before = {
        let (wal, _) = open(&disk.image());
        (wal.group(1).state(), all(&wal.group(1)))
    };
    let mut random = Random::new(1);
    for kind in ["cut", "zeroed", "garbage", "old bytes"] {
        for at in first_torn..end {
            let image = disk.image();
            let torn = torn(kind, &bytes, at, end, &earlier, &mut random);
            let whole = frames
                .iter()
                .filter(|(start, end, _)| torn.get(*start..*end) == Some(&bytes[*start..*end]))
                .count();
            image.put(&path, torn);
            let (wal, report) = open(&image);
            let group = wal.group(1);
            let missing = frames.len() - whole;
            let entries = before.1.len() - [0, 1, 1, 2][missing];
            assert_eq!(all(&group), before.1[..entries], "{kind} at {at}");
            assert_eq!(group.state().vote.is_some(), missing < 2, "{kind} at {at}");
            if let Some(cut) = report.cut {
                assert_eq!((&cut.file, cut.offset as usize), (&path, frames[whole].0), "{kind} at {at}");
            }
            append(&group, group.state().last.unwrap() + 1, b"continued");
            let expected = all(&group);
            drop((wal, group));
            assert_eq!(
                all(&open(&image.power_cut(Cut::Clean)).0.group(1)),
                expected,
                "{kind} at {at}"
            );
        }
    }
}

#[test]
fn frames_behind_a_torn_one_never_come_back() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    append(&group, 0, b"durable");
    // One batch that no fdatasync covers: the disk dies with it.
    disk.dies_after(1);
    let waiting: Vec<_> = (1..6)
        .map(|index| {
            let (done, waiting) = waiter();
            let _ = group.append_blocking(vec![entry(index, &[index as u8; 1000])], done);
            waiting
        })
        .collect();
    waiting.iter().for_each(|waiting| assert!(wait(waiting).is_err()));
    drop((wal, group));
    for seed in 0..300 {
        let image = disk.power_cut(Cut::Random(seed));
        let (wal, _) = open(&image);
        let kept = all(&wal.group(1)).len() as u64;
        assert!(kept >= 1);
        // New frames of the same sizes end where the lost ones ended.
        append(&wal.group(1), kept, &[0xee; 1000]);
        drop(wal);
        let (wal, report) = open(&image.power_cut(Cut::Clean));
        assert_eq!(wal.group(1).state().last, Some(kept), "seed {seed}");
        assert_eq!(report.cut, None, "seed {seed}: the first recovery wiped what was torn");
    }
}

#[test]
fn a_beginning_may_be_interrupted_anywhere_and_a_recovery_too() {
    // A new directory: at every operation, then again at every operation of the next attempt.
    for first in 0..14 {
        for second in 0..14 {
            for seed in 0..4 {
                let disk = Forgetful::default();
                let mut left = disk;
                for operations in [first, second] {
                    left.dies_after(operations);
                    drop(Wal::open(Path::new(DIR), small(), Arc::new(left.clone())));
                    left = left.power_cut(Cut::Random(seed));
                }
                let (wal, _) = open(&left);
                append(&wal.group(1), 0, b"it begins");
            }
        }
    }
    // A torn tail of many sectors, recovery interrupted at each of its operations.
    let (disk, last, _) = recycled();
    let path = segment_path(last);
    let frames = frames(&disk, last);
    let mut bytes = disk.contents(&path);
    bytes[frames[frames.len() - 3].0 + 40] ^= 1;
    let image = disk.image();
    // Without evidence that it was durable: the frames behind it say so, and must be of the same batch.
    image.put(&path, bytes);
    assert!(
        matches!(open_error(&image), WalError::Damaged { .. }),
        "the frames behind the torn one prove that it was durable"
    );
}

#[test]
fn a_recovery_interrupted_at_each_operation_ends_the_same() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    append(&wal.group(1), 0, b"durable");
    disk.dies_after(1);
    let (done, waiting) = waiter();
    let _ = wal
        .group(1)
        .append_blocking((1..20).map(|index| entry(index, &[index as u8; 700])).collect(), done);
    assert!(wait(&waiting).is_err());
    drop(wal);
    for seed in 0..60 {
        let mut left = disk.power_cut(Cut::Random(seed));
        let kept = all(&open(&left.image()).0.group(1));
        for operations in 0..6 {
            left.dies_after(operations);
            drop(Wal::open(Path::new(DIR), small(), Arc::new(left.clone())));
            left = left.power_cut(Cut::Random(seed + operations));
        }
        assert_eq!(all(&open(&left).0.group(1)), kept, "seed {seed}");
    }
}

#[test]
fn a_failed_fsync_is_final_and_nothing_of_it_is_acknowledged() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    append(&group, 0, b"durable");
    disk.fail_sync_of(".segment");
    let (done, waiting) = waiter();
    group.append_blocking(vec![entry(1, b"lost")], done).unwrap();
    assert!(wait(&waiting).is_err());
    // The disk would say yes now; the log must not ask.
    let operations = disk.operations();
    let (done, waiting) = waiter();
    assert!(matches!(
        group.save_vote_blocking(Bytes::from_static(b"vote"), done),
        Err(WalError::Stopped(_))
    ));
    assert!(wait(&waiting).unwrap_err().to_string().contains("the disk failed"));
    assert!(
        wal.stats()
            .stopped
            .unwrap()
            .contains("fsync /log/00000000000000000001.segment")
    );
    assert!(wal.clone().close().is_err());
    assert_eq!(disk.operations(), operations);
    drop((wal, group));
    assert_eq!(all(&open(&disk.power_cut(Cut::Clean)).0.group(1)), vec![entry(0, b"durable")]);
}

#[test]
fn a_committed_position_is_never_durable_before_what_was_submitted_before_it() {
    let mut met = 0;
    for operations in 0..8 {
        let disk = Forgetful::default();
        let (wal, _) = open(&disk);
        let group = wal.group(1);
        disk.hold_sync_of(Some(".segment"));
        group.append_blocking(vec![entry(0, b"held")], waiter().0).unwrap();
        eventually("the sync thread is busy", || disk.holds());
        // More than one batch.
        (1..5).for_each(|index| group.append_blocking(vec![entry(index, &[1; 3_000])], waiter().0).unwrap());
        group.save_committed(Bytes::from_static(b"4")).unwrap();
        disk.dies_after(operations);
        disk.hold_sync_of(None);
        eventually("it is over", || {
            wal.stats().stopped.is_some() || wal.stats().queued_bytes == 0
        });
        let left = disk.power_cut(Cut::Clean);
        drop((wal, group));
        let (wal, _) = open(&left);
        let state = wal.group(1).state();
        met += usize::from(state.committed.is_none() && state.last.is_some_and(|last| (1..4).contains(&last)));
        assert!(
            state.committed.is_none() || state.last == Some(4),
            "after {operations} operations: {state:?}"
        );
    }
    assert!(met > 0, "the power never went between two batches");
}

#[test]
fn nothing_is_released_before_the_next_segments_checkpoint_is_durable() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    vote(&group, b"in the first segment only");
    // Nothing in the first segment is live when the second one begins.
    let mut index = 0;
    while !disk.files().contains(&segment_path(2)) {
        append(&group, index, &[1; 500]);
        purge(&group, index);
        index += 1;
    }
    disk.hold_sync_of(Some("00000000000000000002.segment"));
    let mut waiting = Vec::new();
    while !disk.holds() {
        let (done, waits) = waiter();
        group
            .save_vote_blocking(Bytes::from_static(b"in the first segment only"), done)
            .unwrap();
        if waits.recv_timeout(Duration::from_millis(200)).is_err() {
            waiting.push(waits);
        }
    }
    // The sync thread is in the second segment's first fdatasync; the keeper has had its look.
    keeper_looks(&wal);
    for seed in 0..20 {
        let left = disk.image_after_power_cut(Cut::Random(seed));
        let vote = open(&left).0.group(1).state().vote;
        assert_eq!(vote, Some(Bytes::from_static(b"in the first segment only")), "seed {seed}");
    }
    disk.hold_sync_of(None);
    assert!(waiting.iter().all(|waits| wait(waits).is_ok()));
    eventually("then it is released", || {
        keeper_looks(&wal);
        !disk.files().contains(&segment_path(1))
    });
}

#[test]
fn a_segment_whose_checkpoint_was_torn_is_begun_again_and_may_become_the_oldest() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    (0..5).for_each(|id| vote(&wal.group(id), format!("vote of {id}").as_bytes()));
    (0..130).for_each(|index| append(&wal.group(1), index, &[9; 600]));
    drop(wal);
    let path = segment_path(2);
    let found = frames(&disk, 2);
    let last = found
        .iter()
        .position(|(_, _, header)| header.kind == crate::wal::frame::Kind::CheckpointEnd as u8)
        .unwrap();
    assert_eq!(last, 5);
    for torn in 0..=last {
        let image = disk.image();
        let mut bytes = image.contents(&path);
        let end = found.last().unwrap().1;
        bytes[found[torn].0..end].fill(0);
        image.put(&path, bytes);
        let (wal, _) = open(&image);
        let last = wal.group(1).state().last.unwrap();
        // What was in the first segment is all there; then it goes.
        purge(&wal.group(1), last);
        append(&wal.group(1), last + 1, b"on");
        eventually("the first segment is released", || {
            keeper_looks(&wal);
            !image.files().contains(&segment_path(1))
        });
        drop(wal);
        let (wal, report) = open(&image.power_cut(Cut::Clean));
        assert_eq!((report.cut, wal.groups().len()), (None, 5));
        assert_eq!(wal.group(4).state().vote, Some(Bytes::from_static(b"vote of 4")));
        assert_eq!(all(&wal.group(1)), vec![entry(last + 1, b"on")]);
    }
}

#[test]
fn only_the_header_of_the_first_segment_is_written_before_it_is_needed() {
    let disk = Forgetful::default();
    drop(open(&disk));
    assert_eq!(frames(&disk, 1).first().unwrap().0 as u64, SEGMENT_HEADER_BYTES);
}
