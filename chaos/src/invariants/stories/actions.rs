//! What clients do in a story.

use serde_json::{Map, Value, json};

use crate::content::Content;
use crate::history::{Act, Action, Deed, Found, Glimpse, Stroke, Total};

/// A write of a register.
pub(in crate::invariants) fn write(key: &str, value: &str) -> Action {
    Action::Write {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

/// A read of a register; "" is none.
pub(in crate::invariants) fn read(key: &str, seen: &str) -> Action {
    Action::Read {
        key: key.to_owned(),
        seen: (!seen.is_empty()).then(|| seen.to_owned()),
    }
}

/// A transaction over lists.
pub(in crate::invariants) fn transaction(reads: &[(&str, &[u64])], appends: &[(&str, u64)]) -> Action {
    Action::Transaction {
        reads: reads.iter().map(|(key, list)| ((*key).to_owned(), list.to_vec())).collect(),
        appends: appends.iter().map(|(key, element)| ((*key).to_owned(), *element)).collect(),
    }
}

/// A claim of a unique name.
pub(in crate::invariants) fn claim(name: &str, id: &str) -> Action {
    Action::Claim {
        name: name.to_owned(),
        id: id.to_owned(),
    }
}

/// The end of a claim.
pub(in crate::invariants) fn release(id: &str) -> Action {
    Action::Release { id: id.to_owned() }
}

/// A record that got a number; 0 is none.
pub(in crate::invariants) fn number(project: &str, id: &str, number: i64) -> Action {
    Action::Number {
        project: project.to_owned(),
        id: id.to_owned(),
        number: (number != 0).then_some(number),
    }
}

/// A creation under an idempotency key.
pub(in crate::invariants) fn once(key: &str, ids: &[&str]) -> Action {
    Action::Once {
        key: key.to_owned(),
        attempts: 2,
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    }
}

/// A comment on a task.
pub(in crate::invariants) fn comment(id: &str, task: &str) -> Action {
    Action::Comment {
        id: id.to_owned(),
        task: task.to_owned(),
    }
}

/// The removal of a task.
pub(in crate::invariants) fn remove_task(task: &str) -> Action {
    Action::RemoveTask { task: task.to_owned() }
}

/// The revocation of a key.
pub(in crate::invariants) fn revoke(key: &str, accepted: &[usize], refused: u32) -> Action {
    Action::Revoke {
        key: key.to_owned(),
        accepted: accepted.to_vec(),
        refused,
    }
}

/// A read of another tenant.
pub(in crate::invariants) fn trespass(there: &str, accepted: &[usize], refused: u32) -> Action {
    Action::Trespass {
        there: there.to_owned(),
        accepted: accepted.to_vec(),
        refused,
    }
}

/// An import.
pub(in crate::invariants) fn import(id: &str, lines: u32, stored: Option<u64>) -> Action {
    Action::Import {
        id: id.to_owned(),
        lines,
        stored,
    }
}

/// A change of a task's state.
pub(in crate::invariants) fn go(task: &str, to: &str, refused: bool) -> Action {
    Action::Go {
        task: task.to_owned(),
        to: to.to_owned(),
        refused,
    }
}

/// The fields of a record of the collection whose schema changes, which was the n-th to be written.
pub(in crate::invariants) fn shaped(number: u64, code: &str) -> Map<String, Value> {
    let fields = json!({
        "mark": format!("acme-m{number}"), "code": code, "amount": number.to_string(), "group": number % 8, "label": "acme-l",
    });
    fields.as_object().unwrap().clone()
}

/// A change of such a record; version 0 is none.
pub(in crate::invariants) fn craft(id: &str, act: Act, version: u64) -> Action {
    Action::Craft {
        collection: "shaped".to_owned(),
        id: id.to_owned(),
        act,
        version: (version != 0).then_some(version),
        refused: None,
    }
}

/// A record of the collection that is dropped.
pub(in crate::invariants) fn fleeting(id: &str, mark: &str) -> Action {
    Action::Craft {
        collection: "fleeting".to_owned(),
        id: id.to_owned(),
        act: Act::Create(json!({ "mark": mark }).as_object().unwrap().clone()),
        version: None,
        refused: None,
    }
}

/// A change of a schema; "" is no status.
pub(in crate::invariants) fn reshape(
    collection: &str,
    change: &str,
    schema: Value,
    operation: Option<&str>,
    status: &str,
) -> Action {
    Action::Reshape {
        collection: collection.to_owned(),
        change: change.to_owned(),
        schema,
        operation: operation.map(str::to_owned),
        status: (!status.is_empty()).then(|| status.to_owned()),
        listed: Vec::new(),
        cancelled: false,
        doubt: false,
    }
}

/// A content.
pub(in crate::invariants) fn filed(mark: &str) -> Content {
    Content {
        tag: "acme-".to_owned(),
        mark: mark.to_owned(),
        bytes: 100,
        common: 0,
    }
}

/// A change of a file.
pub(in crate::invariants) fn shelve(file: &str, deed: Deed) -> Action {
    Action::Shelve {
        file: file.to_owned(),
        id: None,
        deed,
        version: None,
    }
}

/// A read of a file that gave the content of this mark; none: there was none.
pub(in crate::invariants) fn peek(file: &str, version: Option<u64>, mark: Option<&str>) -> Action {
    Action::Peek {
        file: file.to_owned(),
        version,
        range: None,
        seen: mark.map(|mark| glimpse(&filed(mark))),
    }
}

/// What a read of all of a content gives.
pub(in crate::invariants) fn glimpse(content: &Content) -> Glimpse {
    Glimpse {
        bytes: content.bytes,
        digest: content.digest(),
    }
}

/// A change of a note; no text: it is deleted.
pub(in crate::invariants) fn note(id: &str, text: Option<&str>) -> Action {
    let fields = |text: &str| json!({ "text": text, "kind": "plain" }).as_object().unwrap().clone();
    Action::Craft {
        collection: "notes".to_owned(),
        id: id.to_owned(),
        act: text.map_or(Act::Delete, |text| Act::Patch(fields(text))),
        version: None,
        refused: None,
    }
}

/// A search that found these notes: id, version, text.
pub(in crate::invariants) fn search(word: &str, strong: bool, notes: &[(&str, u64, &str)]) -> Action {
    let count = notes.len() as u64;
    Action::Search {
        word: word.to_owned(),
        strong,
        found: notes.iter().map(|(id, version, text)| found(id, *version, text)).collect(),
        whole: true,
        total: Some(Total { count, exact: true }),
        facets: Some(if count > 0 {
            vec![("plain".to_owned(), count)]
        } else {
            Vec::new()
        }),
    }
}

/// A note that was found.
pub(in crate::invariants) fn found(id: &str, version: u64, text: &str) -> Found {
    Found {
        collection: "notes".to_owned(),
        id: id.to_owned(),
        version,
        text: text.to_owned(),
        kind: "plain".to_owned(),
    }
}

/// A change of a document.
pub(in crate::invariants) fn scribe(page: &str, client: u64, mark: &str, stroke: Stroke) -> Action {
    Action::Scribe {
        page: page.to_owned(),
        client,
        mark: mark.to_owned(),
        stroke,
    }
}
