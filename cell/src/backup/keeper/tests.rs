//! Chunks into a store, out of it, and away, without a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use storage::objects::Place;
use tempfile::TempDir;
use uuid::Uuid;

use super::super::collect::{UNNAMED_SECONDS, collect, needed};
use super::super::find::Source;
use super::super::manifest::Manifest;
use super::super::stored::Stored;
use super::super::sweep::Sweep;
use super::super::vault::Bounds;
use super::*;
use crate::config::Store;

const LINE: Line = Line {
    cell: 3,
    id: Uuid::nil(),
};
const UID: u64 = 12;
const BASE: BaseName = BaseName {
    index: 10,
    attempt: Uuid::nil(),
};
const SEGMENT: SegmentName = SegmentName { first: 11, last: 20 };

/// A store in a directory, and what replicas have.
struct Ground {
    directory: TempDir,
    vault: Vault,
    traffic: Arc<Traffic>,
    replicas: Arc<Mutex<BTreeMap<ChunkHash, Bytes>>>,
    asked: Arc<AtomicUsize>,
}

fn hash(bytes: &[u8]) -> ChunkHash {
    *blake3::hash(bytes).as_bytes()
}

fn now() -> i64 {
    i64::try_from(now_micros() / 1_000_000).expect("a time")
}

impl Ground {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store {
            place: Place::Directory(directory.path().to_owned()),
            keys: None,
        };
        Self {
            vault: Vault::open(&store, &Bounds::default()).await.expect("a store"),
            directory,
            traffic: Arc::default(),
            replicas: Arc::default(),
            asked: Arc::default(),
        }
    }

    fn keeper(&self) -> Keeper {
        let (replicas, asked) = (Arc::clone(&self.replicas), Arc::clone(&self.asked));
        Keeper {
            vault: self.vault.clone(),
            line: LINE,
            traffic: Arc::clone(&self.traffic),
            give: Arc::new(move |_, hash| -> Coming {
                asked.fetch_add(1, Ordering::Relaxed);
                let given = replicas.lock().expect("the replicas").get(&hash).cloned();
                Box::pin(std::future::ready(given))
            }),
            wrote: Arc::new(|_| {}),
        }
    }

    /// Has the replicas have a chunk.
    fn has(&self, bytes: &[u8]) -> ChunkHash {
        let content = Bytes::copy_from_slice(bytes);
        self.replicas.lock().expect("the replicas").insert(hash(bytes), content);
        hash(bytes)
    }

    fn loses_all(&self) {
        self.replicas.lock().expect("the replicas").clear();
    }

    fn path(&self, hash: &ChunkHash) -> PathBuf {
        self.directory.path().join(LINE.chunk(UID, hash))
    }

    /// Has an object be that old.
    fn ages(&self, hash: &ChunkHash, seconds: i64) {
        let then = SystemTime::now() - Duration::from_secs(seconds.unsigned_abs());
        let file = fs::File::options().write(true).open(self.path(hash)).expect("the object");
        file.set_modified(then).expect("an age");
    }

    fn stored(&self, chunks: Vec<ChunkHash>) -> Stored {
        let manifest = Manifest {
            cell: "one".to_owned(),
            region: "r".to_owned(),
            version: "1".to_owned(),
            index: BASE.index,
            stamp: 1,
            parts: Vec::new(),
            coming: Vec::new(),
        };
        let source = Source {
            line: LINE,
            base: BASE,
            manifest,
            segments: vec![SEGMENT],
        };
        let done = Arc::new(AtomicU64::new(0));
        Stored::new(&self.vault, &source, UID, chunks, &self.traffic, &done)
    }
}

fn sorted(mut chunks: Vec<ChunkHash>) -> Vec<ChunkHash> {
    chunks.sort_unstable();
    chunks
}

