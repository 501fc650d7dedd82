//! Idempotency keys: the reply of a request is stored by the commit of its effect, so that any retry is answered with it.
//!
//! The scope is a digest of principal, method, path and key; a second digest tells whether the body is the same. Keys are
//! kept for 24 hours of stamped time. One in 64 commands that store one removes those that have expired.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storage::table::{Idempotency, IdempotencyExpiry};
use storage::{Direction, Space, Table};

use super::envelope::EnvelopeError;
use super::limits::{IDEMPOTENCY_MICROS, IDEMPOTENCY_SWEEP, IDEMPOTENCY_TURN};
use super::reader::{Reader, decode};
use super::refusal::{Fault, Refusal, Stop};
use super::world::World;
use crate::mutant::Mutant;

/// A key as the command carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdempotencyKey {
    /// Digest of principal, method, path and key.
    pub(crate) scope: [u8; 32],
    /// Digest of the body.
    pub(crate) body: [u8; 32],
}

/// What is stored for a key.
#[derive(Serialize, Deserialize)]
enum IdempotencyRow {
    /// Digest of the body, stamp, sealed answer.
    V1 { body: [u8; 32], stamp: u64, answer: Vec<u8> },
}

/// The stored answer of a key, if the request was answered before.
pub(crate) fn stored(reader: &impl Reader, space: Space, key: &IdempotencyKey) -> Result<Option<Bytes>, Stop> {
    // Mutant, B9.
    if Mutant::IdempotencyIgnored.active() {
        return Ok(None);
    }
    let Some(row) = reader.row(&Idempotency { space, scope: key.scope })? else {
        return Ok(None);
    };
    let IdempotencyRow::V1 { body, answer, .. } = row;
    if body != key.body {
        return Err(Refusal::IdempotencyMismatch.into());
    }
    Ok(Some(answer.into()))
}

/// Stores an answer.
pub(crate) fn store(world: &mut World<'_>, key: &IdempotencyKey, answer: &[u8]) -> Result<(), Fault> {
    let (space, stamp) = (world.space, world.stamp);
    // The scope is a digest: its first byte is as good as a die, and the same on every replica.
    if key.scope[0].is_multiple_of(IDEMPOTENCY_TURN) {
        sweep(world)?;
    }
    let row = IdempotencyRow::V1 {
        body: key.body,
        stamp,
        answer: answer.to_vec(),
    };
    world.put(&Idempotency { space, scope: key.scope }, &row);
    world.put_key(&IdempotencyExpiry {
        space,
        stamp,
        scope: key.scope,
    });
    Ok(())
}

/// When a reply may be forgotten: what its row says of that.
pub(crate) fn expiry(key: &Idempotency, bytes: &[u8]) -> Result<IdempotencyExpiry, Fault> {
    let IdempotencyRow::V1 { stamp, .. } = decode(key, bytes)?;
    Ok(IdempotencyExpiry {
        space: key.space,
        stamp,
        scope: key.scope,
    })
}

/// Removes a few expired keys.
fn sweep(world: &mut World<'_>) -> Result<(), Fault> {
    let space = world.space;
    let before = world.stamp.saturating_sub(IDEMPOTENCY_MICROS);
    let expired: Vec<_> = world
        .scan(IdempotencyExpiry::range_before(space, before), Direction::Forward)
        .take(IDEMPOTENCY_SWEEP)
        .collect::<Result<_, _>>()?;
    for (key, _) in expired {
        let expiry = IdempotencyExpiry::parse(key.as_bytes()).map_err(|error| bad_key(&key, &error))?;
        world.delete(&Idempotency {
            space,
            scope: expiry.scope,
        });
        world.delete_raw(key);
    }
    Ok(())
}

/// A key that its own table cannot read.
pub(crate) fn bad_key(key: &storage::Key, error: &storage::KeyError) -> Fault {
    Fault::Row(
        key.to_string(),
        EnvelopeError::Body {
            what: "key",
            why: error.to_string(),
        },
    )
}
