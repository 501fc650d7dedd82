//! Bases and segments, and what comes of them, without a store: from whatever base to whatever time, the state is what it was.

use std::collections::BTreeSet;
use std::io::Read;

use storage::blob::{CHUNK_BYTES, ChunkHash};
use uuid::Uuid;

use super::manifest::{Manifest, Part, Through};
use super::scratch::Scratch;
use super::segment::Segment;
use crate::access::token_delete::TokenDelete;
use crate::archive;
use crate::files::advance::UploadAdvance;
use crate::files::create::FileCreate;
use crate::files::delete::FileDelete;
use crate::files::digest::{INITIAL, Leaf};
use crate::files::rows::Content;
use crate::files::upload::{Upload, UploadBegin};
use crate::files::version_add::FileVersionAdd;
use crate::machine::idempotency::IdempotencyKey;
use crate::machine::stage::{SPACE, Stage, token};
use crate::placement::turn::{SpaceTurn, Turn};

/// A tenant at a time: how many entries the log had, the stamp of the last, and the archive.
struct Moment {
    entries: usize,
    stamp: u64,
    part: Part,
    archive: Vec<u8>,
}

fn moment(stage: &Stage, held: Option<u64>) -> Moment {
    let mut archive = Vec::new();
    let summary = archive::write(&stage.snapshot(), SPACE, &mut archive).expect("an archive");
    let header = stage.header();
    Moment {
        entries: stage.log.len(),
        stamp: header.stamp,
        part: Part {
            uid: SPACE.0,
            tenant: header.tenant,
            slug: header.slug,
            position: summary.position,
            stamp: summary.stamp,
            held,
            pieces: 1,
            bytes: summary.bytes,
            hash: summary.hash,
        },
        archive,
    }
}

/// A tenant's life, with what it was after each step.
fn life() -> (Stage, Vec<Moment>) {
    let mut stage = Stage::with_template("workspace");
    let mut moments = vec![moment(&stage, None)];
    for step in 0..24u8 {
        match step % 6 {
            0 | 3 => stage.import(step, 20, 300),
            1 => {
                let key = IdempotencyKey {
                    scope: [step; 32],
                    body: [0; 32],
                };
                stage.apply_as(token(step), Some(key), None).result.expect("stored");
                stage.apply_as(token(step), Some(key), None).result.expect("answered again");
            }
            2 => {
                let id = Uuid::from_u128(u128::from(step) - 1);
                stage.apply(TokenDelete { id, owner: true }).result.expect("revoked");
            }
            4 => stage.pass(30 * 3_600 * 1_000_000),
            _ => {
                let refused = stage.apply_as(token(step), None, Some(1_000)).result;
                assert!(refused.is_err(), "a command that was refused is in the log as well");
            }
        }
        moments.push(moment(&stage, None));
    }
    (stage, moments)
}

/// The log behind so many entries, in segments of so many, written and read.
fn segments(log: &[(u64, Vec<u8>)], behind: usize, entries: usize) -> Vec<Segment> {
    let read = |part: &[(u64, Vec<u8>)]| {
        let raft: Vec<raft::Entry> = part
            .iter()
            .map(|(index, payload)| raft::Entry {
                index: *index,
                term: 1,
                payload: payload.clone().into(),
            })
            .collect();
        let (first, last) = (part[0].0, part[part.len() - 1].0);
        let (segment, _) = Segment::of_log(first, last, &raft).expect("a segment");
        let bytes = segment.clone().encode().expect("encoded");
        assert_eq!(Segment::decode(&bytes), Ok(segment.clone()));
        assert_eq!(Segment::head(&bytes), Ok(segment.head.clone()));
        segment
    };
    log[behind..].chunks(entries).map(read).collect()
}

fn restored(root: &std::path::Path, base: &Moment, segments: &[Segment], until: Option<u64>) -> Option<Vec<u8>> {
    let mut scratch = Scratch::new(root, SPACE).expect("a store");
    scratch.load(&base.part, base.archive.as_slice()).expect("a base");
    for segment in segments {
        if scratch.replay(&segment.entries, until).expect("replayed") {
            break;
        }
    }
    let mut restored = scratch.finish().expect("finished")?;
    let mut bytes = Vec::new();
    restored.file.read_to_end(&mut bytes).expect("read");
    assert_eq!(restored.summary.bytes, bytes.len() as u64);
    Some(bytes)
}

