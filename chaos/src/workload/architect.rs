//! The one who changes schemas: of a collection that others write to meanwhile, and of one that is dropped with its records and made
//! again.
//!
//! It asks for one change after the other, each on the schema as it finds it and on the condition that it still has that version, so that
//! nothing which waits somewhere undoes a later one. It follows each operation until it is decided, and goes on while that cleans up.
//! Some are cancelled. Before a new unique constraint, or a change to integers, it makes at times a record that does not fit, and takes it
//! away afterwards; while a constraint holds, it tries to break it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::ask::{Ask, Told};
use super::crafter::{Crafter, Odd, collection};
use super::shapes::fleeting_schema;
use super::tenants::new_id;
use crate::history::{Act, Action, Outcome};
use crate::invariants::names;

/// Between two changes, in milliseconds.
const PAUSE_MS: u64 = 60;
/// Between two looks at an operation.
const POLL: Duration = Duration::from_millis(25);
/// Out of a hundred operations, those that are cancelled.
const CANCEL_PERCENT: u64 = 15;
/// Records that a collection has before it is dropped: more than one step erases of keys.
const FLEETING_RECORDS: u64 = 60;

/// A change that is wanted.
struct Wish {
    what: &'static str,
    schema: Value,
    odd: Odd,
}

/// See the module.
pub(super) struct Architect {
    crafter: Crafter,
    /// Ids of records that were dropped with their collection.
    gone: Vec<String>,
    serial: u64,
}

impl Architect {
    pub(super) fn new(crafter: Crafter) -> Self {
        Self {
            crafter,
            gone: Vec::new(),
            serial: 0,
        }
    }

    pub(super) async fn run(mut self) {
        self.drop_and_make_again().await;
        while !self.crafter.client.controls.is_stopped() {
            match self.crafter.client.random.below(6) {
                0 => self.drop_and_make_again().await,
                _ => self.change().await,
            }
            let pause = Duration::from_millis(self.crafter.client.random.below(2 * PAUSE_MS));
            sleep(self.crafter.client.controls.pause(pause)).await;
        }
    }

    /// One change of the collection that others write to.
    async fn change(&mut self) {
        let Some(found) = collection(&mut self.crafter.client, names::SHAPED).await else {
            return;
        };
        if let Some(operation) = found["change"].as_str() {
            // Of a request that nobody had an answer to.
            self.follow(operation).await;
            return;
        }
        let Some(version) = found["version"].as_u64() else { return };
        let wish = wish(&found, self.crafter.client.random.below(5));
        let spoils = wish.odd != Odd::Not && self.crafter.client.random.below(2) == 0;
        if spoils {
            self.crafter.create(wish.odd).await;
        }
        let is_unique = wish.what == "add-unique";
        let status = self.reshape(names::SHAPED, wish, Some(version)).await;
        if is_unique && status.as_deref() == Some("done") {
            self.crafter.create(Odd::Taken).await;
        }
        self.crafter.mend().await;
    }

    /// Fills a collection, drops it, and makes it again under its name.
    async fn drop_and_make_again(&mut self) {
        let make = |what| Wish {
            what,
            schema: fleeting_schema(),
            odd: Odd::Not,
        };
        self.reshape(names::FLEETING, make("make"), None).await;
        let mut made = Vec::new();
        for _ in 0..FLEETING_RECORDS {
            // An id of a record that is gone, at times: nothing of that one may come back with it.
            let random = &mut self.crafter.client.random;
            let again = self.gone.pop().filter(|_| random.below(2) == 0);
            let id = again.unwrap_or_else(|| new_id(random));
            self.fleeting(&id).await;
            made.push(id);
            if self.crafter.client.controls.is_stopped() {
                return;
            }
        }
        self.gone = made;
        let Some(found) = collection(&mut self.crafter.client, names::FLEETING).await else {
            return;
        };
        let wish = Wish {
            what: "drop",
            schema: Value::Null,
            odd: Odd::Not,
        };
        self.reshape(names::FLEETING, wish, found["version"].as_u64()).await;
        self.reshape(names::FLEETING, make("make-again"), None).await;
    }

    async fn fleeting(&mut self, id: &str) {
        let client = &mut self.crafter.client;
        let mark = client.value();
        let fields = json!({ names::FLEETING_MARK: mark });
        let ask = Ask {
            method: "POST",
            path: format!("/records/{}", names::FLEETING),
            body: Some(json!({ "id": id, "fields": fields })),
            key: Some(&mark),
            again: true,
        };
        let begun = client.begin();
        let told = client.ask(&ask).await;
        let action = Action::Craft {
            collection: names::FLEETING.to_owned(),
            id: id.to_owned(),
            act: Act::Create(fields.as_object().cloned().unwrap_or_default()),
            version: told.good.as_ref().and_then(|body| body["version"].as_u64()),
            refused: told.refusal.as_ref().map(|(_, code)| code.clone()),
        };
        client.end(&begun, action, told.outcome(), told.position);
    }

