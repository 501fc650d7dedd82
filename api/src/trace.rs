//! The ids by which a request is found again: its own, and that of the trace that it is part of.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Longest request id that is taken from a client, in bytes.
const REQUEST_ID_BYTES: usize = 128;

/// The ids of one request.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// The client's own id where it is sane, else a new one.
    pub(crate) request_id: HeaderValue,
    /// W3C trace context: the client's trace with this request as the parent of what comes.
    pub(crate) parent: Option<HeaderValue>,
}

impl Trace {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let request_id = match headers.get(REQUEST_ID) {
            Some(id) if is_sane(id.as_bytes()) => id.clone(),
            _ => new_request_id(),
        };
        let parent = headers.get(TRACEPARENT).and_then(|parent| continued(parent.as_bytes()));
        Self { request_id, parent }
    }

    /// The request's id as text.
    pub(crate) fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// The trace's id as text; empty where the client sent none.
    pub(crate) fn trace_id(&self) -> &str {
        self.parent
            .as_ref()
            .and_then(|parent| parent.to_str().ok())
            .and_then(|parent| parent.get(3..35))
            .unwrap_or_default()
    }
}

fn is_sane(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=REQUEST_ID_BYTES).contains(&id.len()) && id.iter().all(plain)
}

/// 32 hexadecimal digits: a random number of this process, and one that counts.
fn new_request_id() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| {
        let (high, low) = uuid::Uuid::now_v7().as_u64_pair();
        // The time would be in the first half; both together differ between processes.
        high ^ low
    });
    let mut text = [0_u8; 32];
    write_hex(&mut text[..16], *PROCESS);
    write_hex(&mut text[16..], next_number());
    HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&text)).unwrap_or(HeaderValue::from_static("none"))
}

/// Numbers that do not come again in this process.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The same trace with a new parent, if the header is one of version 00.
fn continued(parent: &[u8]) -> Option<HeaderValue> {
    let lower_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let parent: [u8; 55] = parent.try_into().ok()?;
    let dashes = parent[2] == b'-' && parent[35] == b'-' && parent[52] == b'-';
    let hex = lower_hex(&parent[3..35]) && lower_hex(&parent[36..52]) && lower_hex(&parent[53..]);
    if &parent[..2] != b"00" || !dashes || !hex || zero(&parent[3..35]) || zero(&parent[36..52]) {
        return None;
    }
    let mut text = parent;
    // Mixed, so that parents of different processes do not count up side by side.
    let number = next_number().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(std::process::id());
    write_hex(&mut text[36..52], number.max(1));
    HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&text)).ok()
}

fn write_hex(out: &mut [u8], number: u64) {
    for (place, digit) in out.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * place)) as usize & 15];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_kept_and_others_replaced() {
        let id = |value: &str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(value).expect("a value"))]);
            Trace::of(&headers).request_id().to_owned()
        };
        assert_eq!(id("abc-1.2:3"), "abc-1.2:3");
        for bad in ["", "a b", "<x>", "a\"b", "x".repeat(129).as_str()] {
            assert_eq!(id(bad).len(), 32, "{bad}");
        }
        assert_ne!(id(""), id(""));
    }

    #[test]
    fn a_trace_goes_on_with_a_new_parent() {
        let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = continued(sent.as_bytes()).expect("a trace");
        let parent = parent.to_str().expect("text");
        assert_eq!((&parent[..36], &parent[52..]), (&sent[..36], "-01"));
        assert_ne!(parent, sent);
        for bad in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            &sent[1..],
            &sent.to_uppercase(),
        ] {
            assert!(continued(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
