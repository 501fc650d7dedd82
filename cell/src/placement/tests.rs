use storage::table::SpaceHeader;
use storage::{KeyRange, Table};
use uuid::Uuid;

use super::arrive::{Cursor, Row, SpaceArrive, read};
use super::clear::SpaceClear;
use super::follow::SpaceFollow;
use super::turn::{SpaceTurn, Turn};
use crate::access::token_delete::TokenDelete;
use crate::machine::dispatch::Payload;
use crate::machine::envelope::seal;
use crate::machine::idempotency::IdempotencyKey;
use crate::machine::reader::Reader;
use crate::machine::refusal::Refusal;
use crate::machine::rows::{Place, SpaceStatus};
use crate::machine::stage::{SPACE, Stage, token};
use crate::space::erase::SpaceErase;

const TENANT: Uuid = Uuid::from_u128(1);

/// One of a few steps that a tenant's life is made of; some are refused.
fn live(stage: &mut Stage, step: u8) {
    match step % 5 {
        0 => stage.import(step, 40, 3),
        1 => {
            let key = IdempotencyKey {
                scope: [step; 32],
                body: [0; 32],
            };
            stage.apply_as(token(step), Some(key), None).result.expect("stored");
            stage.apply_as(token(step), Some(key), None).result.expect("answered again");
        }
        2 => {
            let refused = stage.apply_as(token(step), None, Some(1_000)).result;
            assert_eq!(refused, Err(Refusal::Stale));
        }
        3 => stage.pass(30 * 3_600 * 1_000_000),
        _ => {
            let id = Uuid::from_u128(u128::from(step) - 3);
            stage.apply(TokenDelete { id, owner: true }).result.expect("revoked");
        }
    }
}

fn clear(target: &mut Stage, attempt: u64, comes: bool) -> Result<bool, Refusal> {
    let tenant = TENANT;
    target.apply(SpaceClear { attempt, tenant, comes }).result
}

fn turn(stage: &mut Stage, attempt: u64, turn: Turn) -> Result<(), Refusal> {
    stage.apply(SpaceTurn { attempt, turn }).result
}

/// Copies the space as it is now; each chunk comes twice. The position that it was read at.
fn copy(source: &Stage, target: &mut Stage, attempt: u64) -> u64 {
    let (snapshot, mut cursor) = (source.snapshot(), Cursor::default());
    let index = snapshot.mark().index;
    for chunk in 0.. {
        let (rows, is_last) = read(&snapshot, SPACE, &mut cursor).expect("a chunk");
        let end = is_last.then(|| (source.header(), index));
        let arrive = SpaceArrive {
            attempt,
            chunk,
            rows,
            end,
        };
        target.apply(arrive.clone()).result.expect("taken");
        target.apply(arrive).result.expect("passed over");
        if is_last {
            break;
        }
    }
    index
}

fn follow(target: &mut Stage, attempt: u64, commands: Vec<(u64, Vec<u8>)>) -> Result<(), Refusal> {
    target.apply(SpaceFollow { attempt, commands }).result
}

/// What a space holds but its header: hash and keys.
fn rows(stage: &Stage) -> ([u8; 32], u64) {
    let range = KeyRange::space(SPACE).after(&SpaceHeader { space: SPACE }.key());
    let found = stage.snapshot().hash(range).expect("a hash");
    (found.hash, found.keys)
}

fn place(stage: &Stage) -> Place {
    stage.snapshot().placed(SPACE).expect("no fault").expect("a header").1
}

#[test]
fn wherever_it_is_copied_a_space_is_the_same_byte_for_byte() {
    const STEPS: u8 = 24;
    for copied_after in (0..STEPS).step_by(5) {
        let (mut source, mut target) = (Stage::with_template("workspace"), Stage::empty());
        (0..copied_after).for_each(|step| live(&mut source, step));
        assert_eq!(clear(&mut target, 5, true), Ok(true));
        let index = copy(&source, &mut target, 5);
        (copied_after..STEPS).for_each(|step| live(&mut source, step));
        let rest: Vec<_> = source.log.iter().filter(|(at, _)| *at > index).cloned().collect();
        for batch in rest.windows(4).step_by(2) {
            follow(&mut target, 5, batch.to_vec()).expect("repeated");
        }
        follow(&mut target, 5, rest.clone()).expect("repeated");
        let last = rest.last().map_or(index, |(at, _)| *at);
        assert_eq!(rows(&source), rows(&target), "copied after {copied_after} steps");
        assert_eq!(source.header(), target.header());
        assert_eq!(
            turn(
                &mut target,
                5,
                Turn::Arrive {
                    index: last + 1,
                    epoch: 2
                }
            ),
            Err(Refusal::Stale)
        );
        turn(&mut target, 5, Turn::Arrive { index: last, epoch: 2 }).expect("arrived");
        turn(&mut target, 5, Turn::Live).expect("live");
        let header = |stage: &Stage| stage.snapshot().get(&SpaceHeader { space: SPACE }).expect("no fault");
        assert_eq!(header(&source), header(&target), "a move leaves no trace in it");
        source.import(200, 3, 3);
        target.import(200, 3, 3);
        let positions = [&source, &target].map(|stage| stage.header().position);
        assert_eq!(positions[0], positions[1], "positions and sequences go on");
    }
}

