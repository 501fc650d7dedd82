//! One request of a client, with its retries on other nodes, and what is known of its effect afterwards.
//!
//! An attempt has 300 ms, or 3 s with a patient client. What is certainly without effect (the connection was refused, or the problem says `not_applied` and the
//! cause may pass) is always tried again, on the next node. What may have had an effect is tried again only where a second effect
//! is impossible: reads, requests under an idempotency key, deletes of ids that nobody uses again.
//!
//! A PUT of a register is not: its first attempt may wait in the queue of a node that has no leader, and be applied after the
//! second was answered and another client has written. That would be a lost update of the harness's own making.

use rig::http::Request;
use serde_json::Value;

use super::tenants::Workspace;
use crate::history::Outcome;

/// A request.
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    /// Below `/v1/tenants/SLUG`.
    pub(super) path: String,
    pub(super) body: Option<Value>,
    /// `Idempotency-Key`.
    pub(super) key: Option<&'a str>,
    /// Whether it may be sent again although it may have had its effect.
    pub(super) again: bool,
}

/// A request whose body is no JSON, or whose answer is none.
pub(super) struct Parcel<'a> {
    pub(super) method: &'a str,
    /// Below `/v1/tenants/SLUG`.
    pub(super) path: String,
    /// Further header lines, each ending with `\r\n`.
    pub(super) headers: String,
    pub(super) body: &'a [u8],
    /// Whether it may be sent again although it may have had its effect.
    pub(super) again: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The reply of 2xx.
    pub(super) good: Option<Value>,
    /// Status and code of a refusal that retrying does not mend.
    pub(super) refusal: Option<(u16, String)>,
    /// An attempt may have had an effect, or may still have it.
    pub(super) doubt: bool,
    pub(super) position: Option<u64>,
    pub(super) version: Option<u64>,
    /// Times that it was sent.
    pub(super) attempts: u32,
    /// The bytes of the good answer to a [`Parcel`].
    pub(super) bytes: Vec<u8>,
    /// `Location` of the good answer.
    pub(super) location: Option<String>,
}

impl Told {
    /// How an operation ended that consists of this request.
    pub(super) fn outcome(&self) -> Outcome {
        match (&self.good, self.doubt) {
            (Some(_), _) => Outcome::Ok,
            (None, true) => Outcome::Unknown,
            (None, false) => Outcome::Failed,
        }
    }

    /// How a read ended: it has no effect in any case.
    pub(super) fn read_outcome(&self) -> Outcome {
        if self.good.is_some() { Outcome::Ok } else { Outcome::Failed }
    }
}

/// What one attempt came to.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    Good {
        body: Value,
    },
    /// Certainly without effect. `last`: trying again does not mend it.
    NotApplied {
        status: u16,
        code: String,
        last: bool,
    },
    /// It may have had its effect.
    Lost(String),
}

/// What a status and a body say.
pub(super) fn classify(status: u16, body: &[u8]) -> Reply {
    if (200..300).contains(&status) {
        if body.is_empty() {
            return Reply::Good { body: Value::Null };
        }
        return match serde_json::from_slice(body) {
            Ok(body) => Reply::Good { body },
            Err(_) => Reply::Lost("unreadable".to_owned()),
        };
    }
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or("no_problem").to_owned();
    // Only the words themselves count: without an outcome nothing is certain.
    if problem["outcome"].as_str() != Some("not_applied") {
        return Reply::Lost(code);
    }
    let last = status < 500 && !matches!(status, 408 | 429);
    Reply::NotApplied { status, code, last }
}

/// A request on its way.
pub(super) fn encode(ask: &Ask<'_>, version: Option<u64>, workspace: &Workspace) -> Vec<u8> {
    let body = ask.body.as_ref().map(Value::to_string).unwrap_or_default();
    let path = format!("/v1/tenants/{}{}", workspace.slug, ask.path);
    let mut headers = ask.key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
    headers.extend(version.map(|version| format!("if-match: \"{version}\"\r\n")));
    let mut bytes = Vec::with_capacity(512 + body.len());
    Request {
        method: ask.method,
        path: &path,
        token: &workspace.token,
        headers: &headers,
        body: body.as_bytes(),
    }
    .write(&mut bytes);
    bytes
}

/// A parcel on its way: what it is, is said by its own headers.
pub(super) fn pack(parcel: &Parcel<'_>, workspace: &Workspace) -> Vec<u8> {
    let path = format!("/v1/tenants/{}{}", workspace.slug, parcel.path);
    let length = parcel.body.len();
    let headers = match parcel.method {
        "GET" => parcel.headers.clone(),
        _ => format!("{}content-length: {length}\r\n", parcel.headers),
    };
    let mut bytes = Vec::with_capacity(512 + length);
    Request {
        method: parcel.method,
        path: &path,
        token: &workspace.token,
        headers: &headers,
        body: &[],
    }
    .write_head(&mut bytes);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(parcel.body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, code: &str, outcome: &str) -> Reply {
        let body = format!(r#"{{"type":"x","status":{status},"code":"{code}","outcome":"{outcome}"}}"#);
        classify(status, body.as_bytes())
    }

    #[test]
    fn only_the_word_not_applied_makes_a_failure_certain() {
        let last = |reply| matches!(reply, Reply::NotApplied { last: true, .. });
        assert!(last(problem(409, "unique_violation", "not_applied")));
        assert!(last(problem(412, "version_mismatch", "not_applied")));
        assert!(matches!(
            problem(503, "unavailable", "not_applied"),
            Reply::NotApplied { last: false, .. }
        ));
        assert!(matches!(
            problem(429, "too_many_requests", "not_applied"),
            Reply::NotApplied { last: false, .. }
        ));
        assert_eq!(problem(503, "unavailable", "unknown"), Reply::Lost("unavailable".to_owned()));
        assert_eq!(problem(409, "contention", "unknown"), Reply::Lost("contention".to_owned()));
        assert_eq!(classify(502, b"<html>"), Reply::Lost("no_problem".to_owned()));
        assert_eq!(classify(201, b"{\"a\""), Reply::Lost("unreadable".to_owned()));
        assert_eq!(classify(204, b""), Reply::Good { body: Value::Null });
    }

    #[test]
    fn doubt_remains_until_there_is_an_answer() {
        let refused = |doubt| Told {
            refusal: Some((412, "version_mismatch".to_owned())),
            doubt,
            ..Told::default()
        };
        assert_eq!(refused(false).outcome(), Outcome::Failed);
        assert_eq!(
            refused(true).outcome(),
            Outcome::Unknown,
            "an earlier attempt may still be applied"
        );
        let good = Told {
            good: Some(Value::Null),
            doubt: true,
            ..Told::default()
        };
        assert_eq!(good.outcome(), Outcome::Ok);
        assert_eq!(refused(true).read_outcome(), Outcome::Failed);
    }
}
