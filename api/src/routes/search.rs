//! Search, and how it is done.

use http::StatusCode;

use crate::body::search::{SearchQuery, SearchSettings};
use crate::error::Result;
use crate::front::Asked;
use crate::gate;
use crate::ids::Name;
use crate::limits::{FILTER_BYTES, SEARCH_BYTES, SEARCH_LIST};
use crate::query::{Query, invalid};
use crate::reply::{self, Marks, Reply};
use crate::service::{Consistency, RequestContext};

pub(super) async fn answer(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let fresh = fresh(&mut asked.query)?;
    let query = query(&mut asked.query)?;
    let found = asked.limited(false, asked.front.service.search(ctx, query, fresh)).await?;
    Ok(reply::json(StatusCode::OK, &found.body)?.at(found.position))
}

pub(super) async fn settings(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    asked.query.consistency()?;
    asked.query.finish()?;
    let settings = asked.limited(false, asked.front.service.search_settings(ctx)).await?;
    Ok(reply::json(StatusCode::OK, &settings.body)?.at(settings.position))
}

pub(super) async fn set(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    gate::unscoped(ctx)?;
    asked.query.finish()?;
    let wanted: SearchSettings = asked.json().await?;
    let settings = asked.limited(true, asked.front.service.search_set(ctx, wanted)).await?;
    Ok(reply::json(StatusCode::OK, &settings.body)?.at(settings.position))
}

/// What the index must show. Records are as they are now whatever it shows: waiting for it is for who asks to.
fn fresh(query: &mut Query) -> Result<Consistency> {
    match query.has("consistency") {
        true => query.consistency(),
        false => Ok(Consistency::Local),
    }
}

fn query(query: &mut Query) -> Result<SearchQuery> {
    let q = query.take("q").unwrap_or_default();
    if q.len() > SEARCH_BYTES {
        return Err(invalid("q", &format!("is longer than {SEARCH_BYTES} bytes")));
    }
    let collections = list(query, "collections")?.map(|names| names.iter().map(|name| name.parse()).collect());
    let collections: Option<Result<Vec<Name>, _>> = collections;
    let collections = collections
        .transpose()
        .map_err(|_| invalid("collections", "must be names of collections with commas between them"))?;
    let filter = query.take("filter");
    if filter.as_ref().is_some_and(|filter| filter.len() > FILTER_BYTES) {
        return Err(invalid("filter", &format!("is longer than {FILTER_BYTES} bytes")));
    }
    let read = SearchQuery {
        q,
        collections,
        filter,
        facets: list(query, "facets")?.unwrap_or_default(),
        highlight: query.flag("highlight")?.unwrap_or(false),
        limit: query.limit()?,
        cursor: query.cursor()?,
    };
    query.finish()?;
    Ok(read)
}

/// Takes names with commas between them.
pub(super) fn list(query: &mut Query, name: &str) -> Result<Option<Vec<String>>> {
    let Some(text) = query.take(name) else { return Ok(None) };
    let mut names: Vec<String> = Vec::new();
    for one in text.split(',').filter(|one| !one.is_empty()) {
        if names.iter().any(|known| known == one) {
            return Err(invalid(name, "names something twice"));
        }
        names.push(one.to_owned());
    }
    match names.len() {
        0 => Err(invalid(name, "is empty")),
        1..=SEARCH_LIST => Ok(Some(names)),
        _ => Err(invalid(name, &format!("has more than {SEARCH_LIST} names"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<SearchQuery> {
        query(&mut Query::parse(Some(text)).expect("a query"))
    }

    #[test]
    fn a_search_is_read_strictly() {
        let read = parsed("q=cn-12+%22a+b%22&collections=tasks,comments&facets=status&highlight=true&limit=7").expect("a search");
        assert_eq!(read.q, "cn-12 \"a b\"");
        assert_eq!(read.collections.expect("named").len(), 2);
        assert_eq!(
            (read.facets, read.highlight, read.limit),
            (vec!["status".to_owned()], true, 7)
        );
        for wrong in [
            "q=a&x=1",
            "q=a&collections=",
            "q=a&collections=a,a",
            "q=a&collections=No",
            "q=a&highlight=1",
            "q=a&limit=0",
            "q=a&facets=,",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        assert!(parsed(&format!("q={}", "x".repeat(SEARCH_BYTES + 1))).is_err());
        let read = |text: &str| fresh(&mut Query::parse(Some(text)).expect("a query")).expect("fresh");
        assert_eq!(
            (read("q=a"), read("consistency=strong")),
            (Consistency::Local, Consistency::Strong)
        );
    }
}