#[test]
fn a_row_that_is_larger_than_a_chunk_comes_in_pieces() {
    let (mut source, mut target) = (Stage::with_template("workspace"), Stage::empty());
    source.import(9, 2, 2_500_000);
    clear(&mut target, 5, true).expect("cleared");
    copy(&source, &mut target, 5);
    assert_eq!(rows(&source), rows(&target));
}

#[test]
fn a_hold_keeps_every_write_out_and_lets_them_in_again() {
    let mut stage = Stage::with_template("workspace");
    let before = (rows(&stage), stage.header());
    turn(&mut stage, 5, Turn::Hold).expect("held");
    assert_eq!(stage.apply(token(1)).result, Err(Refusal::Moving));
    assert_eq!(
        stage
            .apply(SpaceErase {
                tenant: TENANT,
                after: None
            })
            .result,
        Err(Refusal::Moving),
        "nor is anything erased"
    );
    assert_eq!((rows(&stage), stage.header()), before, "a hold changes nothing else");
    assert!(place(&stage).is_read());
    assert_eq!(
        turn(&mut stage, 4, Turn::Release),
        Err(Refusal::Stale),
        "by who knows of this attempt"
    );
    turn(&mut stage, 6, Turn::Release).expect("released");
    stage.apply(token(1)).result.expect("stored");
}

#[test]
fn a_space_leaves_is_erased_and_comes_back() {
    let (mut here, mut there) = (Stage::with_template("workspace"), Stage::empty());
    (1..=3).for_each(|number| here.import(number, 900, 3));
    let sizes = |stage: &Stage| rows(stage).1;
    clear(&mut there, 5, true).expect("cleared");
    let index = copy(&here, &mut there, 5);
    turn(&mut here, 5, Turn::Hold).expect("held");
    turn(&mut there, 5, Turn::Arrive { index, epoch: 2 }).expect("arrived");
    assert_eq!(there.apply(token(1)).result, Err(Refusal::Moving), "writes wait");
    turn(&mut here, 5, Turn::Depart).expect("departed");
    assert!(!place(&here).is_read());
    assert_eq!(
        clear(&mut here, 5, true),
        Err(Refusal::Stale),
        "these are the tenant's rows until it lives elsewhere"
    );
    turn(&mut there, 5, Turn::Live).expect("live");
    there.apply(token(1)).result.expect("stored");
    // The move back may find some of what was left behind.
    let erase = SpaceErase {
        tenant: TENANT,
        after: None,
    };
    assert!(!here.apply(erase).result.expect("a step").done);
    assert_eq!(here.apply(token(2)).result, Err(Refusal::Moving));
    assert_eq!(turn(&mut here, 9, Turn::Release), Err(Refusal::NoSpace));
    while !clear(&mut here, 9, true).expect("a step") {
        assert_eq!(here.header().status, SpaceStatus::Erasing);
    }
    assert_eq!(sizes(&here), 0);
    let index = copy(&there, &mut here, 9);
    turn(&mut there, 9, Turn::Hold).expect("held");
    turn(&mut here, 9, Turn::Arrive { index, epoch: 2 }).expect("arrived");
    turn(&mut there, 9, Turn::Depart).expect("departed");
    turn(&mut here, 9, Turn::Live).expect("live");
    assert_eq!(rows(&here), rows(&there));
    here.apply(token(2)).result.expect("stored");
}