#[tokio::test]
async fn a_chunk_is_brought_once_and_anew_when_it_is_old() {
    let ground = Ground::new().await;
    let (one, two) = (ground.has(b"one"), ground.has(b"two"));
    let keeper = ground.keeper();
    let listed = keeper.keep_all(UID, [one, two]).await.expect("kept");
    assert_eq!((listed.uid, sorted(listed.kept)), (UID, sorted(vec![one, two])));
    assert_eq!(ground.asked.load(Ordering::Relaxed), 2);
    keeper.keep_all(UID, [one, two]).await.expect("there already");
    assert_eq!(ground.asked.load(Ordering::Relaxed), 2, "nothing is read again");
    ground.ages(&one, RENEW_SECONDS + 60);
    keeper.keep_all(UID, [one, two]).await.expect("anew");
    assert_eq!(ground.asked.load(Ordering::Relaxed), 3);
    let written = keeper.vault.written(&LINE.chunk(UID, &one)).await.expect("a look");
    assert!(written.is_some_and(|written| written + 60 > now()), "{written:?}");
    // An old one that no replica has any more is written anew from what there is.
    ground.loses_all();
    ground.ages(&two, RENEW_SECONDS + 60);
    assert_eq!(keeper.keep_all(UID, [two]).await.expect("anew").kept, [two]);
    let written = keeper.vault.written(&LINE.chunk(UID, &two)).await.expect("a look");
    assert!(written.is_some_and(|written| written + 60 > now()), "{written:?}");
    // Another tenant's is another object.
    assert_eq!(keeper.keep_all(UID + 1, [one]).await.expect("asked for").missing, [one]);
}

#[tokio::test]
async fn what_cannot_be_had_or_is_something_else_is_missing() {
    let ground = Ground::new().await;
    let (there, lost, wrong) = (ground.has(b"there"), hash(b"lost"), hash(b"wrong"));
    let other = Bytes::from_static(b"something else");
    ground.replicas.lock().expect("the replicas").insert(wrong, other);
    let listed = ground.keeper().keep_all(UID, [lost, there, wrong]).await.expect("asked for");
    assert_eq!(
        (listed.kept, sorted(listed.missing)),
        (vec![there], sorted(vec![lost, wrong]))
    );
    assert!(!ground.path(&wrong).exists(), "nothing wrong is under its name");
}

#[tokio::test]
async fn of_the_chunks_that_rows_name_only_those_that_are_not_there_are_read() {
    let ground = Ground::new().await;
    let all: Vec<ChunkHash> = (0..2_000_u32).map(|number| ground.has(&number.to_be_bytes())).collect();
    let keeper = ground.keeper();
    keeper.keep_all(UID, all[..1_500].iter().copied()).await.expect("kept");
    ground.asked.store(0, Ordering::Relaxed);
    let all = sorted(all);
    let listed = keeper.keep_page(UID, &all, true).await.expect("kept");
    assert_eq!(ground.asked.load(Ordering::Relaxed), 500);
    assert_eq!((sorted(listed.kept), listed.missing.len()), (all.clone(), 0));
    let few = keeper.keep_page(UID, &all[..1], true).await.expect("there");
    assert_eq!((few.kept.as_slice(), ground.asked.load(Ordering::Relaxed)), (&all[..1], 500));
    // Old ones are read again where a sweep may be under way, and otherwise not.
    for hash in &all[..3] {
        ground.ages(hash, RENEW_SECONDS + 60);
    }
    for (renews, asked) in [(false, 500), (true, 503), (true, 503)] {
        let listed = keeper.keep_page(UID, &all, renews).await.expect("kept");
        assert_eq!((listed.kept.len(), ground.asked.load(Ordering::Relaxed)), (2_000, asked));
    }
}

#[tokio::test]
async fn lists_are_cut_and_a_base_says_how_many_there_are() {
    let ground = Ground::new().await;
    let keeper = ground.keeper();
    let many = |uid, chunks: usize| Listed {
        uid,
        kept: vec![[1; 32]; chunks],
        missing: vec![[2; 32]],
    };
    let mut lists = Lists::new(&keeper, Of::Base(BASE));
    for listed in [many(1, LIST_CHUNKS), many(2, 3), Listed::default(), many(4, 5)] {
        lists.add(listed).await.expect("listed");
    }
    let holdings = lists.finish().await.expect("listed");
    let expected = Holdings {
        lists: 2,
        kept: LIST_CHUNKS as u64 + 8,
        missing: 3,
    };
    assert_eq!(holdings, expected);
    let said = ground.vault.get(&LINE.holdings(BASE)).await.expect("there");
    assert_eq!(Holdings::decode(&said), Ok(expected));
    let second = ground.vault.get(&LINE.held(BASE, 1)).await.expect("the second");
    assert_eq!(listed::decode(&second), Ok(vec![many(2, 3), many(4, 5)]));
}

fn go_on() -> BoxFuture<'static, Result<(), VaultError>> {
    Box::pin(std::future::ready(Ok(())))
}

fn stop() -> BoxFuture<'static, Result<(), VaultError>> {
    Box::pin(std::future::ready(Err(VaultError::Source("another leads".to_owned()))))
}

