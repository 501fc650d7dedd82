//! Registers: one value each, written without a condition, read strongly, and read at the position of a write.

use serde_json::json;

use super::ask::Ask;
use super::client::Client;
use crate::history::{Action, Outcome};

/// `PUT`. Not sent again when its effect is unknown: see [`super::ask`].
pub(super) async fn write(client: &mut Client) {
    let epoch = client.epoch();
    let key = client.workspace.clone().register(epoch, &mut client.random);
    let value = client.value();
    let ask = Ask {
        method: "PUT",
        path: format!("/records/registers/{key}"),
        body: Some(json!({ "fields": { "value": value } })),
        key: None,
        again: false,
    };
    let begun = client.begin();
    let told = client.ask(&ask).await;
    if told.outcome() == Outcome::Ok {
        client.written = told.position.map(|position| (key.clone(), position));
    }
    client.end(&begun, Action::Write { key, value }, told.outcome(), told.position);
}

/// `GET` at the position of the last write, on another node: what was written must have arrived there.
pub(super) async fn read_at(client: &mut Client) {
    let Some((key, asked)) = client.written.clone() else {
        return read(client).await;
    };
    let ask = Ask {
        method: "GET",
        path: format!("/records/registers/{key}?consistency=at-least:{asked}"),
        body: None,
        key: None,
        again: true,
    };
    client.line.elsewhere();
    let begun = client.begin();
    let told = client.ask(&ask).await;
    // Registers are never deleted: who does not find it has answered from before it was there.
    let absent = matches!(&told.refusal, Some((404, code)) if code == "not_found");
    let (outcome, position) = if absent {
        (Outcome::Ok, Some(0))
    } else {
        (told.read_outcome(), told.position)
    };
    client.end(&begun, Action::ReadAt { key, asked }, outcome, position);
}

/// Strong `GET`; 404 is an answer as well.
pub(super) async fn read(client: &mut Client) {
    let epoch = client.epoch();
    let key = client.workspace.clone().register(epoch, &mut client.random);
    let ask = Ask {
        method: "GET",
        path: format!("/records/registers/{key}"),
        body: None,
        key: None,
        again: true,
    };
    let begun = client.begin();
    let told = client.ask(&ask).await;
    let absent = matches!(&told.refusal, Some((404, code)) if code == "not_found");
    let outcome = if absent { Outcome::Ok } else { told.read_outcome() };
    let seen = told
        .good
        .as_ref()
        .and_then(|body| body["fields"]["value"].as_str())
        .map(str::to_owned);
    client.end(&begun, Action::Read { key, seen }, outcome, told.position);
}
