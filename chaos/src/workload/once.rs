//! Creates under an idempotency key, without an id of the client's own, and often sent again after they were answered.

use serde_json::json;

use super::ask::Ask;
use super::client::Client;
use crate::history::Action;

/// Out of a hundred, how many are sent again after the answer.
const AGAIN_PERCENT: u64 = 40;

/// See the module.
pub(super) async fn once(client: &mut Client) {
    let (key, body) = (client.value(), client.value());
    let ask = Ask {
        method: "POST",
        path: "/records/once".to_owned(),
        body: Some(json!({ "fields": { "key": key, "body": body } })),
        key: Some(&key),
        again: true,
    };
    let begun = client.begin();
    let told = client.ask(&ask).await;
    let mut attempts = told.attempts;
    let mut ids = Vec::new();
    let mut note = |told: &super::ask::Told| {
        let id = told.good.as_ref().and_then(|body| body["id"].as_str()).map(str::to_owned);
        ids.extend(id.filter(|id| !ids.contains(id)));
    };
    note(&told);
    if told.good.is_some() && client.random.below(100) < AGAIN_PERCENT {
        client.line.elsewhere();
        let again = client.ask(&ask).await;
        attempts += again.attempts;
        note(&again);
    }
    client.end(
        &begun,
        Action::Once {
            key: key.clone(),
            attempts,
            ids,
        },
        told.outcome(),
        told.position,
    );
}
