//! Numbers of a sequence per project, allotted when the record is made.

use serde_json::json;

use super::ask::Ask;
use super::client::Client;
use super::tenants::new_id;
use crate::history::Action;

/// Create of a record that gets the next number; half of them without an idempotency key.
pub(super) async fn number(client: &mut Client) {
    // The remainder of a length fits.
    let place = client.random.below(client.workspace.projects.len() as u64) as usize;
    let project = client.workspace.projects[place].clone();
    let (id, serial) = (new_id(&mut client.random), client.value());
    let is_keyed = client.random.below(2) == 0;
    let ask = Ask {
        method: "POST",
        path: "/records/numbered".to_owned(),
        body: Some(json!({ "id": id, "fields": { "project": project, "serial": serial } })),
        key: is_keyed.then_some(&id),
        again: is_keyed,
    };
    let begun = client.begin();
    let told = client.ask(&ask).await;
    let number = told.good.as_ref().and_then(|body| body["fields"]["number"].as_i64());
    client.end(&begun, Action::Number { project, id, number }, told.outcome(), told.position);
}
