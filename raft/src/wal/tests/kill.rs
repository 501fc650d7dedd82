//! A process that is killed, and only then a power cut: what was read in the page cache must not be taken for durable.

use super::forgetful::Cut;
use super::*;

/// What a log says of group 1.
fn found(disk: &Forgetful) -> (super::super::options::LogState, Vec<LogEntry>) {
    let (wal, _) = open(disk);
    (wal.group(1).state(), all(&wal.group(1)))
}

/// Ten durable entries, and an eleventh that is written while its fdatasync does not return.
fn with_a_written_entry() -> (Forgetful, Wal) {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    (0..10).for_each(|index| append(&wal.group(1), index, &[index as u8; 300]));
    disk.hold_sync_of(Some(".segment"));
    wal.group(1)
        .append_blocking(vec![entry(10, &[10; 1_500])], waiter().0)
        .unwrap();
    eventually("the entry is written", || disk.holds());
    (disk, wal)
}

#[test]
fn what_a_killed_process_left_in_the_page_cache_is_durable_once_it_was_read() {
    let (disk, wal) = with_a_written_entry();
    for seed in 0..20 {
        let killed = disk.kill();
        let (next, report) = open(&killed);
        assert_eq!((next.group(1).state().last, report.cut), (Some(10), None));
        // A follower acknowledges it now, without another write.
        let left = killed.power_cut(Cut::Random(seed));
        drop(next);
        assert_eq!(found(&left).1.len(), 11, "seed {seed}");
        assert_eq!(found(&killed.image_after_power_cut(Cut::Clean)).1.len(), 11);
    }
    drop(wal);
}

#[test]
fn what_a_failed_fsync_left_in_the_page_cache_is_durable_once_it_was_read() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    append(&wal.group(1), 0, b"durable");
    disk.fail_sync_of(".segment");
    let (done, waiting) = waiter();
    wal.group(1).append_blocking(vec![entry(1, &[1; 2_000])], done).unwrap();
    assert!(wait(&waiting).is_err());
    // The kernel has the pages, takes them for clean, and would call another fdatasync of them done.
    let killed = disk.kill();
    let (next, _) = open(&killed);
    assert_eq!(next.group(1).state().last, Some(1));
    assert_eq!(found(&killed.power_cut(Cut::Clean)).1.len(), 2);
}

#[test]
fn a_seal_that_was_only_in_the_page_cache_is_durable_before_its_successor_is_written() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    let mut index = 0;
    while !disk.files().contains(&segment_path(2)) {
        append(&group, index, &[1; 500]);
        index += 1;
    }
    // Until the seal of the first segment is written, and its fdatasync does not return.
    let sealed = |disk: &Forgetful| {
        let log = crate::wal::identity::read_identity(disk, Path::new(DIR)).unwrap().unwrap();
        let segment = crate::wal::segment::Segment::open(disk, segment_path(1), 1, log).unwrap();
        let end = crate::wal::scan::scan(&segment, |_, _, _, _| Ok(()));
        matches!(end.unwrap(), crate::wal::scan::End::Sealed { .. })
    };
    loop {
        disk.hold_sync_of(Some("00000000000000000001.segment"));
        group.append_blocking(vec![entry(index, &[1; 500])], waiter().0).unwrap();
        eventually("it is written", || disk.holds());
        if sealed(&disk) {
            break;
        }
        disk.hold_sync_of(None);
        eventually("it goes on", || wal.stats().queued_bytes == 0);
        index += 1;
    }
    for seed in 0..20 {
        let killed = disk.kill();
        let (next, _) = open(&killed);
        let last = next.group(1).state().last.unwrap();
        append(&next.group(1), last + 1, b"in the next segment");
        let expected = all(&next.group(1));
        let cut = if seed == 0 { Cut::Clean } else { Cut::Random(seed) };
        let left = killed.power_cut(cut);
        drop(next);
        assert_eq!(found(&left).1, expected, "seed {seed}");
    }
}

#[test]
fn a_name_that_a_killed_process_left_is_durable_before_it_is_relied_on() {
    // A process is killed after each of its operations; the next one appends; then the power goes.
    for operations in 0..60 {
        let disk = Forgetful::default();
        disk.dies_after(operations);
        if let Ok((wal, _)) = Wal::open(Path::new(DIR), small(), Arc::new(disk.clone())) {
            for index in 0..200 {
                let (done, waiting) = waiter();
                if wal.group(1).append_blocking(vec![entry(index, &[2; 3_000])], done).is_err() || wait(&waiting).is_err() {
                    break;
                }
            }
        }
        let killed = disk.kill();
        let (wal, _) = open(&killed);
        let group = wal.group(1);
        for _ in 0..30 {
            let next = group.state().last.map_or(0, |last| last + 1);
            append(&group, next, &[3; 3_000]);
        }
        let expected = all(&group);
        let left = killed.power_cut(Cut::Clean);
        drop((wal, group));
        assert_eq!(found(&left).1, expected, "killed after {operations} operations");
    }
}
