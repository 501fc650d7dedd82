//! The log against the machine: arbitrary commands.

use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use storage::{KeyRange, Mark, Options, Space, Store};

use super::dream::Dream;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::{self, Payload, Stamped};
use crate::machine::envelope::{open, seal};
use crate::machine::idempotency::IdempotencyKey;
use crate::machine::reader::Reader;
use crate::machine::rows::Actor;
use crate::records::count::walked;
use crate::records::template;
use crate::records::totals;
use crate::records::write::{Expect, Operation};
use crate::space::create::SpaceCreate;
use crate::space::open::{SpaceOpen, SpaceOpenCounted};

/// Most commands of one run.
pub(super) const COMMANDS: usize = 48;
/// The spaces that commands are for: the directory, and two tenants of which one is there from the start.
const SPACES: [u64; 3] = [0, 7, 8];
/// The one that is there.
pub(super) const OPENED: u64 = 7;

/// One replica.
pub(super) struct Stage {
    pub(super) store: Store,
    pub(super) catalogs: Catalogs,
    pub(super) index: u64,
}

impl Stage {
    pub(super) fn open(dir: &Path) -> Self {
        let options = Options {
            pace: false,
            ..Options::default()
        };
        Self {
            store: Store::open(dir, options).unwrap_or_else(|error| panic!("open a store: {error}")),
            catalogs: Catalogs::default(),
            index: 0,
        }
    }

    /// Applies entries as one batch.
    pub(super) fn apply(&mut self, entries: &[Vec<u8>]) -> Vec<Option<Bytes>> {
        let mut batch = self
            .store
            .begin_batch()
            .unwrap_or_else(|error| panic!("begin a batch: {error}"));
        let mut answers = Vec::with_capacity(entries.len());
        for entry in entries {
            self.index += 1;
            let done = dispatch::apply(&mut batch, self.index, entry, &self.catalogs);
            answers.push(
                done.unwrap_or_else(|fault| panic!("applying entry {} faults: {fault}", self.index))
                    .answer,
            );
        }
        let mark = Mark {
            index: self.index,
            state: Vec::new(),
        };
        batch.commit(mark).unwrap_or_else(|error| panic!("commit a batch: {error}"));
        answers
    }

    fn hash(&self) -> ([u8; 32], u64) {
        let found = self.store.begin_read().hash(KeyRange::all());
        let found = found.unwrap_or_else(|error| panic!("hash a store: {error}"));
        (found.hash, found.keys)
    }

    /// That what is counted of the records of the space that is there is what a walk finds.
    fn assert_counted(&self) {
        let (snapshot, space) = (self.store.begin_read(), Space(OPENED));
        let counted = totals::read(&snapshot, space).unwrap_or_else(|fault| panic!("read totals: {fault}"));
        let found = walked(&snapshot, space).unwrap_or_else(|error| panic!("walk over a space: {error}"));
        if let Some(counted) = counted {
            assert_eq!(counted, found.totals(), "what is counted of the records, and what there is");
        }
    }

    fn schema(&self, space: u64) -> Option<u64> {
        let header = self.store.begin_read().header(Space(space));
        header
            .unwrap_or_else(|fault| panic!("read a header: {fault}"))
            .map(|header| header.schema)
    }
}

/// Applies the commands that the bytes stand for to two stores, one by one and in batches. `dir` is empty, and is left dirty.
pub fn commands(data: &[u8], dir: &Path) {
    let (mut single, mut batched) = (Stage::open(&dir.join("single")), Stage::open(&dir.join("batched")));
    let opening = opening(OPENED);
    assert_eq!(single.apply(std::slice::from_ref(&opening)), batched.apply(&[opening]));
    let mut dream = Dream::new(data);
    let (mut waiting, mut answers, mut are_sound) = (Vec::new(), Vec::new(), true);
    for number in 0..COMMANDS {
        if dream.is_over() {
            break;
        }
        let Some(entry) = next(&mut dream, &single) else { continue };
        are_sound &= open::<Stamped>(&entry).is_ok_and(|stamped| is_sound(&stamped.payload));
        answers.extend(single.apply(std::slice::from_ref(&entry)));
        waiting.push(entry);
        if dream.byte() < 64 || number + 1 == COMMANDS {
            assert_eq!(
                batched.apply(&waiting),
                answers,
                "the answers of one batch and of single commands"
            );
            waiting.clear();
            answers.clear();
        }
        if dream.byte() == 255 {
            // What was read from the delta is read from the file from here on.
            let persisted = batched.store.persist();
            persisted.unwrap_or_else(|error| panic!("persist a store: {error}"));
        }
    }
    assert_eq!(
        batched.apply(&waiting),
        answers,
        "the answers of one batch and of single commands"
    );
    assert_eq!(single.hash(), batched.hash(), "what two stores hold after the same commands");
    if are_sound {
        single.assert_counted();
    }
}

