//! Bits that flip and files that vanish: refused with file and offset, never served.

use super::forgetful::Cut;
use super::*;

/// Some full segments and an active one, at rest after an orderly end.
fn several_segments() -> Forgetful {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    (0..300).for_each(|index| append(&wal.group(1), index, &[index as u8; 600]));
    vote(&wal.group(2), b"vote");
    wal.close().unwrap();
    assert!(disk.files().contains(&segment_path(3)));
    disk
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_matters() {
    let disk = several_segments();
    let mut random = Random::new(3);
    for sequence in 1..=3 {
        let path = segment_path(sequence);
        let bytes = disk.contents(&path);
        // Beyond the last frame there is nothing to damage.
        let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let mut refused = 0;
        for _ in 0..150 {
            let at = random.below(used as u64) as usize;
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << random.below(8);
            let image = disk.image();
            image.put(&path, flipped);
            match Wal::open(Path::new(DIR), small(), Arc::new(image)) {
                Err(WalError::Damaged { file, offset, .. }) => {
                    assert_eq!(file, path);
                    assert!(offset <= at as u64 && at as u64 <= offset + 1200, "{at} is not near {offset}");
                    refused += 1;
                }
                Err(WalError::NewerFormat { .. }) => refused += 1,
                Err(error) => panic!("byte {at} of segment {sequence}: {error}"),
                // Padding, or the unused rest of the first sector, or the note of the orderly end.
                Ok((wal, _)) => assert_eq!(all(&wal.group(1)).len(), 300, "byte {at} of segment {sequence}"),
            }
        }
        assert!(refused > 120, "{refused} of 150 in segment {sequence}");
    }
}

#[test]
fn missing_and_exchanged_files_are_refused_by_name() {
    let disk = several_segments();
    let refused = |change: &dyn Fn(&Forgetful)| {
        let image = disk.image();
        change(&image);
        open_error(&image).to_string()
    };
    let without = |sequence| refused(&|image: &Forgetful| image.delete(&segment_path(sequence)));
    assert!(without(1).contains("entry 0 of group 1 is live"), "{}", without(1));
    assert!(
        without(2).contains("00000000000000000002.segment is damaged at byte 0: the file is missing"),
        "{}",
        without(2)
    );
    let newest = disk
        .files()
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with(".segment"))
        .max()
        .unwrap();
    assert!(refused(&|image| image.put(&segment_path(1), image.contents(&segment_path(2)))).contains("under another's name"));
    assert!(refused(&|image| image.put(&segment_path(1), Vec::new())).contains("does not begin as a segment"));
    assert!(refused(&|image| image.delete(&Path::new(DIR).join("FORMAT"))).contains("FORMAT"));
    assert!(refused(&|image| image.put(&Path::new(DIR).join("FORMAT"), b"x".to_vec())).contains("does not say"));
    let emptied = refused(&|image| (1..=20).for_each(|sequence| image.delete(&segment_path(sequence))));
    assert!(emptied.contains("all segments are gone"), "{emptied}");
    // A sealed segment proves that there was a successor.
    let lost = refused(&|image: &Forgetful| {
        image.delete(&newest);
        if newest == segment_path(4) {
            image.delete(&segment_path(3));
        }
    });
    assert!(lost.contains("which is missing"), "{lost}");
}

#[test]
fn damage_that_comes_while_the_log_is_open_is_found_when_it_is_read() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    (0..50).for_each(|index| append(&group, index, &[index as u8; 300]));
    let mut bytes = disk.contents(&segment_path(1));
    let at = bytes.windows(300).position(|window| window == [20; 300]).unwrap();
    bytes[at + 100] ^= 4;
    disk.put(&segment_path(1), bytes);
    let error = group.read(20, 21, 1).unwrap_err();
    assert!(matches!(&error, WalError::Damaged { file, offset, .. } if *file == segment_path(1) && *offset == at as u64 - 36));
    assert!(error.to_string().contains("entry 20 of group 1"), "{error}");
    assert_eq!(group.read(19, 20, 1).unwrap(), vec![entry(19, &[19; 300])]);
    assert_eq!(group.read(49, 50, 1).unwrap(), vec![entry(49, &[49; 300])]);
}

#[test]
fn damage_in_the_last_batch_is_found_after_an_orderly_end() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    append(&wal.group(1), 0, b"first");
    append(&wal.group(1), 1, b"the very last");
    let flip = |image: &Forgetful| {
        let mut bytes = image.contents(&segment_path(1));
        let at = bytes.windows(13).position(|window| window == b"the very last").unwrap();
        bytes[at] ^= 1;
        image.put(&segment_path(1), bytes);
    };
    // After a power cut it cannot be told from a torn write ...
    let cut = disk.image().power_cut(Cut::Clean);
    flip(&cut);
    assert_eq!(all(&open(&cut).0.group(1)), vec![entry(0, b"first")]);
    // ... after an orderly end it can.
    wal.close().unwrap();
    flip(&disk);
    assert!(open_error(&disk).to_string().contains("had been durable"));
}

#[test]
fn a_log_whose_only_segment_lost_its_checkpoint_is_not_begun_again() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    vote(&group, b"a vote to keep");
    let mut index = 0;
    while disk.files().contains(&segment_path(1)) {
        append(&group, index, &[1; 900]);
        purge(&group, index);
        keeper_looks(&wal);
        index += 1;
    }
    drop((wal, group));
    let path = segment_path(2);
    assert_eq!(
        open(&disk.image()).0.group(1).state().vote,
        Some(Bytes::from_static(b"a vote to keep"))
    );
    // From its first sector on, or from the middle of its checkpoint.
    for from in [512, 560] {
        let image = disk.image();
        let mut bytes = image.contents(&path);
        bytes[from..].fill(0);
        image.put(&path, bytes);
        let error = open_error(&image);
        assert!(matches!(&error, WalError::Damaged { file, .. } if *file == path), "{error}");
        assert!(error.to_string().contains("no complete checkpoint"), "{error}");
    }
}
