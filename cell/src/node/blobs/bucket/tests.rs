//! Chunks in a store that is a directory: one is written once, what is rotten is never given out, and what is wanted is not removed.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use storage::objects::Place;
use tempfile::TempDir;

use super::*;

const FOLDER: Folder = Folder {
    space: Space(7),
    tenant: Uuid::from_u128(0xabc),
};
const OTHER: Folder = Folder {
    space: Space(7),
    tenant: Uuid::from_u128(0xabd),
};

struct Ground {
    directory: TempDir,
    bucket: Bucket,
}

impl Ground {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store {
            place: Place::Directory(directory.path().join("files")),
            keys: None,
        };
        let bucket = Bucket::new(store);
        Self { directory, bucket }
    }

    async fn keep(&self, folder: Folder, bytes: &'static [u8]) -> ChunkHash {
        let hash = *blake3::hash(bytes).as_bytes();
        let kept = self.bucket.keep(folder, hash, &Bytes::from_static(bytes)).await;
        kept.expect("kept");
        hash
    }

    fn path(&self, folder: Folder, hash: &ChunkHash) -> PathBuf {
        self.directory.path().join("files").join(folder.chunk(hash))
    }

    fn written(&self, hash: &ChunkHash) -> SystemTime {
        let about = fs::metadata(self.path(FOLDER, hash)).expect("the object");
        about.modified().expect("its age")
    }

    /// Has an object be that old.
    fn ages(&self, hash: &ChunkHash, seconds: i64) {
        let then = SystemTime::now() - Duration::from_secs(seconds.unsigned_abs());
        let file = fs::File::options()
            .write(true)
            .open(self.path(FOLDER, hash))
            .expect("the object");
        file.set_modified(then).expect("an age");
    }

    async fn lacks(&self, folder: Folder, hash: ChunkHash) -> Lack {
        lack(&self.bucket.fetch(folder, hash).await.expect_err("not given out"))
    }
}

#[test]
fn the_name_of_a_chunk_never_changes() {
    let hash = [0xab; 32];
    let name = FOLDER.chunk(&hash);
    let folder = "0000000000000007-00000000-0000-0000-0000-000000000abc";
    assert_eq!(name, format!("chunks/{folder}/ab/{}", "ab".repeat(32)));
    assert_eq!(read_chunk(&name), Some(hash));
    assert_eq!(Folder::parse(folder), Some(FOLDER));
    for other in ["", "7-abc", "0000000000000007", &folder.to_uppercase(), &folder[1..]] {
        assert_eq!(Folder::parse(other), None, "{other}");
    }
}

#[tokio::test]
async fn a_chunk_is_what_was_kept_and_another_tenant_has_none_of_it() {
    let ground = Ground::new();
    let hash = ground.keep(FOLDER, b"some bytes").await;
    assert_eq!(ground.bucket.fetch(FOLDER, hash).await.expect("there"), b"some bytes"[..]);
    assert_eq!(ground.lacks(OTHER, hash).await, Lack::Missing);
    assert_eq!(ground.bucket.folders().await.expect("folders"), [FOLDER]);
    assert_eq!(ground.bucket.found(OTHER, &[hash]).await.expect("a look"), BTreeMap::new());
    let found = ground.bucket.found(FOLDER, &[[hash[0]; 32], hash]).await.expect("a look");
    assert_eq!(found, BTreeMap::from([(hash, true)]));
}

#[tokio::test]
async fn a_chunk_is_written_once_until_it_is_old() {
    let ground = Ground::new();
    let hash = ground.keep(FOLDER, b"some bytes").await;
    ground.ages(&hash, RENEW_SECONDS - 60);
    let before = ground.written(&hash);
    ground.keep(FOLDER, b"some bytes").await;
    assert_eq!(ground.written(&hash), before, "it was not written again");
    ground.ages(&hash, RENEW_SECONDS + 1);
    let found = async || ground.bucket.found(FOLDER, &[hash]).await.expect("a look")[&hash];
    assert!(!found().await, "somebody may remove it soon");
    ground.keep(FOLDER, b"some bytes").await;
    assert!(found().await, "it was written anew");
}