#[test]
fn from_every_base_to_every_time_behind_it_the_state_is_what_it_was() {
    let (stage, moments) = life();
    let root = tempfile::tempdir().expect("a directory");
    for (at, base) in moments.iter().enumerate().step_by(3) {
        let segments = segments(&stage.log, base.entries, 1 + at % 4);
        for moment in moments[at..].iter().step_by(2) {
            let found = restored(root.path(), base, &segments, Some(moment.stamp)).expect("served");
            assert!(found == moment.archive, "from {} to {}", base.stamp, moment.stamp);
        }
        let last = moments.last().expect("a moment");
        assert!(restored(root.path(), base, &segments, None).expect("served") == last.archive);
    }
    assert_eq!(
        std::fs::read_dir(root.path()).expect("a directory").count(),
        0,
        "nothing stays"
    );
}

#[test]
fn a_tenant_that_has_left_is_not_restored_where_it_was() {
    let mut stage = Stage::with_template("workspace");
    let attempt = 9;
    stage
        .apply(SpaceTurn {
            attempt,
            turn: Turn::Hold,
        })
        .result
        .expect("held");
    let base = moment(&stage, Some(attempt));
    stage
        .apply(SpaceTurn {
            attempt,
            turn: Turn::Depart,
        })
        .result
        .expect("departed");
    let root = tempfile::tempdir().expect("a directory");
    let segments = segments(&stage.log, base.entries, 1);
    assert!(restored(root.path(), &base, &[], None).expect("still there") == base.archive);
    assert_eq!(restored(root.path(), &base, &segments, None), None);
}

#[test]
fn an_archive_that_was_cut_is_no_base() {
    let (_, moments) = life();
    let root = tempfile::tempdir().expect("a directory");
    let base = &moments[3];
    let mut scratch = Scratch::new(root.path(), SPACE).expect("a store");
    let cut = &base.archive[..base.archive.len() - 1];
    assert!(scratch.load(&base.part, cut).is_err());
}

#[test]
fn a_segment_says_who_is_in_it_and_whatever_is_cut_is_refused() {
    let (stage, _) = life();
    let segment = segments(&stage.log, 0, 1_000).remove(0);
    assert_eq!((segment.head.first, segment.head.spaces.as_slice()), (1, &[SPACE.0][..]));
    let made: Vec<_> = segment
        .head
        .tenants
        .iter()
        .map(|made| (made.uid, made.slug.as_str()))
        .collect();
    assert_eq!(made, [(SPACE.0, "acme")]);
    assert!(!segment.is_idle() && segment.head.first_stamp < segment.head.last_stamp);
    let bytes = segment.encode().expect("encoded");
    for length in (0..bytes.len()).step_by(7) {
        assert!(Segment::decode(&bytes[..length]).is_err(), "cut at {length}");
    }
    let (idle, named) = Segment::of_log(5, 9, &[]).expect("a segment");
    assert!(named.is_empty());
    assert!(idle.is_idle());
    let bytes = idle.encode().expect("encoded");
    assert_eq!(Segment::decode(&bytes).expect("read").entries, []);
}

#[test]
fn a_manifest_and_a_head_are_read_back_and_garbage_is_not() {
    let (_, moments) = life();
    let manifest = Manifest {
        cell: "one".to_owned(),
        region: "r".to_owned(),
        version: "1".to_owned(),
        index: 7,
        stamp: 8,
        parts: moments.iter().map(|moment| moment.part.clone()).collect(),
        coming: vec![9],
    };
    let bytes = manifest.clone().encode().expect("encoded");
    assert_eq!(Manifest::decode(&bytes), Ok(manifest));
    assert!(Manifest::decode(&bytes[..bytes.len() / 2]).is_err());
    let through = Through { index: 3, stamp: 4 };
    assert_eq!(through.encode(), [1, 0, 0, 3, 4], "its bytes never change");
    assert_eq!(Through::decode(&through.encode()), Ok(through));
    assert!(Through::decode(b"").is_err());
}