#[test]
fn what_an_attempt_sends_that_was_overtaken_is_refused() {
    let (source, mut target) = (Stage::with_template("workspace"), Stage::empty());
    clear(&mut target, 5, true).expect("cleared");
    copy(&source, &mut target, 5);
    clear(&mut target, 6, true).expect("cleared");
    assert_eq!(rows(&target).1, 0);
    let late = SpaceArrive {
        attempt: 5,
        chunk: 0,
        rows: Vec::new(),
        end: None,
    };
    assert_eq!(target.apply(late).result, Err(Refusal::Stale));
    assert_eq!(follow(&mut target, 5, Vec::new()), Err(Refusal::Stale));
    assert_eq!(clear(&mut target, 5, true), Err(Refusal::Stale));
    assert_eq!(turn(&mut target, 5, Turn::Live), Err(Refusal::NoSpace));
    copy(&source, &mut target, 6);
    // Called off: what has come goes again, and a late word of the attempt does not bring it back.
    assert_eq!(clear(&mut target, 7, false), Ok(true));
    assert_eq!((rows(&target).1, place(&target)), (0, Place::Departed { attempt: 7 }));
    assert_eq!(clear(&mut target, 6, true), Err(Refusal::Stale));
    let mut served = Stage::with_template("workspace");
    assert_eq!(
        clear(&mut served, 8, true),
        Err(Refusal::Stale),
        "what is served is never cleared"
    );
}

#[test]
fn a_space_that_came_back_for_a_tenant_that_lives_elsewhere_is_taken_away() {
    let (source, mut here) = (Stage::with_template("workspace"), Stage::empty());
    clear(&mut here, 5, true).expect("cleared");
    let index = copy(&source, &mut here, 5);
    turn(&mut here, 5, Turn::Arrive { index, epoch: 1 }).expect("arrived");
    turn(&mut here, 5, Turn::Live).expect("live");
    assert_eq!(clear(&mut here, 5, false), Err(Refusal::Stale), "it is served");
    turn(&mut here, 5, Turn::Hold).expect("held");
    assert_eq!(clear(&mut here, 9, true), Err(Refusal::Stale), "nobody brings it meanwhile");
    turn(&mut here, 5, Turn::Depart).expect("departed");
    let (tenant, after) = (TENANT, None);
    let erased = here.apply(SpaceErase { tenant, after }).result.expect("a step");
    assert!(erased.done);
    assert_eq!((rows(&here).1, place(&here)), (0, Place::Departed { attempt: 5 }));
    assert_eq!(
        clear(&mut here, 5, true),
        Err(Refusal::Stale),
        "nothing late of it comes back"
    );
    assert_eq!(clear(&mut here, 9, true), Ok(true), "a later move does");
}

#[test]
fn the_bytes_of_places_and_commands_never_change() {
    let attempt = 5;
    let places = [
        Place::Here,
        Place::Held { attempt },
        Place::Departed { attempt },
        Place::Clearing { attempt },
        Place::Copying { attempt, chunks: 3 },
        Place::Following { attempt, index: 9 },
        Place::Arrived { attempt, epoch: 2 },
    ];
    let golden: [&[u8]; 7] = [&[0], &[1, 5], &[2, 5], &[3, 5], &[4, 5, 3], &[5, 5, 9], &[6, 5, 2]];
    assert_eq!(places.map(|place| seal(&place)[2..].to_vec()), golden.map(<[u8]>::to_vec));
    let turns = [
        Turn::Hold,
        Turn::Release,
        Turn::Arrive { index: 9, epoch: 2 },
        Turn::Depart,
        Turn::Live,
    ];
    let golden: [&[u8]; 5] = [&[0], &[1], &[2, 9, 2], &[3], &[4]];
    assert_eq!(turns.map(|turn| seal(&turn)[2..].to_vec()), golden.map(<[u8]>::to_vec));
    let bytes = |payload: Payload| seal(&payload)[2..].to_vec();
    let row = Row {
        key: vec![1],
        offset: 0,
        value: vec![2, 3],
    };
    let arrive = SpaceArrive {
        attempt,
        chunk: 3,
        rows: vec![row],
        end: None,
    };
    let follow = SpaceFollow {
        attempt,
        commands: vec![(9, vec![7])],
    };
    let clear = SpaceClear {
        attempt,
        tenant: TENANT,
        comes: true,
    };
    assert_eq!(
        bytes(
            SpaceTurn {
                attempt,
                turn: Turn::Depart
            }
            .into()
        ),
        [26, 5, 3]
    );
    assert_eq!(bytes(clear.into()), [&[27, 5, 16][..], TENANT.as_bytes(), &[1]].concat());
    assert_eq!(bytes(arrive.into()), [28, 5, 3, 1, 1, 1, 0, 2, 2, 3, 0]);
    assert_eq!(bytes(follow.into()), [29, 5, 1, 9, 1, 7]);
}
