//! The subscriptions of one connection: what each wants, and how far it has come.

use std::collections::BTreeMap;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::body::event::{EventQuery, Seen};
use crate::body::live::Subscribe;
use crate::error::{Code, Error, Result};
use crate::ids::Name;
use crate::limits::{FILTER_BYTES, LIVE_ID_CHARS, LIVE_SUBSCRIPTIONS, SEARCH_LIST};
use crate::routes::events::wanted::record;

/// Events that are read at a time.
pub(super) const PAGE: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(BTreeMap<String, EventQuery>);

impl Subscriptions {
    /// Whether any has something to read at a position.
    pub(super) fn are_behind(&self, position: u64) -> bool {
        self.0.values().any(|query| query.after < position)
    }

    /// One that has something to read at a position: the one that is furthest behind.
    pub(super) fn behind(&self, position: u64) -> Option<(String, EventQuery)> {
        let behind = self.0.iter().filter(|(_, query)| query.after < position);
        let (id, query) = behind.min_by_key(|(_, query)| query.after)?;
        Some((id.clone(), query.clone()))
    }

    /// A subscription has come so far.
    pub(super) fn reached(&mut self, id: &str, position: u64) {
        if let Some(query) = self.0.get_mut(id) {
            query.after = query.after.max(position);
        }
    }

    /// Adds a subscription, or refuses it.
    pub(super) fn add(&mut self, id: String, query: EventQuery) -> Result<()> {
        if !self.0.contains_key(&id) && self.0.len() >= LIVE_SUBSCRIPTIONS {
            let detail = format!("a connection has at most {LIVE_SUBSCRIPTIONS} subscriptions");
            return Err(Error::new(Code::TooManyRequests, detail));
        }
        self.0.insert(id, query);
        Ok(())
    }

    /// Ends a subscription; false: there is none.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        self.0.remove(id).is_some()
    }

    /// How far each has come.
    pub(super) fn positions(&self) -> BTreeMap<String, u64> {
        self.0.iter().map(|(id, query)| (id.clone(), query.after)).collect()
    }
}

/// What a client wants to hear, with the position after which to start.
pub(super) fn query(asked: &Subscribe, after: u64) -> Result<EventQuery> {
    let wrong = |what: String| Error::new(Code::InvalidParameter, what);
    if !(1..=LIVE_ID_CHARS).contains(&asked.id.chars().count()) {
        return Err(wrong(format!("id: has 1 to {LIVE_ID_CHARS} characters")));
    }
    if asked.filter.as_ref().is_some_and(|filter| filter.len() > FILTER_BYTES) {
        return Err(wrong(format!("filter: is longer than {FILTER_BYTES} bytes")));
    }
    if asked
        .collections
        .as_ref()
        .is_some_and(|names| names.is_empty() || names.len() > SEARCH_LIST)
    {
        return Err(wrong(format!("collections: has 1 to {SEARCH_LIST} names")));
    }
    let names = asked
        .collections
        .as_ref()
        .map(|names| names.iter().map(|name| name.parse()).collect());
    let names: Option<Result<Vec<Name>, crate::ids::IdError>> = names;
    Ok(EventQuery {
        after,
        limit: PAGE,
        collections: names.transpose().map_err(|error| wrong(format!("collections: {error}")))?,
        record: asked.record.as_deref().map(record).transpose()?,
        filter: asked.filter.clone(),
        with_fields: asked.include.is_some(),
    })
}

/// An event as one subscription hears it.
pub(super) fn message(id: &str, seen: &Seen) -> Utf8Bytes {
    let line = seen.line();
    let mut text = Vec::with_capacity(line.len() + id.len() + 64);
    text.extend_from_slice(b"{\"type\":\"event\",\"id\":");
    // A text cannot fail to serialise.
    text.extend_from_slice(&serde_json::to_vec(id).unwrap_or_default());
    text.extend_from_slice(format!(",\"position\":{},\"event\":", seen.position()).as_bytes());
    text.extend_from_slice(line.trim_ascii_end());
    text.push(b'}');
    // JSON is UTF-8.
    Utf8Bytes::try_from(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribe(id: &str) -> Subscribe {
        Subscribe {
            id: id.into(),
            ..Subscribe::default()
        }
    }

    #[test]
    fn the_one_that_is_furthest_behind_comes_first() {
        let mut all = Subscriptions::default();
        for (id, after) in [("a", 7), ("b", 3)] {
            all.add(id.into(), query(&subscribe(id), after).expect("a query"))
                .expect("room");
        }
        assert_eq!(all.behind(9).expect("behind").0, "b");
        all.reached("b", 9);
        assert_eq!(all.behind(9).expect("behind").0, "a");
        all.reached("a", 9);
        assert!(all.behind(9).is_none() && all.are_behind(10));
        assert_eq!(
            all.positions().into_iter().collect::<Vec<_>>(),
            [("a".into(), 9), ("b".into(), 9)]
        );
        for more in 2..LIVE_SUBSCRIPTIONS {
            all.add(format!("{more}"), EventQuery::default()).expect("room");
        }
        assert_eq!(
            all.add("c".into(), EventQuery::default()).expect_err("full").code,
            Code::TooManyRequests
        );
        all.add("a".into(), EventQuery::default()).expect("in the place of the other");
        assert!(all.remove("a") && !all.remove("a"));
    }

    #[test]
    fn what_is_wanted_is_read_strictly() {
        let wrong = [
            subscribe(""),
            Subscribe {
                collections: Some(vec![]),
                ..subscribe("a")
            },
            Subscribe {
                collections: Some(vec!["No".into()]),
                ..subscribe("a")
            },
            Subscribe {
                record: Some("tasks".into()),
                ..subscribe("a")
            },
            Subscribe {
                filter: Some("x".repeat(FILTER_BYTES + 1)),
                ..subscribe("a")
            },
        ];
        for wrong in wrong {
            assert_eq!(
                query(&wrong, 0).expect_err("refused").code,
                Code::InvalidParameter,
                "{wrong:?}"
            );
        }
    }
}
