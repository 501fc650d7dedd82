//! Stories of files: what commands leave in the rows.

use api::body::token::Role;
use api::error::Code;
use storage::blob::{CHUNK_BYTES, ChunkHash};
use uuid::Uuid;

use super::abort::UploadAbort;
use super::advance::UploadAdvance;
use super::change::FileChange;
use super::create::FileCreate;
use super::delete::{FileDelete, FileSweep};
use super::digest::{INITIAL, Leaf};
use super::forget::{ChunksForget, UNUSED_MICROS};
use super::list;
use super::restore::FileRestoreVersion;
use super::rows::{self, CHUNKS, Content, Totals, VERSIONS};
use super::secret::{LinkSecretSet, secret};
use super::sight::Looker;
use super::upload::{self, End, KEPT_MICROS, Upload, UploadBegin};
use super::version_add::FileVersionAdd;
use super::version_delete::FileVersionDelete;
use crate::expr::Auth;
use crate::machine::catalog::Catalog;
use crate::machine::refusal::Refusal;
use crate::machine::rows::Actor;
use crate::machine::stage::{SPACE, Stage};
use crate::records::guard::Asker;

const QUOTA: u64 = 1 << 50;
const FILE: Uuid = Uuid::from_u128(1);
const UPLOAD: Uuid = Uuid::from_u128(2);

fn hash(number: u16) -> ChunkHash {
    let mut hash = [7; 32];
    hash[..2].copy_from_slice(&number.to_be_bytes());
    hash
}

/// A content of whole chunks with these numbers.
fn content(chunks: impl IntoIterator<Item = u16>) -> Content {
    let chunks: Vec<_> = chunks.into_iter().map(hash).collect();
    Content {
        size: (chunks.len() * CHUNK_BYTES) as u64,
        blake3: [1; 32],
        sha256: [2; 32],
        chunks,
    }
}

fn create(id: Uuid, chunks: impl IntoIterator<Item = u16>) -> FileCreate {
    FileCreate {
        id,
        name: "a.bin".to_owned(),
        media_type: "application/octet-stream".to_owned(),
        attached: None,
        content: content(chunks),
        quota: QUOTA,
    }
}

fn add(chunks: impl IntoIterator<Item = u16>) -> FileVersionAdd {
    FileVersionAdd {
        id: FILE,
        expect: None,
        media_type: "text/plain".to_owned(),
        content: content(chunks),
        quota: QUOTA,
    }
}

fn count(stage: &Stage, number: u16) -> Option<u64> {
    let used = rows::chunk_use(&stage.snapshot(), SPACE, hash(number)).expect("no fault");
    used.map(|used| used.count)
}

fn totals(stage: &Stage) -> Totals {
    rows::totals(&stage.snapshot(), SPACE).expect("no fault")
}

fn mib(bytes: u64) -> u64 {
    bytes / CHUNK_BYTES as u64
}

/// Keys of tables whose name begins so.
fn keys(stage: &Stage, table: &str) -> usize {
    stage.keys().iter().filter(|key| key.starts_with(table)).count()
}

fn begin(length: u64) -> UploadBegin {
    UploadBegin {
        id: UPLOAD,
        upload: Upload {
            name: "b.bin".to_owned(),
            media_type: "text/plain".to_owned(),
            file: None,
            attached: None,
            metadata: String::new(),
            length,
            chunks: 9,
            tail: None,
            inner: [0; 8],
            expires: 0,
            by: Actor::System,
            done: None,
        },
        quota: QUOTA,
        end: None,
    }
}

fn advance(from: u64, chunks: &[u16], tail: Option<(u16, u32)>) -> UploadAdvance {
    let leaf = |number: &u16| Leaf {
        hash: hash(*number),
        value: [3; 32],
    };
    UploadAdvance {
        id: UPLOAD,
        from,
        leaves: chunks.iter().map(leaf).collect(),
        tail: tail.map(|(number, bytes)| (hash(number), bytes)),
        inner: INITIAL,
        end: None,
    }
}

