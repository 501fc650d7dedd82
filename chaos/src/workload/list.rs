//! Lists: transactions over several of them, each checked against the version that was read.

use serde_json::{Value, json};

use super::ask::Ask;
use super::client::Client;
use super::tenants::{Workspace, new_id};
use crate::history::{Action, Outcome};

/// Lists of one request: those of all epochs of a long run.
const PAGE: usize = 500;

/// A list as it was read.
struct List {
    id: String,
    elements: Vec<u64>,
    /// 0: it does not exist yet.
    version: u64,
}

/// Reads one to three lists, appends to some of them, all in one batch that is refused if any of them has changed.
pub(super) async fn transaction(client: &mut Client) {
    let epoch = client.epoch();
    let first = client.random.below(Workspace::lists());
    let count = 1 + client.random.below(3);
    let begun = client.begin();
    let mut lists = Vec::new();
    for number in 0..count {
        let id = client.workspace.list(epoch, first + number);
        let Some(list) = read_one(client, id).await else { return };
        lists.push(list);
    }
    let written = 1 + client.random.below(count) as usize;
    let mut appends = Vec::new();
    let mut operations = Vec::new();
    for (place, list) in lists.iter().enumerate() {
        let appended = (place < written).then(|| client.element());
        operations.extend(operation(list, appended));
        appends.extend(appended.map(|element| (list.id.clone(), element)));
    }
    let key = new_id(&mut client.random);
    let ask = Ask {
        method: "POST",
        path: "/batch".to_owned(),
        body: Some(json!({ "operations": operations })),
        key: Some(&key),
        again: true,
    };
    let told = client.ask(&ask).await;
    // A list that did not exist and was only read could not be checked: it is not part of what the batch saw.
    let seen = lists
        .into_iter()
        .enumerate()
        .filter(|(place, list)| *place < written || list.version > 0);
    let reads = seen.map(|(_, list)| (list.id, list.elements)).collect();
    client.end(&begun, Action::Transaction { reads, appends }, told.outcome(), told.position);
}

/// A strong read. None: there was no answer, or it was too late.
async fn read_one(client: &mut Client, id: String) -> Option<List> {
    let ask = Ask {
        method: "GET",
        path: format!("/records/lists/{id}"),
        body: None,
        key: None,
        again: true,
    };
    let told = client.ask(&ask).await;
    if matches!(told.refusal, Some((404, _))) {
        return Some(List {
            id,
            elements: Vec::new(),
            version: 0,
        });
    }
    let body = told.good?;
    Some(List {
        id,
        elements: elements(&body),
        version: body["version"].as_u64()?,
    })
}

fn elements(record: &Value) -> Vec<u64> {
    let list = record["fields"]["elements"].as_array();
    list.into_iter().flatten().filter_map(Value::as_u64).collect()
}

/// What the batch does with a list: nothing, where it was only read and does not exist.
fn operation(list: &List, appended: Option<u64>) -> Option<Value> {
    let fields = appended.map(|element| {
        let all: Vec<_> = list.elements.iter().copied().chain([element]).collect();
        json!({ "elements": all })
    });
    match (fields, list.version) {
        // Created: refused if somebody else was first.
        (Some(fields), 0) => Some(json!({ "op": "create", "collection": "lists", "id": list.id, "fields": fields })),
        (Some(fields), version) => {
            Some(json!({ "op": "patch", "collection": "lists", "id": list.id, "if_match": version, "fields": fields }))
        }
        (None, 0) => None,
        (None, version) => Some(json!({ "op": "check", "collection": "lists", "id": list.id, "if_match": version })),
    }
}

/// All lists in one strong request.
pub(super) async fn read(client: &mut Client) {
    let ask = Ask {
        method: "GET",
        path: format!("/records/lists?limit={PAGE}"),
        body: None,
        key: None,
        again: true,
    };
    let begun = client.begin();
    let told = client.ask(&ask).await;
    let items = told.good.as_ref().and_then(|body| body["items"].as_array());
    let whole = told.good.as_ref().is_some_and(|body| body["next_cursor"].is_null());
    let reads = items
        .into_iter()
        .flatten()
        .filter_map(|record| Some((record["id"].as_str()?.to_owned(), elements(record))))
        .collect();
    let outcome = if whole { told.read_outcome() } else { Outcome::Failed };
    client.end(
        &begun,
        Action::Transaction {
            reads,
            appends: Vec::new(),
        },
        outcome,
        told.position,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_checks_every_version_that_was_read() {
        let list = |version| List {
            id: "a-list".to_owned(),
            elements: vec![1, 2],
            version,
        };
        assert_eq!(operation(&list(0), None), None);
        assert_eq!(operation(&list(0), Some(3)).unwrap()["op"], "create");
        let patch = operation(&list(4), Some(3)).unwrap();
        assert_eq!((&patch["op"], &patch["if_match"]), (&json!("patch"), &json!(4)));
        assert_eq!(patch["fields"]["elements"], json!([1, 2, 3]));
        assert_eq!(operation(&list(4), None).unwrap()["op"], "check");
    }
}
