//! API keys: one is made, used on every node, revoked, and used on every node again; and the tenant's own is tried on another tenant.

use serde_json::json;

use super::ask::{Ask, Told};
use super::client::Client;
use super::tenants::Workspace;
use crate::history::{Action, Outcome};

/// Makes a key, makes it known to every node, revokes it. Only what was asked after the revocation was acknowledged counts.
pub(super) async fn revoke(client: &mut Client) {
    let Some((id, secret)) = make(client).await else { return };
    let mut bearer = client.workspace.clone();
    bearer.token = secret;
    use_everywhere(client, &bearer).await;
    let begun = client.begin();
    let ask = Ask {
        method: "DELETE",
        path: format!("/tokens/{id}"),
        body: None,
        key: None,
        again: true,
    };
    let told = client.ask(&ask).await;
    // An earlier attempt may have revoked it.
    let is_gone = matches!(told.refusal, Some((404, _))) && told.doubt;
    let outcome = if is_gone { Outcome::Ok } else { told.outcome() };
    let answers = match outcome {
        Outcome::Ok => use_everywhere(client, &bearer).await,
        Outcome::Failed | Outcome::Unknown => Vec::new(),
    };
    let action = Action::Revoke {
        key: id,
        accepted: accepted(&answers),
        refused: refused(&answers),
    };
    client.end(&begun, action, outcome, told.position);
}

/// Reads another tenant with this tenant's own key, on every node.
pub(super) async fn trespass(client: &mut Client) {
    let mut there = client.workspace.clone();
    // The remainder of a length fits.
    let place = client.random.below(there.neighbours.len() as u64) as usize;
    there.slug = there.neighbours[place].clone();
    let begun = client.begin();
    let answers = use_everywhere(client, &there).await;
    let action = Action::Trespass {
        there: there.slug,
        accepted: accepted(&answers),
        refused: refused(&answers),
    };
    client.end(&begun, action, Outcome::Ok, None);
}

/// A new key's id and secret. None: there was no answer that says them.
async fn make(client: &mut Client) -> Option<(String, String)> {
    let name = client.value();
    let ask = Ask {
        method: "POST",
        path: "/tokens".to_owned(),
        body: Some(json!({ "name": name, "role": "member" })),
        key: Some(&name),
        again: true,
    };
    let body = client.ask(&ask).await.good?;
    let text = |field: &str| body[field].as_str().map(str::to_owned);
    Some((text("id")?, text("secret")?))
}

/// What each node answers to a strong read by this bearer, with the node's place.
async fn use_everywhere(client: &mut Client, bearer: &Workspace) -> Vec<(usize, Told)> {
    let ask = Ask {
        method: "GET",
        path: "/me".to_owned(),
        body: None,
        key: None,
        again: false,
    };
    client.line.ask_everywhere(&ask, bearer, &client.controls).await
}

fn accepted(answers: &[(usize, Told)]) -> Vec<usize> {
    let accepted = answers.iter().filter(|(_, told)| told.good.is_some());
    accepted.map(|(node, _)| *node).collect()
}

fn refused(answers: &[(usize, Told)]) -> u32 {
    let refused = answers
        .iter()
        .filter(|(_, told)| matches!(told.refusal, Some((401 | 403 | 404, _))));
    u32::try_from(refused.count()).unwrap_or(u32::MAX)
}