/// Whether a command gives no version a second time, as none does that is decided: where two versions have one number, only one is kept.
fn is_sound(payload: &Payload) -> bool {
    let is_fresh = |operation: &Operation| {
        matches!(
            operation,
            Operation::Store {
                expect: Expect::Fresh,
                ..
            }
        )
    };
    match payload {
        Payload::RecordsChange(change) => !change.0.operations.iter().any(is_fresh),
        Payload::ImportLines(import) => import.lines.iter().all(|line| line.own_id),
        // Those of before there was a history begin with the first version again, and an archive brings any.
        Payload::RecordsWrite(_) | Payload::ImportChunk(_) | Payload::RecordsRestore(_) => false,
        _ => true,
    }
}

/// The next entry of the log: a command that was dreamt of, or bytes that happen to be one.
pub(super) fn next(dream: &mut Dream<'_>, stage: &Stage) -> Option<Vec<u8>> {
    let frame = dream.byte();
    if frame == 255 {
        let most = dream.number();
        let bytes = dream.take(usize::try_from(most).unwrap_or(usize::MAX));
        let stamped: Stamped = open(bytes).ok()?;
        let bound = !is_directorys(&stamped.payload) || stamped.space == SPACES[0];
        return (bound && !is_brought(&stamped.payload)).then(|| bytes.to_vec());
    }
    let space = SPACES[usize::from(frame) % SPACES.len()];
    let stamp = if frame & 64 == 0 { 1_000_000 } else { dream.number() };
    let payload = Payload::deserialize(&mut *dream).ok()?;
    if is_brought(&payload) {
        return None;
    }
    // Commands of the directory name its space themselves, and are bound to it by who makes them.
    let space = if is_directorys(&payload) { SPACES[0] } else { space };
    let mut stamped = stamped(space, stamp, payload);
    if frame & 32 != 0 {
        stamped.schema = stage.schema(space);
    }
    if frame & 16 != 0 {
        stamped.access = Some(dream.number());
    }
    if frame & 8 != 0 {
        let (scope, body) = (dream.byte() & 65, dream.byte() & 1);
        stamped.idempotency = Some(IdempotencyKey {
            scope: [scope; 32],
            body: [body; 32],
        });
    }
    Some(seal(&stamped))
}

fn is_directorys(payload: &Payload) -> bool {
    matches!(
        payload,
        Payload::TenantReserve(_)
            | Payload::TenantPlan(_)
            | Payload::TenantDelete(_)
            | Payload::TenantForget(_)
            | Payload::OperatorPut(_)
            | Payload::OperationUpdate(_)
            | Payload::TenantChange(_)
            | Payload::TopologyPut(_)
            | Payload::TopologyLimited(_)
            | Payload::ApplyBegin(_)
            | Payload::ApplyTurn(_)
            | Payload::MoveBegin(_)
            | Payload::MoveAcross(_)
            | Payload::MoveTurn(_)
            // Bound to the group's own space, as the directory's are.
            | Payload::LevelRaise(_)
            | Payload::TenantReceive(_)
            | Payload::TenantLand(_)
            | Payload::BackupTurn(_)
            | Payload::RestoreTell(_)
    )
}

/// Whether a command brings rows or commands as another cell has them: those are taken as they are, and only come from one.
fn is_brought(payload: &Payload) -> bool {
    match payload {
        Payload::SpaceArrive(arrive) => !arrive.rows.is_empty() || arrive.end.is_some(),
        Payload::SpaceFollow(follow) => !follow.commands.is_empty(),
        _ => false,
    }
}

fn stamped(space: u64, stamp: u64, payload: Payload) -> Stamped {
    Stamped {
        stamp,
        space,
        actor: Actor::System,
        schema: None,
        access: None,
        idempotency: None,
        payload,
    }
}

/// An entry without a key, that depends on nothing.
pub(super) fn sealed(space: u64, payload: Payload) -> Vec<u8> {
    seal(&stamped(space, 1, payload))
}

/// An entry that was decided under a schema version, perhaps with a key.
pub(super) fn sealed_with(space: u64, payload: Payload, schema: Option<u64>, scope: Option<[u8; 32]>) -> Vec<u8> {
    let idempotency = scope.map(|scope| IdempotencyKey { scope, body: [0; 32] });
    seal(&Stamped {
        schema,
        idempotency,
        ..stamped(space, 1, payload)
    })
}

/// The entry that opens a space with the workspace template.
pub(super) fn opening(space: u64) -> Vec<u8> {
    let start = template::find("workspace").unwrap_or_else(|error| panic!("find a template: {error}"));
    let create = SpaceCreate {
        tenant: uuid::Uuid::from_u128(1),
        slug: "acme".to_owned(),
        name: "Acme".to_owned(),
        collections: start.collections,
        token: None,
    };
    let open = SpaceOpen {
        create,
        policies: start.policies,
    };
    sealed(space, SpaceOpenCounted(open).into())
}

/// Reads bytes as an entry of the log.
pub fn entry(data: &[u8]) {
    let Ok(stamped) = open::<Stamped>(data) else { return };
    let again = seal(&stamped);
    let back: Stamped = open(&again).unwrap_or_else(|error| panic!("a command that was encoded: {error}"));
    assert_eq!(seal(&back), again, "a command that was encoded twice");
}
