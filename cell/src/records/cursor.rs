//! Cursors: where a page ended. A cursor names the list that it belongs to and the key that it stopped at, so that it stays right while
//! records change.

use api::body::record::ListQuery;
use api::error::{Code, Error};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use storage::{Direction, Key, KeyRange, Space};

use super::plan::Plan;
use super::schema::Collection;

/// Bytes of the digest that ties a cursor to its list.
const DIGEST_BYTES: usize = 8;

/// What ties a cursor to its list.
pub(super) fn digest(space: Space, collection: &Collection, query: &ListQuery, plan: &Plan) -> [u8; DIGEST_BYTES] {
    let what = (
        space.0,
        collection.number,
        plan.index,
        &query.order,
        &query.equals,
        &query.filter,
        plan.sort.is_some(),
    );
    let hash = blake3::hash(format!("{what:?}").as_bytes());
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&hash.as_bytes()[..DIGEST_BYTES]);
    digest
}

/// The cursor of a page that ended at a place: a key, or what a sorted list sorts by.
pub(super) fn encode(digest: [u8; DIGEST_BYTES], place: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode([digest.as_slice(), place].concat())
}

/// The place that a cursor names.
pub(super) fn decode(cursor: &str, digest: [u8; DIGEST_BYTES]) -> Result<Vec<u8>, Error> {
    let mut bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    if !bytes.starts_with(&digest) {
        return Err(wrong());
    }
    Ok(bytes.split_off(DIGEST_BYTES))
}

fn wrong() -> Error {
    Error::new(
        Code::InvalidCursor,
        "the cursor is not one that this list gave: start again without it",
    )
}

/// The rest of a list after a cursor.
pub(super) fn resume(plan: &Plan, cursor: &str, digest: [u8; DIGEST_BYTES]) -> Result<Vec<KeyRange>, Error> {
    let place = decode(cursor, digest)?;
    let at = plan
        .ranges
        .iter()
        .position(|range| range.contains(&place))
        .ok_or_else(wrong)?;
    let key = Key::from_bytes(place.into()).map_err(|_| wrong())?;
    let mut ranges = plan.ranges.clone();
    Ok(match plan.direction {
        Direction::Forward => {
            ranges.drain(..at);
            ranges[0] = ranges[0].clone().after(&key);
            ranges
        }
        Direction::Backward => {
            ranges.truncate(at + 1);
            ranges[at] = ranges[at].clone().before(&key);
            ranges
        }
    })
}
