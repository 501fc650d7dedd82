//! Values that are odd, and bodies that are large in odd ways: each is taken or refused with a problem.

use api::client::{Answer, Call, ClientError};
use api::problem::Problem;
use bytes::Bytes;

use super::corpus::{bodies, giants, parameters};
use super::{Witness, in_time};
use crate::support::Running;

/// An answer that a client can do something with.
fn judge(call: &Call, answer: Result<Answer<Bytes>, ClientError>) {
    let shown: String = String::from_utf8_lossy(&call.body).chars().take(120).collect();
    let shown = format!("{} {} {:?} {shown}", call.method, call.path, call.headers);
    let answer = match answer {
        Ok(answer) => answer,
        // Whoever sends what is refused from its head may find the connection closed before all is sent.
        Err(error) => {
            assert!(call.body.len() > 1_000_000, "{shown}: {error}");
            return;
        }
    };
    let status = answer.status.as_u16();
    assert!((200..500).contains(&status), "{shown}: {status} {:?}", answer.body);
    if status >= 400 && !answer.body.is_empty() {
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{shown}: {:?}", answer.body));
        assert_eq!(
            (problem.status, answer.headers["content-type"].as_bytes()),
            (status, &b"application/problem+json"[..]),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn every_value_at_every_place_is_taken_or_refused() {
    let node = Running::start().await;
    let witness = Witness::beside(&node);
    let client = node.client("cnt_owner");
    let calls = [bodies("acme"), parameters("acme"), giants("acme")].concat();
    assert!(calls.len() > 1_500);
    for call in calls {
        let answer = in_time("an answer", client.call(call.clone())).await;
        judge(&call, answer);
    }
    witness.stays_served().await;
}
