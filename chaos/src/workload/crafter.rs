//! Clients that write to a collection whose schema changes under them. Each changes records of its own only, one request after the
//! other, so that every version of a record is known. What they write fits sometimes what is to be, and sometimes not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep_until};

use super::ask::{Ask, Told};
use super::client::Client;
use super::controls::Controls;
use super::tenants::{Workspace, new_id};
use crate::history::{Act, Action, Outcome};
use crate::invariants::names;

/// How many there are.
pub(super) const CRAFTERS: usize = 3;
/// The mean time from one of its requests to the next, in milliseconds.
const PACE_MS: u64 = 60;
/// Most records of one. Raised: each has fewer versions. Lowered: fewer lie between those that an operation brings along.
const MINE: usize = 20;
/// Out of a hundred changes, those that give a record a code that another one has.
const TAKEN_PERCENT: u64 = 8;
/// Out of a hundred changes, those that give it an amount that is no integer.
const NO_INTEGER_PERCENT: u64 = 8;

/// What a record is made of that some schema would not have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Odd {
    /// Nothing.
    Not,
    /// A code that another one has.
    Taken,
    /// An amount that is no integer.
    NoInteger,
}

struct Mine {
    id: String,
    /// The last one that was acknowledged, a deletion included.
    version: u64,
    is_there: bool,
    odd: Odd,
}

/// See the module.
pub(super) struct Crafter {
    pub(super) client: Client,
    is_integer: bool,
    label: &'static str,
    mine: Vec<Mine>,
}