    /// Asks for a change and follows it until it is decided; how it ended.
    async fn reshape(&mut self, collection: &str, wish: Wish, version: Option<u64>) -> Option<String> {
        let client = &mut self.crafter.client;
        let is_drop = wish.schema.is_null();
        let ask = Ask {
            method: if is_drop { "DELETE" } else { "PUT" },
            path: format!("/collections/{collection}"),
            body: (!is_drop).then(|| wish.schema.clone()),
            key: None,
            // A second collection of a name has the versions of the first: a deletion that waits somewhere would meet it.
            again: !is_drop,
        };
        let begun = client.begin();
        let told = match version {
            Some(version) => client.ask_if(&ask, version).await,
            None => client.ask(&ask).await,
        };
        let cancels = !is_drop && client.random.below(100) < CANCEL_PERCENT;
        let operation = begun_operation(&told);
        let (mut status, mut listed) = (told.good.as_ref().map(|_| "done".to_owned()), Vec::new());
        let mut cancelled = false;
        if let Some(operation) = &operation {
            cancelled = cancels;
            if cancels {
                self.cancel(operation).await;
            }
            (status, listed) = self.follow(operation).await;
        }
        let action = Action::Reshape {
            collection: collection.to_owned(),
            change: wish.what.to_owned(),
            schema: wish.schema,
            operation,
            status: status.clone(),
            listed,
            cancelled,
            doubt: told.doubt,
        };
        self.crafter.client.end(&begun, action, told.outcome(), told.position);
        status.filter(|_| told.outcome() == Outcome::Ok)
    }

    async fn cancel(&mut self, operation: &str) {
        self.serial += 1;
        let key = format!("{}-cancel-{}", self.crafter.client.workspace.tag, self.serial);
        let ask = Ask {
            method: "POST",
            path: format!("/operations/{operation}/cancel"),
            body: None,
            key: Some(&key),
            again: true,
        };
        self.crafter.client.ask(&ask).await;
    }

    /// How an operation ended, and the records that do not fit. None: the load ended first.
    async fn follow(&mut self, operation: &str) -> (Option<String>, Vec<String>) {
        let ask = Ask {
            method: "GET",
            path: format!("/operations/{operation}"),
            body: None,
            key: None,
            again: true,
        };
        while !self.crafter.client.controls.is_stopped() {
            if let Some(body) = self.crafter.client.ask(&ask).await.good {
                let status = body["status"].as_str().unwrap_or_default();
                if status != "running" {
                    let failures = body["failures"].as_array().into_iter().flatten();
                    let listed = failures.filter_map(|one| one["record"].as_str().map(str::to_owned));
                    return (Some(status.to_owned()), listed.collect());
                }
            }
            sleep(POLL).await;
        }
        (None, Vec::new())
    }
}

fn begun_operation(told: &Told) -> Option<String> {
    let body = told.good.as_ref()?;
    body["kind"].as_str().filter(|kind| kind.starts_with("collection."))?;
    body["id"].as_str().map(str::to_owned)
}

/// The schema as it is, with one thing changed.
fn wish(found: &Value, which: u64) -> Wish {
    let mut schema = json!({ "fields": found["fields"] });
    if !found["indexes"].is_null() {
        schema["indexes"] = found["indexes"].clone();
    }
    let is_integer = found["fields"][names::SHAPED_AMOUNT]["type"] == "integer";
    let is_unique = found["fields"][names::SHAPED_CODE]["unique"] == true;
    let (what, odd) = match which {
        0 if found["indexes"][names::BY_GROUP].is_null() => {
            schema["indexes"] = json!({ names::BY_GROUP: { "fields": [names::SHAPED_GROUP] } });
            ("add-index", Odd::Not)
        }
        0 => {
            schema["indexes"] = json!({});
            ("drop-index", Odd::Not)
        }
        1 if is_unique => {
            schema["fields"][names::SHAPED_CODE] = json!({ "type": "text" });
            ("drop-unique", Odd::Not)
        }
        1 => {
            schema["fields"][names::SHAPED_CODE] = json!({ "type": "text", "unique": true });
            ("add-unique", Odd::Taken)
        }
        2 if is_integer => {
            schema["fields"][names::SHAPED_AMOUNT] = json!({ "type": "text" });
            ("to-text", Odd::Not)
        }
        2 => {
            schema["fields"][names::SHAPED_AMOUNT] = json!({ "type": "integer" });
            ("to-integer", Odd::NoInteger)
        }
        3 => {
            let [one, other] = names::SHAPED_LABELS;
            let is_one = !found["fields"][one].is_null();
            let (from, to) = if is_one { (one, other) } else { (other, one) };
            if let Some(fields) = schema["fields"].as_object_mut() {
                fields.remove(from);
            }
            schema["fields"][to] = json!({ "type": "text", "renamed_from": from });
            ("rename", Odd::Not)
        }
        _ if found["fields"][names::SHAPED_LEVEL]["required"] == true => {
            schema["fields"][names::SHAPED_LEVEL] = json!({ "type": "integer" });
            ("not-required", Odd::Not)
        }
        _ => {
            schema["fields"][names::SHAPED_LEVEL] = json!({ "type": "integer", "required": true, "default": names::LEVEL });
            ("require", Odd::Not)
        }
    };
    Wish { what, schema, odd }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_has_one_back() {
        let mut schema = names::first_schema();
        for (which, there, back) in [
            (0, "add-index", "drop-index"),
            (1, "add-unique", "drop-unique"),
            (2, "to-integer", "to-text"),
            (3, "rename", "rename"),
            (4, "require", "not-required"),
        ] {
            let first = wish(&schema, which);
            assert_eq!(first.what, there);
            let second = wish(&first.schema, which);
            assert_eq!(second.what, back);
            schema = second.schema;
        }
        assert_eq!(schema["fields"]["label"]["renamed_from"], "title");
    }
}