#[tokio::test]
async fn a_rotten_chunk_is_not_given_out_and_the_right_bytes_take_its_place() {
    let ground = Ground::new();
    let hash = ground.keep(FOLDER, b"some bytes").await;
    let other = ground.keep(FOLDER, b"other bytes").await;
    let path = ground.path(FOLDER, &hash);
    let whole = fs::read(&path).expect("an object");
    let mut flipped = whole.clone();
    *flipped.last_mut().expect("a byte") ^= 1;
    let foreign = fs::read(ground.path(FOLDER, &other)).expect("another one");
    for rotten in [&flipped[..], &whole[..whole.len() - 1], b"", &foreign] {
        fs::write(&path, rotten).expect("damaged");
        assert_eq!(ground.lacks(FOLDER, hash).await, Lack::Rotten);
        ground.keep(FOLDER, b"some bytes").await;
        assert_eq!(
            ground.bucket.fetch(FOLDER, hash).await.expect("right again"),
            b"some bytes"[..]
        );
    }
    // Whole, and yet not what its name says.
    let objects = Place::Directory(ground.directory.path().join("files"))
        .open(None)
        .expect("a store");
    objects.put(&FOLDER.chunk(&hash), b"some lies").await.expect("put");
    assert_eq!(ground.lacks(FOLDER, hash).await, Lack::Rotten);
    ground.keep(FOLDER, b"some bytes").await;
    assert_eq!(
        ground.bucket.fetch(FOLDER, hash).await.expect("right again"),
        b"some bytes"[..]
    );
}

#[tokio::test]
async fn only_what_is_old_and_nameless_at_the_last_look_is_removed() {
    let ground = Ground::new();
    let hash = ground.keep(FOLDER, b"some bytes").await;
    let before = now_seconds() - UNNAMED_SECONDS;
    let older = async || {
        let mut found = Vec::new();
        for part in ground.bucket.parts(FOLDER).await.expect("parts") {
            found.extend(ground.bucket.older(&part, before).await.expect("a list"));
        }
        found
    };
    let remove = async |is_named: bool| {
        let removed = ground.bucket.remove(FOLDER, hash, before, || is_named).await;
        removed.expect("a look")
    };
    assert!(older().await.is_empty() && !remove(false).await, "it is young");
    ground.ages(&hash, UNNAMED_SECONDS + 60);
    assert_eq!(older().await, [hash]);
    assert!(!remove(true).await, "something names it");
    // Somebody brings it between the list and the removal.
    ground.keep(FOLDER, b"some bytes").await;
    assert!(!remove(false).await, "it was written anew");
    ground.ages(&hash, UNNAMED_SECONDS + 60);
    assert!(remove(false).await);
    assert!(!remove(false).await, "it is not there");
    assert_eq!(ground.lacks(FOLDER, hash).await, Lack::Missing);
}

#[tokio::test]
async fn a_large_folder_is_listed_in_parts_and_none_is_left_out() {
    let ground = Ground::new();
    for first in 0..=u8::MAX {
        let path = ground.path(FOLDER, &[first; 32]);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, "an old one").expect("written");
    }
    let parts = ground.bucket.parts(FOLDER).await.expect("parts");
    assert_eq!(parts.len(), 256);
    let mut found = Vec::new();
    for part in parts {
        found.extend(ground.bucket.older(&part, i64::MAX).await.expect("a list"));
    }
    let all: Vec<ChunkHash> = (0..=u8::MAX).map(|first| [first; 32]).collect();
    assert_eq!(found, all);
}

#[tokio::test]
async fn a_store_that_is_away_is_told_from_one_that_lost_a_chunk() {
    let ground = Ground::new();
    let hash = ground.keep(FOLDER, b"some bytes").await;
    let (place, aside) = (ground.directory.path().join("files"), ground.directory.path().join("aside"));
    fs::rename(&place, &aside).expect("away");
    fs::write(&place, "no directory").expect("a file");
    assert_eq!(ground.lacks(FOLDER, hash).await, Lack::Silent);
    let refused = ground.bucket.keep(FOLDER, hash, &Bytes::from_static(b"some bytes")).await;
    assert_eq!(lack(&refused.expect_err("away")), Lack::Silent);
    fs::remove_file(&place).expect("no file");
    fs::rename(&aside, &place).expect("back");
    assert_eq!(ground.bucket.fetch(FOLDER, hash).await.expect("back"), b"some bytes"[..]);
}
