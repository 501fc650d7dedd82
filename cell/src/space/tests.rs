use storage::{Direction, KeyRange};

use super::create::SpaceCreate;
use super::erase::SpaceErase;
use crate::access::token_create::TokenCreate;
use crate::access::token_delete::TokenDelete;
use crate::access::token_row::{StoredRole, TokenRow};
use crate::machine::limits::ERASE_KEYS;
use crate::machine::refusal::Refusal;
use crate::machine::rows::SpaceStatus;
use crate::machine::stage::{SPACE, Stage};
use crate::records::import::{Checkpoint, ImportChunk, ImportRow};
use crate::records::value::{Doc, Value};
use uuid::Uuid;

fn create() -> SpaceCreate {
    SpaceCreate {
        tenant: Uuid::from_u128(1),
        slug: "acme".into(),
        name: "Acme".into(),
        collections: Vec::new(),
        token: None,
    }
}

fn token(number: u128, role: StoredRole) -> TokenCreate {
    let hash = [u8::try_from(number).expect("small"); 32];
    let (id, name) = (Uuid::from_u128(number), "t".to_owned());
    TokenCreate {
        row: TokenRow {
            id,
            hash,
            name,
            role,
            scopes: None,
            created: 0,
            expires: None,
        },
    }
}

/// A chunk of rows with ids from a number on; the title is the first text field.
fn chunk(stage: &Stage, after: u64, lines: u64, first: u128) -> ImportChunk {
    let catalog = stage.catalog();
    let tasks = catalog.named("tasks").expect("tasks");
    let title = tasks.field("title").expect("a title").number;
    let row = |line: u64| {
        let mut doc = Doc::default();
        doc.set(title, Some(Value::Text(format!("t{line}"))));
        ImportRow {
            line,
            id: Uuid::from_u128(first + u128::from(line)),
            created: Some(5),
            doc,
        }
    };
    let rows = (after + 1..=after + lines).map(row).collect();
    ImportChunk {
        import: [3; 32],
        collection: tasks.number,
        after,
        last: after + lines,
        rows,
        refused: 0,
    }
}

#[test]
fn a_space_is_made_once_and_erased_for_good() {
    let mut stage = Stage::with_template("workspace");
    assert!(matches!(stage.apply(create()).result, Err(Refusal::AlreadyExists { .. })));
    for after in [0, 500, 1_000] {
        stage.apply(chunk(&stage, after, 500, 0)).result.expect("imported");
    }
    let (mut steps, mut after) = (0, None);
    loop {
        let step = stage
            .apply(SpaceErase {
                tenant: Uuid::from_u128(1),
                after: after.take(),
            })
            .result
            .expect("a step");
        assert!(step.keys <= ERASE_KEYS as u64);
        steps += 1;
        assert!(
            matches!(stage.apply(token(9, StoredRole::Guest)).result, Err(Refusal::NoSpace)),
            "nothing is written any more"
        );
        if step.done {
            break;
        }
        after = step.last;
    }
    assert!(steps > 3, "1,500 records take several steps");
    assert_eq!(stage.header().status, SpaceStatus::Erased);
    assert_eq!(
        stage.snapshot().scan(KeyRange::space(SPACE), Direction::Forward).count(),
        1,
        "only the header is left"
    );
    assert!(
        stage.apply(create()).result.is_err(),
        "a late creation does not bring it back"
    );
}

#[test]
fn an_import_is_stored_once_however_often_it_is_sent() {
    let mut stage = Stage::with_template("workspace");
    let first = chunk(&stage, 0, 3, 0);
    let done = stage.apply(first.clone()).result.expect("imported");
    assert_eq!(
        done.checkpoint,
        Checkpoint {
            last: 3,
            imported: 3,
            failed: 0
        }
    );
    let position = stage.header().position;
    assert_eq!(stage.apply(first).result.expect("skipped").checkpoint, done.checkpoint);
    assert_eq!(stage.header().position, position);
    assert_eq!(
        stage.apply(chunk(&stage, 5, 3, 0)).result,
        Err(Refusal::Stale),
        "lines 4 and 5 are missing"
    );
    let mut second = chunk(&stage, 3, 3, 0);
    second.rows[1].id = Uuid::from_u128(2);
    let done = stage.apply(second).result.expect("imported");
    assert_eq!(
        done.checkpoint,
        Checkpoint {
            last: 6,
            imported: 5,
            failed: 1
        }
    );
    assert!(
        matches!(done.refused[..], [(5, Refusal::AlreadyExists { .. })]),
        "one line is refused and stops nothing else"
    );
}

#[test]
fn only_an_owner_revokes_an_owner_and_each_change_makes_older_decisions_stale() {
    let mut stage = Stage::with_template("workspace");
    let access = stage.header().access;
    stage.apply(token(1, StoredRole::Owner)).result.expect("stored");
    stage.apply(token(2, StoredRole::Member)).result.expect("stored");
    assert_eq!(stage.header().access, access + 2);
    let owners = TokenDelete {
        id: Uuid::from_u128(1),
        owner: false,
    };
    assert!(matches!(stage.apply(owners).result, Err(Refusal::NotFound { .. })));
    stage
        .apply(TokenDelete {
            id: Uuid::from_u128(1),
            owner: true,
        })
        .result
        .expect("revoked");
    assert_eq!(stage.header().access, access + 3);
}
