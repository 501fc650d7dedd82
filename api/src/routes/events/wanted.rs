//! What a request for events asks for.

use std::time::Duration;

use http::HeaderMap;
use http::header::{ACCEPT, HeaderName};
use http::request::Parts;

use crate::body::event::EventQuery;
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::ids::{Id, Name};
use crate::limits::FILTER_BYTES;
use crate::query::{Query, digits, invalid};
use crate::routes::search::list;

/// Longest `wait`, in seconds.
const WAIT_SECONDS: u64 = 60;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Ndjson,
    Sse,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) form: Form,
    /// What is asked of the service; `after` is how far it has come.
    pub(super) query: EventQuery,
    /// Events that are still wanted.
    pub(super) left: u64,
    pub(super) wait: Duration,
    pub(super) follow: bool,
    /// The position at the start: what does not follow ends there.
    pub(super) until: u64,
}

pub(super) fn wanted(asked: &mut Asked<'_>) -> Result<Wanted> {
    let form = form(&asked.head.headers);
    let query = &mut asked.query;
    query.consistency()?;
    let mut after = query.number("after")?.unwrap_or(0);
    if let Some(last) = asked.head.headers.get(LAST_EVENT_ID) {
        let last = last.to_str().ok().and_then(digits);
        after = last.ok_or_else(|| Error::new(Code::InvalidParameter, "Last-Event-ID is not a position"))?;
    }
    let left = query.number("limit")?.unwrap_or(u64::MAX);
    if left == 0 {
        return Err(invalid("limit", "must be at least 1"));
    }
    let wait = query.number("wait")?.unwrap_or(0);
    if wait > WAIT_SECONDS {
        return Err(invalid("wait", &format!("must be at most {WAIT_SECONDS} seconds")));
    }
    let follow = query.flag("follow")?.unwrap_or(form == Form::Sse);
    let collections = list(query, "collections")?.map(|names| names.iter().map(|name| name.parse()).collect());
    let collections: Option<Result<Vec<Name>, _>> = collections;
    let collections = collections
        .transpose()
        .map_err(|_| invalid("collections", "must be names of collections with commas between them"))?;
    let record = query.take("record").map(|text| record(&text)).transpose()?;
    let filter = query.take("filter");
    if filter.as_ref().is_some_and(|filter| filter.len() > FILTER_BYTES) {
        return Err(invalid("filter", &format!("is longer than {FILTER_BYTES} bytes")));
    }
    let with_fields = match query.take("include").as_deref() {
        None => false,
        Some("fields") => true,
        Some(_) => return Err(invalid("include", "must be fields")),
    };
    query.finish()?;
    Ok(Wanted {
        form,
        query: EventQuery {
            after,
            limit: 0,
            collections,
            record,
            filter,
            with_fields,
        },
        left,
        wait: Duration::from_secs(wait),
        follow,
        until: 0,
    })
}

/// Whether a request for events is for a stream without end. One whose query is wrong is refused by the node that serves it.
pub(crate) fn follows(head: &Parts) -> bool {
    let follow = Query::parse(head.uri.query()).and_then(|mut query| query.flag("follow"));
    follow.is_ok_and(|follow| follow.unwrap_or(form(&head.headers) == Form::Sse))
}

/// A record, as `COLLECTION/ID`.
pub(crate) fn record(text: &str) -> Result<(Name, Id)> {
    let parts = text.split_once('/');
    let record = parts.and_then(|(collection, id)| Some((collection.parse().ok()?, id.parse().ok()?)));
    record.ok_or_else(|| invalid("record", "must be COLLECTION/ID"))
}

fn form(headers: &HeaderMap) -> Form {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("ndjson") { Form::Ndjson } else { Form::Sse }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(accept: &str, query: &str) -> bool {
        let request = http::Request::get(format!("/v1/tenants/acme/events?{query}")).header(ACCEPT, accept);
        follows(&request.body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn server_sent_events_follow_unless_they_are_told_not_to_and_lines_only_if_they_are() {
        let (sse, lines) = ("text/event-stream", "application/x-ndjson");
        assert!(asks(sse, "") && asks(sse, "after=1&follow=true") && asks(lines, "follow=true&after=1"));
        assert!(!asks(sse, "follow=false") && !asks(lines, "after=1") && !asks(lines, "follow=false"));
        assert!(!asks(lines, "follow=maybe") && !asks(sse, "follow=true&follow=true"));
    }
}