fn raft_entries(log: &[(u64, Vec<u8>)]) -> Vec<raft::Entry> {
    let entry = |(index, payload): &(u64, Vec<u8>)| raft::Entry {
        index: *index,
        term: 1,
        payload: payload.clone().into(),
    };
    log.iter().map(entry).collect()
}

/// A life with files: made, given versions, uploaded and deleted. After each step how many entries the log had, and which chunks rows named.
fn life_with_files() -> (Stage, Vec<(usize, BTreeSet<ChunkHash>)>) {
    let mut stage = Stage::with_template("workspace");
    let mut moments = Vec::new();
    let chunk = |number: u8| [number; 32];
    let content = |chunks: &[u8]| Content {
        size: (chunks.len() * CHUNK_BYTES) as u64,
        blake3: [0; 32],
        sha256: [0; 32],
        chunks: chunks.iter().map(|number| chunk(*number)).collect(),
    };
    let file = |step: u8| Uuid::from_u128(u128::from(step % 3) + 1);
    for step in 0..12_u8 {
        let quota = 1 << 50;
        // Refused ones are in the log as well.
        match step % 4 {
            0 => drop(stage.apply(FileCreate {
                id: file(step),
                name: "a".to_owned(),
                media_type: "text/plain".to_owned(),
                attached: None,
                content: content(&[step, 3, step + 100]),
                quota,
            })),
            1 => drop(stage.apply(FileVersionAdd {
                id: file(step - 1),
                expect: None,
                media_type: "text/plain".to_owned(),
                content: content(&[step, 3]),
                quota,
            })),
            2 => {
                let id = Uuid::from_u128(u128::from(step) + 50);
                let length = 2 * CHUNK_BYTES as u64;
                let upload = Upload {
                    name: "b".to_owned(),
                    media_type: "text/plain".to_owned(),
                    file: None,
                    attached: None,
                    metadata: String::new(),
                    length,
                    chunks: 0,
                    tail: None,
                    inner: INITIAL,
                    expires: 0,
                    by: crate::machine::rows::Actor::System,
                    done: None,
                };
                let end = None;
                stage.apply(UploadBegin { id, upload, quota, end }).result.expect("begun");
                let leaves = vec![Leaf {
                    hash: chunk(step),
                    value: [0; 32],
                }];
                let tail = Some((chunk(step + 50), 7));
                let advance = UploadAdvance {
                    id,
                    from: 0,
                    leaves,
                    tail,
                    inner: INITIAL,
                    end: None,
                };
                stage.apply(advance).result.expect("further");
            }
            _ => drop(stage.apply(FileDelete {
                id: file(step - 3),
                expect: None,
            })),
        }
        let named: Result<BTreeSet<ChunkHash>, _> = archive::named(&stage.snapshot(), SPACE).collect();
        moments.push((stage.log.len(), named.expect("named")));
    }
    (stage, moments)
}

#[test]
fn what_rows_name_at_any_time_a_base_before_it_or_the_log_between_names() {
    let (stage, moments) = life_with_files();
    let mut seen = BTreeSet::new();
    for (base, (from, held)) in moments.iter().enumerate() {
        for (until, rows) in &moments[base..] {
            let log = raft_entries(&stage.log[*from..*until]);
            let (_, named) = Segment::of_log(1, 1_000, &log).expect("a segment");
            assert!(named.arrived.is_empty());
            let between = named.chunks.get(&SPACE.0).cloned().unwrap_or_default();
            let known: BTreeSet<ChunkHash> = held.union(&between).copied().collect();
            assert!(rows.is_subset(&known), "from {from} until {until}");
            seen.extend(rows.iter().copied());
        }
    }
    assert!(seen.len() > 10, "files were there: {seen:?}");
}

#[test]
fn a_space_that_arrives_has_its_rows_looked_at() {
    let mut stage = Stage::with_template("workspace");
    let turn = Turn::Arrive { index: 0, epoch: 1 };
    drop(stage.apply(SpaceTurn { attempt: 1, turn }));
    let (_, named) = Segment::of_log(1, 9, &raft_entries(&stage.log)).expect("a segment");
    assert_eq!(named.arrived.keys().copied().collect::<Vec<_>>(), [SPACE.0]);
    assert!(!named.is_empty());
}
