//! Cursors of searches: where a page ended, and of which search.

use api::body::search::SearchQuery;
use api::error::{Code, Error};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use storage::Space;
use storage::search::Rank;

/// Bytes of the digest that ties a cursor to its search.
const DIGEST_BYTES: usize = 8;

/// What ties a cursor to its search.
fn digest(space: Space, query: &SearchQuery, by_rarity: bool) -> [u8; DIGEST_BYTES] {
    // Another order would go on somewhere else.
    let what = (space.0, &query.q, &query.collections, &query.filter, by_rarity);
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&blake3::hash(format!("{what:?}").as_bytes()).as_bytes()[..DIGEST_BYTES]);
    digest
}

/// The cursor of a page that ended with this.
pub(super) fn encode(space: Space, query: &SearchQuery, by_rarity: bool, last: Rank) -> String {
    let place = [&last.score.to_be_bytes()[..], &last.id, &last.collection.to_be_bytes()].concat();
    URL_SAFE_NO_PAD.encode([&digest(space, query, by_rarity)[..], &place].concat())
}

/// What the page before ended with; none: this is the first.
pub(super) fn decode(space: Space, query: &SearchQuery, by_rarity: bool) -> Result<Option<Rank>, Error> {
    let Some(cursor) = &query.cursor else { return Ok(None) };
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (score, rest) = bytes
            .strip_prefix(&digest(space, query, by_rarity))?
            .split_first_chunk::<8>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let collection = rest.try_into().ok()?;
        Some(Rank {
            score: u64::from_be_bytes(*score),
            id: *id,
            collection: u32::from_be_bytes(collection),
        })
    };
    let wrong = || {
        Error::new(
            Code::InvalidCursor,
            "the cursor is not one that this search gave: start again without it",
        )
    };
    read().map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_search() {
        let rank = Rank {
            score: 1 << 40,
            id: [7; 16],
            collection: 3,
        };
        let query = |q: &str, cursor| SearchQuery {
            q: q.to_owned(),
            cursor,
            ..SearchQuery::default()
        };
        let cursor = encode(Space(4), &query("a", None), true, rank);
        let read = |space, q, by_rarity| decode(space, &query(q, Some(cursor.clone())), by_rarity);
        assert_eq!(read(Space(4), "a", true).expect("its own"), Some(rank));
        for other in [
            read(Space(5), "a", true),
            read(Space(4), "b", true),
            read(Space(4), "a", false),
        ] {
            assert_eq!(other.expect_err("another's").code, Code::InvalidCursor);
        }
        assert_eq!(decode(Space(4), &query("a", None), true).expect("none"), None);
        assert!(decode(Space(4), &query("a", Some("!".to_owned())), true).is_err());
    }
}