impl Crafter {
    pub(super) fn new(number: usize, nodes: Vec<SocketAddr>, workspace: Workspace, controls: Arc<Controls>, seed: u64) -> Self {
        Self {
            client: Client::new(number, nodes, workspace, controls, seed),
            is_integer: false,
            label: names::SHAPED_LABELS[0],
            mine: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) {
        while !self.client.controls.is_stopped() {
            let pause = Duration::from_millis(PACE_MS / 2 + self.client.random.below(PACE_MS));
            let next = Instant::now() + self.client.controls.pause(pause);
            self.step().await;
            sleep_until(next).await;
        }
    }

    async fn step(&mut self) {
        if let Some(place) = self.mine.iter().position(|mine| mine.odd != Odd::Not) {
            return self.change(place, Odd::Not).await;
        }
        if self.mine.len() < 3 {
            return self.create(Odd::Not).await;
        }
        // The remainder of a length fits.
        let place = self.client.random.below(self.mine.len() as u64) as usize;
        let odd = match self.client.random.below(100) {
            below if below < TAKEN_PERCENT => Odd::Taken,
            below if below < TAKEN_PERCENT + NO_INTEGER_PERCENT => Odd::NoInteger,
            _ => Odd::Not,
        };
        match self.client.random.below(100) {
            0..=14 if self.mine.len() < MINE => self.create(odd).await,
            15..=24 => self.restore(place).await,
            25..=34 => self.delete(place).await,
            _ => self.change(place, odd).await,
        }
    }

    /// Gives what was odd another value, or takes it away.
    pub(super) async fn mend(&mut self) {
        while let Some(place) = self.mine.iter().position(|mine| mine.odd != Odd::Not) {
            self.delete(place).await;
            if self.client.controls.is_stopped() {
                return;
            }
        }
    }

    /// A new record.
    pub(super) async fn create(&mut self, odd: Odd) {
        let id = new_id(&mut self.client.random);
        self.make(&id, 0, odd).await;
    }

    /// What is there is changed; what is not is made again.
    async fn change(&mut self, place: usize, odd: Odd) {
        let Mine {
            id, version, is_there, ..
        } = &self.mine[place];
        let (id, version) = (id.clone(), *version);
        if !is_there {
            self.mine.swap_remove(place);
            return self.make(&id, version, odd).await;
        }
        let fields = self.fields(odd);
        let path = format!("/records/{}/{id}", names::SHAPED);
        let body = json!({ "fields": fields });
        if let Some(version) = self
            .send(&id, Act::Patch(fields), ("PATCH", path, body))
            .await
            .took(place, self)
        {
            self.mine[place].version = version;
            self.mine[place].odd = odd;
        }
    }

    /// Makes a record that is not there; `version` is the one of its deletion.
    async fn make(&mut self, id: &str, version: u64, odd: Odd) {
        let fields = self.fields(odd);
        let body = json!({ "id": id, "fields": fields });
        let path = format!("/records/{}", names::SHAPED);
        let sent = self.send(id, Act::Create(fields), ("POST", path, body)).await;
        let (version, is_there) = match sent {
            Sent::Took(made) => (made, true),
            Sent::Refused if version > 0 => (version, false),
            Sent::Refused | Sent::Lost => return,
        };
        let odd = if is_there { odd } else { Odd::Not };
        let id = id.to_owned();
        self.mine.push(Mine {
            id,
            version,
            is_there,
            odd,
        });
    }

    async fn restore(&mut self, place: usize) {
        let Mine { id, version, .. } = &self.mine[place];
        let (id, wanted) = (id.clone(), 1 + self.client.random.below(*version));
        let path = format!("/records/{}/{id}/restore", names::SHAPED);
        let body = json!({ "version": wanted });
        if let Some(version) = self
            .send(&id, Act::Restore(wanted), ("POST", path, body))
            .await
            .took(place, self)
        {
            self.mine[place].version = version;
            self.mine[place].is_there = true;
            // It may have got back what was odd then: it is changed before anything else is.
            self.mine[place].odd = Odd::Taken;
        }
    }

    async fn delete(&mut self, place: usize) {
        if !self.mine[place].is_there {
            return;
        }
        let id = self.mine[place].id.clone();
        let path = format!("/records/{}/{id}", names::SHAPED);
        if self
            .send(&id, Act::Delete, ("DELETE", path, Value::Null))
            .await
            .took(place, self)
            .is_some()
        {
            self.mine[place].version += 1;
            self.mine[place].is_there = false;
            self.mine[place].odd = Odd::Not;
        }
    }

    fn fields(&mut self, odd: Odd) -> Map<String, Value> {
        let (mark, random) = (self.client.value(), &mut self.client.random);
        let code = match odd {
            Odd::Taken => format!("{}-code-{}", self.client.workspace.tag, random.below(names::BALLAST)),
            Odd::Not | Odd::NoInteger => format!("{mark}-code"),
        };
        let amount = random.below(1_000_000);
        let amount = match (self.is_integer, odd) {
            (true, _) => json!(amount),
            (false, Odd::NoInteger) => json!(names::NO_INTEGER),
            (false, _) => json!(amount.to_string()),
        };
        let mut fields = Map::new();
        if random.below(2) == 0 {
            fields.insert(names::SHAPED_LEVEL.to_owned(), json!(random.below(10)));
        }
        fields.insert(names::SHAPED_GROUP.to_owned(), json!(random.below(names::GROUPS)));
        fields.insert(self.label.to_owned(), json!(format!("{mark}-label")));
        fields.insert(names::SHAPED_MARK.to_owned(), json!(mark));
        fields.insert(names::SHAPED_CODE.to_owned(), json!(code));
        fields.insert(names::SHAPED_AMOUNT.to_owned(), amount);
        fields
    }

    /// One request. What has no key is sent once: a deletion that waits somewhere would delete what is made again.
    async fn send(&mut self, id: &str, act: Act, (method, path, body): (&str, String, Value)) -> Sent {
        let key = self.client.value();
        let is_keyed = act != Act::Delete;
        let ask = Ask {
            method,
            path,
            body: is_keyed.then_some(body),
            key: is_keyed.then_some(&key),
            again: is_keyed,
        };
        let begun = self.client.begin();
        let told = self.client.ask(&ask).await;
        let (outcome, position) = (told.outcome(), told.position);
        let version = told.good.as_ref().and_then(|body| body["version"].as_u64());
        let is_unfit = matches!(told.refusal, Some((400 | 422, _)));
        let sent = Sent::of(&told, version);
        let action = Action::Craft {
            collection: names::SHAPED.to_owned(),
            id: id.to_owned(),
            act,
            version,
            refused: told.refusal.map(|(_, code)| code),
        };
        self.client.end(&begun, action, outcome, position);
        if is_unfit {
            self.look().await;
        }
        sent
    }

    /// Looks at the schema.
    async fn look(&mut self) {
        if let Some(schema) = collection(&mut self.client, names::SHAPED).await {
            self.is_integer = schema["fields"][names::SHAPED_AMOUNT]["type"] == "integer";
            let is_there = |name: &&&str| !schema["fields"][**name].is_null();
            self.label = names::SHAPED_LABELS.iter().find(is_there).unwrap_or(&self.label);
        }
    }
}

/// What became of a request.
enum Sent {
    /// It made this version; 0 where the answer does not say.
    Took(u64),
    Refused,
    /// Nobody knows.
    Lost,
}

impl Sent {
    fn of(told: &Told, version: Option<u64>) -> Self {
        match told.outcome() {
            Outcome::Ok => Self::Took(version.unwrap_or(0)),
            Outcome::Failed => Self::Refused,
            Outcome::Unknown => Self::Lost,
        }
    }

    /// The version that it made. A record of which nobody knows what it is, is left alone from now on.
    fn took(self, place: usize, crafter: &mut Crafter) -> Option<u64> {
        match self {
            Self::Took(version) => return Some(version),
            Self::Refused => {}
            Self::Lost => drop(crafter.mine.swap_remove(place)),
        }
        None
    }
}

/// A collection with its schema, its version, and the operation that is changing it.
pub(super) async fn collection(client: &mut Client, name: &str) -> Option<Value> {
    let ask = Ask {
        method: "GET",
        path: format!("/collections/{name}"),
        body: None,
        key: None,
        again: true,
    };
    client.ask(&ask).await.good
}