/// Chunks that a base, and a segment behind it, name; and one that nothing names.
async fn listed_chunks(ground: &Ground) -> (ChunkHash, ChunkHash, ChunkHash) {
    let keeper = ground.keeper();
    let (held, named, unnamed) = (ground.has(b"held"), ground.has(b"named"), ground.has(b"unnamed"));
    for (of, hash) in [(Of::Base(BASE), held), (Of::Segment(SEGMENT), named)] {
        let mut lists = Lists::new(&keeper, of);
        lists
            .add(keeper.keep_all(UID, [hash]).await.expect("kept"))
            .await
            .expect("listed");
        lists.finish().await.expect("listed");
    }
    keeper.keep_all(UID, [unnamed]).await.expect("kept");
    (held, named, unnamed)
}

#[tokio::test]
async fn only_what_no_list_names_goes_and_only_once_it_is_old() {
    let ground = Ground::new().await;
    let (held, named, unnamed) = listed_chunks(&ground).await;
    ground
        .vault
        .put_new(&LINE.manifest(BASE), "a manifest")
        .await
        .expect("a base");
    let needed = async || needed(&ground.vault, LINE, &[BASE]).await.expect("read");
    let all = needed().await.expect("it can be told");
    assert_eq!(all, BTreeSet::from([(UID, held), (UID, named)]));
    let before = now() - UNNAMED_SECONDS;
    let sweep = async |needed: &BTreeSet<_>| {
        collect(&ground.vault, LINE, &ground.traffic, needed, before, &go_on)
            .await
            .expect("swept")
    };
    assert_eq!(sweep(&all).await, 0, "nothing is old");
    for hash in [&held, &named, &unnamed] {
        ground.ages(hash, UNNAMED_SECONDS + 60);
    }
    let stopped = collect(&ground.vault, LINE, &ground.traffic, &all, before, &stop).await;
    assert!(stopped.is_err() && ground.path(&unnamed).exists());
    assert_eq!(sweep(&all).await, 1);
    assert!(ground.path(&held).exists() && ground.path(&named).exists() && !ground.path(&unnamed).exists());
    // The segment goes, and its list with it.
    ground.vault.delete(LINE.named_by(SEGMENT, 0)).await.expect("gone");
    assert_eq!(sweep(&needed().await.expect("it can be told")).await, 1);
    assert!(ground.path(&held).exists() && !ground.path(&named).exists());
    // A base that says nothing of chunks may need any of them, and so may one whose lists are not all there.
    for name in [LINE.held(BASE, 0), LINE.holdings(BASE)] {
        ground.vault.delete(name).await.expect("gone");
        assert_eq!(needed().await, None);
    }
}

/// A base at a position, with one chunk, and a segment behind it that names another; both chunks are old.
async fn base_at(ground: &Ground, index: u64) -> (ChunkHash, ChunkHash) {
    let name = BaseName {
        index,
        attempt: Uuid::nil(),
    };
    let segment = SegmentName {
        first: index + 1,
        last: index + 10,
    };
    let keeper = ground.keeper();
    let chunks = [format!("held {index}"), format!("named {index}")].map(|content| ground.has(content.as_bytes()));
    for (of, hash) in [(Of::Base(name), chunks[0]), (Of::Segment(segment), chunks[1])] {
        let mut lists = Lists::new(&keeper, of);
        lists
            .add(keeper.keep_all(UID, [hash]).await.expect("kept"))
            .await
            .expect("listed");
        lists.finish().await.expect("listed");
        ground.ages(&hash, UNNAMED_SECONDS + 60);
    }
    let manifest = Manifest {
        cell: "one".to_owned(),
        region: "r".to_owned(),
        version: "1".to_owned(),
        index,
        stamp: index,
        parts: Vec::new(),
        coming: Vec::new(),
    };
    let manifest = manifest.encode().expect("a manifest");
    ground.vault.put_new(&LINE.manifest(name), manifest).await.expect("a base");
    ground
        .vault
        .put_new(&LINE.segment(segment), "a segment")
        .await
        .expect("a segment");
    (chunks[0], chunks[1])
}

async fn sweep(ground: &Ground, keep_from: u64, is_own: bool) -> (usize, u64) {
    sweep_awaited(ground, keep_from, is_own, false).await
}

async fn sweep_awaited(ground: &Ground, keep_from: u64, is_own: bool, is_awaited: bool) -> (usize, u64) {
    let sweep = Sweep {
        vault: &ground.vault,
        line: LINE,
        keep_from,
        is_own,
        is_awaited,
        traffic: &ground.traffic,
        may: &go_on,
    };
    sweep.run().await.expect("swept")
}

