use std::cell::Cell;
use std::fs;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};

use super::*;

const SPACE: Space = Space(7);

fn blobs() -> (tempfile::TempDir, Blobs) {
    let dir = tempfile::tempdir().expect("a directory");
    let blobs = Blobs::open(&dir.path().join("blobs")).expect("blobs");
    (dir, blobs)
}

#[test]
fn a_chunk_is_what_was_put_and_another_space_has_none_of_it() {
    let (dir, blobs) = blobs();
    let hash = blobs.put(SPACE, b"some bytes").expect("kept");
    assert_eq!(hash, *blake3::hash(b"some bytes").as_bytes());
    assert_eq!(blobs.put(SPACE, b"some bytes").expect("kept"), hash);
    assert_eq!(&blobs.get(SPACE, &hash).expect("there")[..], b"some bytes");
    assert!(blobs.has(SPACE, &hash) && !blobs.has(Space(8), &hash));
    assert!(matches!(blobs.get(Space(8), &hash), Err(BlobError::Missing(_))));
    let name = hex(&hash);
    let path = dir.path().join("blobs/0000000000000007").join(&name[..2]).join(&name);
    assert_eq!(fs::read(path).expect("the documented place"), b"some bytes");
    assert_eq!(unhex(&name), Some(hash));
    assert_eq!(unhex(&name.to_uppercase()), None);
    let long = vec![0; CHUNK_BYTES + 1];
    assert!(matches!(blobs.put(SPACE, &long), Err(BlobError::TooLong(_))));
    assert_eq!(blobs.spaces().expect("spaces"), [SPACE]);
}

#[test]
fn a_rotten_chunk_is_not_given_out_and_the_right_bytes_take_its_place() {
    let (_dir, blobs) = blobs();
    let hash = blobs.put(SPACE, b"some bytes").expect("kept");
    let path = blobs.path(SPACE, &hash);
    for rotten in [&b"some byteS"[..], b"some byte", b""] {
        fs::write(&path, rotten).expect("damaged");
        assert!(matches!(blobs.get(SPACE, &hash), Err(BlobError::Rotten(_))));
        assert_eq!(blobs.put(SPACE, b"some bytes").expect("kept"), hash);
        assert_eq!(&blobs.get(SPACE, &hash).expect("right again")[..], b"some bytes");
    }
}

#[test]
fn what_is_wanted_is_not_removed_and_what_is_not_is() {
    let (_dir, blobs) = blobs();
    let hash = blobs.put(SPACE, b"some bytes").expect("kept");
    let wanted = blobs.list(SPACE, hash[0]).expect("a list")[0].wanted;
    assert!(!blobs.remove_older(SPACE, &hash, wanted).expect("looked at"), "not older");
    assert!(blobs.remove_older(SPACE, &hash, wanted + 1).expect("removed"));
    assert!(!blobs.remove_older(SPACE, &hash, wanted + 1).expect("looked at"), "not there");
    assert!(blobs.list(SPACE, hash[0]).expect("a list").is_empty());
    // Putting what is there makes it wanted again.
    blobs.put(SPACE, b"some bytes").expect("kept");
    let old = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec { tv_sec: 5, tv_nsec: 0 },
    };
    utimensat(CWD, blobs.path(SPACE, &hash), &old, AtFlags::empty()).expect("made old");
    assert_eq!(blobs.list(SPACE, hash[0]).expect("a list")[0].wanted, 5);
    blobs.put(SPACE, b"some bytes").expect("kept");
    assert!(!blobs.remove_older(SPACE, &hash, 6).expect("looked at"), "it is wanted");
    assert!(blobs.remove_older(SPACE, &hash, i64::MAX).expect("removed"));
    blobs.remove_empty(SPACE);
    assert!(blobs.spaces().expect("spaces").is_empty());
}

#[test]
fn what_a_crash_left_unfinished_is_swept_away() {
    let (dir, blobs) = blobs();
    let hash = blobs.put(SPACE, b"some bytes").expect("kept");
    let unfinished = blobs.space(SPACE).join("new-9");
    fs::write(&unfinished, b"some by").expect("left");
    let again = Blobs::open(&dir.path().join("blobs")).expect("blobs");
    assert!(!unfinished.exists());
    assert_eq!(&again.get(SPACE, &hash).expect("there")[..], b"some bytes");
}

thread_local! {
    /// Directories cannot be synced on this thread.
    static FAILS: Cell<bool> = const { Cell::new(false) };
}

fn failing(directory: &Path) -> Result<(), BlobError> {
    match FAILS.get() {
        true => Err(failed("sync the directory", directory)(io::Error::other("the disk failed"))),
        false => sync(directory),
    }
}

#[test]
fn a_chunk_that_is_there_is_kept_only_once_its_directory_was_synced() {
    let (dir, mut blobs) = blobs();
    blobs.durable = Arc::new(Durable::new(failing));
    FAILS.set(true);
    for _ in 0..2 {
        assert!(matches!(blobs.put(SPACE, b"some bytes"), Err(BlobError::Disk { .. })));
    }
    let name = *blake3::hash(b"some bytes").as_bytes();
    assert!(!blobs.has(SPACE, &name), "not for good");
    FAILS.set(false);
    assert!(blobs.has(SPACE, &name), "now it is");
    let hash = blobs.put(SPACE, b"some bytes").expect("kept");
    FAILS.set(true);
    assert_eq!(blobs.put(SPACE, b"some bytes").expect("known to be kept"), hash);

    // A process that has just started knows nothing of what the one before had synced.
    let mut again = Blobs::open(&dir.path().join("blobs")).expect("blobs");
    again.durable = Arc::new(Durable::new(failing));
    assert!(matches!(again.put(SPACE, b"some bytes"), Err(BlobError::Disk { .. })));

    // Another name in the directory that is not durable: now nothing of it is known.
    let mut others = (0_u32..).map(u32::to_be_bytes);
    let other = others
        .find(|bytes| blake3::hash(bytes).as_bytes()[0] == hash[0])
        .expect("one of them");
    assert!(blobs.put(SPACE, &other).is_err());
    assert!(blobs.put(SPACE, b"some bytes").is_err());
    FAILS.set(false);
    blobs.put(SPACE, &other).expect("kept");
    FAILS.set(true);
    blobs.put(SPACE, b"some bytes").expect("known to be kept");
}

#[test]
fn a_directory_that_was_removed_is_not_known_any_more() {
    let (_dir, blobs) = blobs();
    let hash = blobs.put(SPACE, b"some bytes").expect("kept");
    assert!(blobs.durable.is_known(SPACE, hash[0]));
    blobs.remove_empty(SPACE);
    assert!(blobs.durable.is_known(SPACE, hash[0]), "it has a chunk");
    assert!(blobs.remove_older(SPACE, &hash, i64::MAX).expect("removed"));
    blobs.remove_empty(SPACE);
    assert!(!blobs.durable.is_known(SPACE, hash[0]));
    assert_eq!(blobs.put(SPACE, b"some bytes").expect("kept"), hash);
}
