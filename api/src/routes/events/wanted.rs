//! What a request for events asks for.

use std::time::Duration;

use http::HeaderMap;
use http::header::{ACCEPT, HeaderName};

use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::query::{digits, invalid};

/// Longest `wait`, in seconds.
const WAIT_SECONDS: u64 = 60;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Ndjson,
    Sse,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) form: Form,
    pub(super) after: u64,
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
    query.finish()?;
    Ok(Wanted {
        form,
        after,
        left,
        wait: Duration::from_secs(wait),
        follow,
        until: 0,
    })
}

fn form(headers: &HeaderMap) -> Form {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("ndjson") { Form::Ndjson } else { Form::Sse }
}