fn end(id: Uuid) -> Option<End> {
    Some(End {
        id,
        blake3: [1; 32],
        sha256: [2; 32],
    })
}

#[test]
fn versions_come_and_go_and_chunks_are_counted() {
    let mut stage = Stage::with_template("workspace");
    let before = stage.header().position;
    let made = stage.apply(create(FILE, [1, 2, 1])).result.expect("made");
    assert_eq!(
        (made.file.current, made.file.revision, made.version.content.chunks.len()),
        (1, 1, 0)
    );
    assert_eq!((count(&stage, 1), count(&stage, 2)), (Some(2), Some(1)));
    stage.apply(add([2, 3])).result.expect("added");
    assert_eq!(
        (count(&stage, 2), count(&stage, 3), mib(totals(&stage).bytes)),
        (Some(2), Some(1), 5)
    );
    let back = FileRestoreVersion {
        id: FILE,
        version: 1,
        quota: QUOTA,
    };
    let restored = stage.apply(back).result.expect("restored");
    assert_eq!(
        (
            restored.file.current,
            restored.file.kept,
            restored.version.media_type.as_str()
        ),
        (3, 3, "application/octet-stream")
    );
    assert_eq!(count(&stage, 1), Some(4));
    let delete = |version| FileVersionDelete { id: FILE, version };
    assert_eq!(stage.apply(delete(3)).result, Err(Refusal::CurrentVersion { version: 3 }));
    stage.apply(delete(1)).result.expect("deleted");
    assert!(matches!(stage.apply(delete(1)).result, Err(Refusal::NotFound { .. })));
    assert_eq!((count(&stage, 1), mib(totals(&stage).bytes)), (Some(2), 5));
    // A number is never used again.
    assert_eq!(stage.apply(add([])).result.expect("added").file.current, 4);
    assert_eq!(stage.header().position, before + 5, "one event a change");
    stage
        .apply(FileDelete {
            id: FILE,
            expect: Some(1),
        })
        .result
        .expect_err("it has another revision");
    stage.apply(FileDelete { id: FILE, expect: None }).result.expect("deleted");
    assert_eq!(totals(&stage), Totals::default());
    assert_eq!((keys(&stage, "file space"), keys(&stage, "file_version")), (0, 0));
    assert_eq!([1, 2, 3].map(|number| count(&stage, number)), [Some(0); 3]);
}

#[test]
fn what_is_not_named_for_a_day_is_forgotten_and_nothing_else() {
    let mut stage = Stage::with_template("workspace");
    stage.apply(create(FILE, [1, 2])).result.expect("made");
    stage.apply(create(Uuid::from_u128(9), [2])).result.expect("made");
    stage.apply(FileDelete { id: FILE, expect: None }).result.expect("deleted");
    let forget = || ChunksForget {
        chunks: vec![hash(1), hash(2), hash(3)],
    };
    assert_eq!(stage.apply(forget()).result, Ok(0), "too early");
    stage.pass(UNUSED_MICROS + 1_000);
    assert_eq!(stage.apply(forget()).result, Ok(1));
    assert_eq!((count(&stage, 1), count(&stage, 2)), (None, Some(1)));
    // One that is named again in time stays.
    stage.apply(create(FILE, [4])).result.expect("made");
    stage.apply(FileDelete { id: FILE, expect: None }).result.expect("deleted");
    stage.pass(UNUSED_MICROS + 1_000);
    stage.apply(create(FILE, [4])).result.expect("made");
    let again = ChunksForget { chunks: vec![hash(4)] };
    assert_eq!(stage.apply(again).result, Ok(0));
}

