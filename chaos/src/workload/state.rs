//! Tasks that go from state to state, as their workflow allows and as it does not. Each is one client's own.

use serde_json::json;

use super::ask::Ask;
use super::client::Client;
use super::tenants::new_id;
use crate::history::{Action, Outcome};
use crate::invariants::names::STATES;

/// Asks for a state that may or may not follow the one that a task is in, which is made first where there is none.
pub(super) async fn go(client: &mut Client) {
    if client.stateful.is_none() {
        begin(client).await;
    }
    let Some(task) = client.stateful.clone() else { return };
    // The remainder of a length fits.
    let to = STATES[client.random.below(STATES.len() as u64) as usize].to_owned();
    let key = client.value();
    let ask = Ask {
        method: "PATCH",
        path: format!("/records/tasks/{task}"),
        body: Some(json!({ "fields": { "status": to } })),
        key: Some(&key),
        again: true,
    };
    let begun = client.begin();
    let told = client.ask(&ask).await;
    let refused = matches!(&told.refusal, Some((409, code)) if code == "transition_refused");
    if told.outcome() == Outcome::Unknown {
        // It may have its effect at any later time: what comes after it could not be judged.
        client.stateful = None;
    }
    client.end(&begun, Action::Go { task, to, refused }, told.outcome(), told.position);
}

/// A task of its own, in the first state.
async fn begin(client: &mut Client) {
    let (id, title) = (new_id(&mut client.random), client.value());
    let ask = Ask {
        method: "POST",
        path: "/records/tasks".to_owned(),
        body: Some(json!({ "id": id, "fields": { "title": title, "status": STATES[0] } })),
        key: Some(&id),
        again: true,
    };
    if client.ask(&ask).await.good.is_some() {
        client.stateful = Some(id);
    }
}