#[tokio::test]
async fn with_a_base_go_its_chunks_and_those_of_the_log_behind_it() {
    let ground = Ground::new().await;
    let mut chunks = Vec::new();
    for index in [10, 20, 30] {
        chunks.push(base_at(&ground, index).await);
    }
    let head = crate::backup::manifest::Through { index: 40, stamp: 40 };
    ground.vault.put(&LINE.head(), head.encode()).await.expect("a head");
    let are_there = || -> Vec<bool> { chunks.iter().map(|(held, _)| ground.path(held).exists()).collect() };
    assert_eq!(sweep(&ground, 9, true).await, (0, 0), "no base is old enough");
    assert_eq!(sweep(&ground, 19, true).await, (0, 0), "the first is needed for 19");
    // Its manifest, list and holdings; the segment and its list.
    assert_eq!(sweep(&ground, 25, true).await, (5, 2));
    assert_eq!(are_there(), [false, true, true]);
    assert!(!ground.path(&chunks[0].1).exists() && ground.path(&chunks[1].1).exists());
    assert_eq!(sweep(&ground, 25, true).await, (0, 0), "all that is left is needed");
    // A line that has ended stays for as long as it is needed, and goes as a whole.
    assert_eq!(sweep(&ground, 40, false).await, (5, 2));
    let (objects, removed) = sweep(&ground, 41, false).await;
    assert_eq!((objects, removed, are_there()), (6, 2, vec![false; 3]));
    assert!(ground.vault.list(&LINE.folder()).await.expect("listed").is_empty());
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_an_error_and_not_an_empty_one() {
    let ground = Ground::new().await;
    listed_chunks(&ground).await;
    ground.vault.put(&LINE.named_by(SEGMENT, 1), "no list").await.expect("put");
    let error = needed(&ground.vault, LINE, &[BASE]).await.expect_err("not a list");
    assert!(error.to_string().contains("/named/"), "{error}");
}

#[tokio::test]
async fn a_chunk_that_was_archived_must_be_there_and_right_to_be_restored() {
    let ground = Ground::new().await;
    let (held, named, _) = listed_chunks(&ground).await;
    let never = hash(b"never");
    let keeper = ground.keeper();
    let mut lists = Lists::new(&keeper, Of::Segment(SEGMENT));
    lists
        .add(keeper.keep_all(UID, [named, never]).await.expect("asked for"))
        .await
        .expect("listed");
    lists.finish().await.expect("listed");
    let stored = ground.stored(vec![held, named, never]);
    for (hash, content) in [(held, &b"held"[..]), (named, b"named")] {
        assert_eq!(stored.fetch(&hash).await.expect("there").as_deref(), Some(content));
    }
    assert_eq!(stored.fetch(&never).await.expect("known to be missing"), None);
    assert_eq!(stored.fetch(&hash(b"older")).await.expect("nobody archived it"), None);
    for hash in [held, named] {
        fs::remove_file(ground.path(&hash)).expect("lost");
        let error = ground.stored(vec![hash]).fetch(&hash).await.expect_err("it was archived");
        assert!(error.to_string().contains(&LINE.chunk(UID, &hash)), "{error}");
    }
    ground.vault.put(&LINE.chunk(UID, &held), "another").await.expect("put");
    let error = ground.stored(vec![held]).fetch(&held).await.expect_err("something else");
    assert!(error.to_string().contains("not the chunk of its name"), "{error}");
}

#[tokio::test]
async fn a_line_that_tenants_are_to_come_back_from_stays_however_old_it_is() {
    let ground = Ground::new().await;
    let (_, later) = (base_at(&ground, 10).await, base_at(&ground, 20).await);
    let head = crate::backup::manifest::Through { index: 30, stamp: 30 };
    ground.vault.put(&LINE.head(), head.encode()).await.expect("a head");
    // What no time that is kept needs goes from it, as from any other: its newest base, and the log behind it, stay.
    assert_eq!(sweep_awaited(&ground, 1_000, false, true).await, (5, 2));
    assert_eq!(sweep_awaited(&ground, 1_000, false, true).await, (0, 0));
    assert!(ground.path(&later.0).exists() && ground.path(&later.1).exists());
    let left = async || ground.vault.list(&LINE.folder()).await.expect("listed").len();
    // Manifest, holdings and list of the base; the segment and its list; two chunks; the head.
    assert_eq!(left().await, 8);
    // They are back.
    sweep_awaited(&ground, 1_000, false, false).await;
    assert_eq!(left().await, 0);
}