#[test]
fn the_oldest_version_goes_when_there_are_too_many_and_a_large_file_goes_in_steps() {
    let mut stage = Stage::with_template("workspace");
    let many = || 0..CHUNKS as u16;
    stage.apply(create(FILE, many())).result.expect("as large as a file may be");
    for _ in 1..VERSIONS {
        stage.apply(add([])).result.expect("added");
    }
    assert_eq!(count(&stage, 5), Some(1));
    let last = stage.apply(add(many())).result.expect("as much comes as goes");
    assert_eq!((last.file.kept, last.file.current), (VERSIONS, VERSIONS + 1));
    assert_eq!((count(&stage, 5), mib(totals(&stage).bytes)), (Some(1), CHUNKS as u64));
    stage.apply(add(many())).result.expect("added");
    assert!(stage.apply(add(0..CHUNKS as u16 + 1)).result.is_err(), "too long");
    stage.apply(FileDelete { id: FILE, expect: None }).result.expect("deleted");
    assert_eq!((totals(&stage).leaving, totals(&stage).files), (1, 0));
    assert!(
        rows::file(&stage.snapshot(), SPACE, FILE).expect("no fault").is_none(),
        "it is gone at once"
    );
    assert!(matches!(
        stage.apply(create(FILE, [])).result,
        Err(Refusal::AlreadyExists { .. })
    ));
    let mut steps = 0;
    while totals(&stage).leaving > 0 {
        stage.apply(FileSweep { id: FILE }).result.expect("swept");
        steps += 1;
        assert!(steps < 10);
    }
    assert!(steps >= 1 && totals(&stage) == Totals::default(), "{steps}");
    assert_eq!(count(&stage, 5), Some(0));
    stage.apply(FileSweep { id: FILE }).result.expect("nothing to do");
}

#[test]
fn the_plan_bounds_what_is_stored_and_what_is_announced() {
    let mut stage = Stage::with_template("workspace");
    let quota = 4 * CHUNK_BYTES as u64;
    stage
        .apply(FileCreate {
            quota,
            ..create(FILE, [1, 2])
        })
        .result
        .expect("it fits");
    let full = Refusal::StorageFull { used: quota / 2, quota };
    assert_eq!(stage.apply(FileVersionAdd { quota, ..add([1, 2, 3]) }).result, Err(full));
    stage
        .apply(UploadBegin {
            quota,
            ..begin(quota / 2)
        })
        .result
        .expect("it fits");
    let refused = stage.apply(FileVersionAdd { quota, ..add([1]) }).result;
    assert_eq!(refused, Err(Refusal::StorageFull { used: quota, quota }));
    assert_eq!(count(&stage, 1), Some(1), "what was refused has named nothing");
    stage
        .apply(UploadAbort {
            id: UPLOAD,
            expired: false,
        })
        .result
        .expect("ended");
    stage
        .apply(FileVersionAdd { quota, ..add([1]) })
        .result
        .expect("there is room again");
}

