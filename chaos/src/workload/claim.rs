//! Claims: records with a unique name out of few, made and deleted.

use serde_json::json;

use super::ask::Ask;
use super::client::Client;
use super::tenants::{NAMES, new_id};
use crate::history::{Action, Outcome};

/// Create of a record with a name that others want as well; half of them without an idempotency key.
pub(super) async fn claim(client: &mut Client) {
    let name = format!("{}-name-{}", client.workspace.tag, client.random.below(NAMES));
    let id = new_id(&mut client.random);
    let is_keyed = client.random.below(2) == 0;
    let ask = Ask {
        method: "POST",
        path: "/records/claims".to_owned(),
        body: Some(json!({ "id": id, "fields": { "name": name } })),
        key: is_keyed.then_some(&id),
        again: is_keyed,
    };
    let begun = client.begin();
    let told = client.ask(&ask).await;
    if told.outcome() == Outcome::Ok {
        client.claims.push(id.clone());
    }
    client.end(&begun, Action::Claim { name, id }, told.outcome(), told.position);
}

/// Delete of one of the client's own. Its id is never used again, so a second delete does nothing.
pub(super) async fn release(client: &mut Client) {
    if client.claims.is_empty() {
        return claim(client).await;
    }
    // The remainder of a length fits.
    let place = client.random.below(client.claims.len() as u64) as usize;
    let id = client.claims.swap_remove(place);
    let begun = client.begin();
    let (outcome, position) = delete(client, format!("/records/claims/{id}")).await;
    client.end(&begun, Action::Release { id }, outcome, position);
}

/// Deletes what nobody else deletes. 404 after an attempt whose reply was lost: that attempt did it.
pub(super) async fn delete(client: &mut Client, path: String) -> (Outcome, Option<u64>) {
    let ask = Ask {
        method: "DELETE",
        path,
        body: None,
        key: None,
        again: true,
    };
    let told = client.ask(&ask).await;
    let gone = told.doubt && matches!(told.refusal, Some((404, _)));
    let outcome = if gone { Outcome::Ok } else { told.outcome() };
    (outcome, told.position)
}
