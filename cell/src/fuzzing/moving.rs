//! A space that is copied to another cell against the one that it was copied from: arbitrary commands.

use std::path::Path;

use storage::table::SpaceHeader;
use storage::{KeyRange, Space, Table};
use uuid::Uuid;

use super::commands::{COMMANDS, OPENED, Stage, next, opening, sealed};
use super::dream::Dream;
use crate::machine::dispatch::{Payload, Stamped};
use crate::machine::envelope::open;
use crate::machine::reader::Reader;
use crate::machine::rows::Place;
use crate::placement::arrive::{Cursor, SpaceArrive, read};
use crate::placement::clear::SpaceClear;
use crate::placement::follow::SpaceFollow;

/// The attempt of the move.
const ATTEMPT: u64 = 5;

/// Applies the commands that the bytes stand for to a space, copies it somewhere on the way, and repeats the rest in the copy. `dir` is
/// empty, and is left dirty.
pub fn moving(data: &[u8], dir: &Path) {
    let (mut source, mut target) = (Stage::open(&dir.join("source")), Stage::open(&dir.join("target")));
    source.apply(&[opening(OPENED)]);
    let mut dream = Dream::new(data);
    let copied_after = usize::from(dream.byte()) % COMMANDS;
    let mut waiting = Vec::new();
    for number in 0..COMMANDS {
        if number == copied_after {
            copy(&source, &mut target);
        }
        let Some(entry) = next(&mut dream, &source).filter(|entry| goes_along(entry)) else {
            continue;
        };
        source.apply(std::slice::from_ref(&entry));
        if number >= copied_after {
            waiting.push((source.index, entry));
        }
        if number >= copied_after && dream.byte() < 64 {
            // Some are sent twice.
            let commands = waiting.clone();
            waiting.drain(..waiting.len() / 2);
            follow(&mut target, commands);
        }
    }
    if copied_after < COMMANDS {
        follow(&mut target, waiting);
    }
    assert_eq!(rows(&source), rows(&target), "a space and its copy");
    let placed = |stage: &Stage| {
        let placed = stage.store.begin_read().placed(Space(OPENED));
        placed.unwrap_or_else(|fault| panic!("read a header: {fault}")).unzip()
    };
    assert_eq!(placed(&source).0, placed(&target).0, "their headers");
    assert!(matches!(placed(&target).1, Some(Place::Following { attempt: ATTEMPT, .. })));
}

/// Whether the entry is one that a tap on the space holds: steps of moves and erasures are not.
fn goes_along(entry: &[u8]) -> bool {
    open::<Stamped>(entry).is_ok_and(|stamped| {
        let stays = matches!(
            stamped.payload,
            Payload::SpaceTurn(_)
                | Payload::SpaceClear(_)
                | Payload::SpaceArrive(_)
                | Payload::SpaceFollow(_)
                | Payload::SpaceErase(_)
                | Payload::ScrubBegin(_)
        );
        stamped.space == OPENED && !stays
    })
}

fn copy(source: &Stage, target: &mut Stage) {
    let clear = SpaceClear {
        attempt: ATTEMPT,
        tenant: Uuid::from_u128(1),
        comes: true,
    };
    target.apply(&[sealed(OPENED, clear.into())]);
    let snapshot = source.store.begin_read();
    let header = snapshot.header(Space(OPENED));
    let header = header.unwrap_or_else(|fault| panic!("read a header: {fault}"));
    let mut cursor = Cursor::default();
    for chunk in 0.. {
        let read = read(&snapshot, Space(OPENED), &mut cursor);
        let (rows, is_last) = read.unwrap_or_else(|error| panic!("read a chunk: {error}"));
        let end = header.clone().filter(|_| is_last).map(|header| (header, source.index));
        let arrive = SpaceArrive {
            attempt: ATTEMPT,
            chunk,
            rows,
            end,
        };
        target.apply(&[sealed(OPENED, arrive.into())]);
        if is_last {
            break;
        }
    }
}

fn follow(target: &mut Stage, commands: Vec<(u64, Vec<u8>)>) {
    let attempt = ATTEMPT;
    target.apply(&[sealed(OPENED, SpaceFollow { attempt, commands }.into())]);
}

/// The hash of all rows of the space but its header, and how many there are.
fn rows(stage: &Stage) -> ([u8; 32], u64) {
    let space = Space(OPENED);
    let range = KeyRange::space(space).after(&SpaceHeader { space }.key());
    let found = stage.store.begin_read().hash(range);
    let found = found.unwrap_or_else(|error| panic!("hash a space: {error}"));
    (found.hash, found.keys)
}