#[test]
fn an_upload_goes_on_from_where_it_is_and_becomes_a_file() {
    let mut stage = Stage::with_template("workspace");
    let mib = CHUNK_BYTES as u64;
    let begun = stage.apply(begin(2 * mib + 10)).result.expect("begun");
    assert_eq!((begun.offset(), begun.chunks, begun.inner), (0, 0, INITIAL));
    stage.apply(advance(0, &[], Some((1, 100)))).result.expect("further");
    assert_eq!(
        stage.apply(advance(0, &[2], None)).result,
        Err(Refusal::OffsetMismatch { offset: 100 })
    );
    stage.apply(advance(100, &[2], Some((3, 5)))).result.expect("further");
    assert_eq!([1, 2, 3].map(|number| count(&stage, number)), [Some(0), Some(1), Some(1)]);
    for wrong in [
        advance(mib + 5, &[], None),
        advance(mib + 5, &[4, 5], Some((6, 11))),
        advance(mib + 5, &[4], Some((6, 0))),
        advance(mib + 5, &[4], Some((6, CHUNK_BYTES as u32))),
    ] {
        let refused = stage.apply(wrong.clone()).result;
        assert_eq!(refused, Err(Refusal::OffsetMismatch { offset: mib + 5 }), "{wrong:?}");
    }
    let early = UploadAdvance {
        end: end(FILE),
        ..advance(mib + 5, &[4], None)
    };
    assert_eq!(stage.apply(early).result, Err(Refusal::OffsetMismatch { offset: 2 * mib }));
    let last = UploadAdvance {
        end: end(FILE),
        ..advance(mib + 5, &[4], Some((6, 10)))
    };
    let done = stage.apply(last.clone()).result.expect("a file");
    assert_eq!((done.done, done.offset()), (Some(FILE), 2 * mib + 10));
    let version = rows::version(&stage.snapshot(), SPACE, FILE, 1)
        .expect("no fault")
        .expect("a version");
    assert_eq!(version.content.chunks, [hash(2), hash(4), hash(6)]);
    assert_eq!(
        (version.content.size, version.media_type.as_str()),
        (2 * mib + 10, "text/plain")
    );
    assert_eq!(
        [2, 3, 4, 6].map(|number| count(&stage, number)),
        [Some(1), Some(0), Some(1), Some(1)]
    );
    assert_eq!(keys(&stage, "upload_chunk"), 0);
    assert_eq!((totals(&stage).uploads, totals(&stage).uploading), (1, 0));
    assert!(stage.apply(last).result.is_err(), "it has ended");
    // It is remembered for a while.
    let forget = || UploadAbort {
        id: UPLOAD,
        expired: true,
    };
    stage.apply(forget()).result.expect("too early");
    assert!(upload::read(&stage.snapshot(), SPACE, UPLOAD).expect("no fault").is_some());
    stage.pass(KEPT_MICROS + 1_000);
    let now = stage.header().stamp + KEPT_MICROS + 1_000;
    assert_eq!(upload::expired(&stage.snapshot(), SPACE, now, 9).expect("no fault"), [UPLOAD]);
    stage.apply(forget()).result.expect("forgotten");
    assert!(upload::read(&stage.snapshot(), SPACE, UPLOAD).expect("no fault").is_none());
    assert_eq!((count(&stage, 2), totals(&stage).uploads), (Some(1), 0), "the file stays");
}

#[test]
fn an_upload_may_be_empty_a_version_or_given_up() {
    let mut stage = Stage::with_template("workspace");
    let empty = UploadBegin {
        end: end(FILE),
        ..begin(0)
    };
    assert_eq!(stage.apply(empty).result.expect("a file").done, Some(FILE));
    stage
        .apply(UploadAbort {
            id: UPLOAD,
            expired: false,
        })
        .result
        .expect("forgotten");
    let mut version = begin(CHUNK_BYTES as u64);
    version.upload.file = Some(FILE);
    stage.apply(version.clone()).result.expect("begun");
    let last = UploadAdvance {
        end: end(Uuid::from_u128(77)),
        ..advance(0, &[5], None)
    };
    assert_eq!(stage.apply(last).result.expect("a version").done, Some(FILE));
    let file = rows::file(&stage.snapshot(), SPACE, FILE).expect("no fault").expect("a file");
    assert_eq!((file.current, file.name.as_str()), (2, "b.bin"));
    stage
        .apply(UploadAbort {
            id: UPLOAD,
            expired: false,
        })
        .result
        .expect("forgotten");
    stage.apply(version).result.expect("begun");
    stage.apply(advance(0, &[], Some((6, 7)))).result.expect("further");
    stage
        .apply(UploadAbort {
            id: UPLOAD,
            expired: false,
        })
        .result
        .expect("given up");
    assert_eq!((count(&stage, 6), totals(&stage).uploading), (Some(0), 0));
    assert!(matches!(
        stage.apply(advance(7, &[], None)).result,
        Err(Refusal::NotFound { .. })
    ));
}

#[test]
fn a_file_is_attached_to_a_record_that_is_there() {
    let mut stage = Stage::with_template("workspace");
    stage.import(1, 2, 10);
    let tasks = stage.catalog().named("tasks").expect("tasks").number;
    let record = |line: u128| Uuid::from_u128(1 << 64 | line);
    let attached = Some((tasks, record(1)));
    stage
        .apply(FileCreate {
            attached,
            ..create(FILE, [1])
        })
        .result
        .expect("made");
    assert_eq!(keys(&stage, "file_attached"), 1);
    let change = |attached| FileChange {
        id: FILE,
        expect: None,
        name: None,
        attached,
    };
    let nowhere = Some(Some((tasks, Uuid::from_u128(404))));
    assert!(matches!(stage.apply(change(nowhere)).result, Err(Refusal::NotFound { .. })));
    let moved = stage.apply(change(Some(Some((tasks, record(2)))))).result.expect("moved");
    assert_eq!((moved.file.attached, moved.file.revision), (Some((tasks, record(2))), 2));
    assert_eq!(keys(&stage, "file_attached"), 1);
    let renamed = FileChange {
        name: Some("c.bin".to_owned()),
        expect: Some(2),
        ..change(None)
    };
    assert_eq!(stage.apply(renamed.clone()).result.expect("renamed").file.name, "c.bin");
    assert_eq!(stage.apply(renamed).result, Err(Refusal::VersionMismatch { current: 3 }));
    stage.apply(change(Some(None))).result.expect("detached");
    assert_eq!(keys(&stage, "file_attached"), 0);
}

/// An owner, whose token is for some collections or for all.
fn looker<'a>(catalog: &'a Catalog, scopes: Option<&'a [String]>) -> Looker<'a> {
    let auth = Auth {
        id: "token:ann",
        name: "ann",
        role: Role::Owner,
    };
    Looker {
        catalog,
        space: SPACE,
        asker: Asker { auth, now: 0 },
        scopes,
    }
}

#[test]
fn a_list_and_its_cursor_tell_nothing_of_files_that_are_hidden() {
    let mut stage = Stage::with_template("workspace");
    stage.import(1, 1, 10);
    let catalog = stage.catalog();
    let tasks = catalog.named("tasks").expect("tasks").number;
    let task = (tasks, Uuid::from_u128(1 << 64 | 1));
    for number in 1..=6u128 {
        let file = FileCreate {
            attached: [2, 5].contains(&number).then_some(task),
            ..create(Uuid::from_u128(number), [])
        };
        stage.apply(file).result.expect("made");
    }
    let (snapshot, scopes) = (stage.snapshot(), ["tasks".to_owned()]);
    let page = |scopes: Option<&[String]>, limit: usize, after: Option<u128>, rows: usize| {
        let cursor = after.map(|id| Uuid::from_u128(id).to_string());
        let looker = looker(&catalog, scopes);
        let page = list::page_within(&snapshot, &looker, None, limit, cursor.as_deref(), rows);
        let page = page.map_err(|error| error.code)?;
        let ids: Vec<_> = page.items.iter().map(|file| file.id.0.as_u128()).collect();
        let next = page.next_cursor.map(|id| Uuid::parse_str(&id).expect("an id").as_u128());
        Ok::<_, Code>((ids, next))
    };
    let some = Some(&scopes[..]);
    assert_eq!(page(some, 1, None, 9), Ok((vec![2], Some(2))), "another may be seen");
    assert_eq!(page(some, 1, Some(2), 9), Ok((vec![5], None)), "no cursor tells of more");
    assert_eq!(
        page(some, 9, None, 3),
        Ok((vec![2], Some(2))),
        "no cursor names what is hidden"
    );
    assert_eq!(page(some, 9, Some(2), 2), Err(Code::FilterTooBroad), "there is none to name");
    assert_eq!(page(None, 2, None, 9), Ok((vec![1, 2], Some(2))));
    assert_eq!(page(None, 9, None, 4), Ok((vec![1, 2, 3, 4], Some(4))));
}

#[test]
fn a_secret_is_set_once_unless_it_is_replaced() {
    let mut stage = Stage::with_template("workspace");
    let set = |number, replaces| LinkSecretSet {
        secret: [number; 32],
        replaces,
    };
    assert_eq!(secret(&stage.snapshot(), SPACE).expect("no fault"), None);
    for (number, replaces, then) in [(1, false, 1), (2, false, 1), (3, true, 3)] {
        assert_eq!(stage.apply(set(number, replaces)).result, Ok([then; 32]));
        assert_eq!(secret(&stage.snapshot(), SPACE).expect("no fault"), Some([then; 32]));
    }
}
