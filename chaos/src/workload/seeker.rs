//! Search: a client of each tenant that makes, changes and deletes notes of its own, one request after the other, each with a word that no other
//! text has; and one that searches for such words, and for those that many notes have, at any node.

use serde_json::{Map, Value, json};
use tokio::time::sleep_until;

use super::ask::{Ask, Told};
use super::client::Client;
use super::tenants::new_id;
use crate::history::{Act, Action, Found, Outcome, Total};
use crate::invariants::names;

/// The mean time from one change to the next, in milliseconds.
const PACE_MS: u64 = 400;
/// The mean time from one search to the next.
const SEARCH_PACE_MS: u64 = 500;
/// Most notes of a tenant. Raised: words that many have find more than a page shows.
const MINE: usize = 80;
/// Most records of a page: more than there are.
pub(crate) const PAGE: usize = 400;
/// How many of the newest words are searched for as often as all others.
const NEWEST: u64 = 8;

struct Mine {
    id: String,
    version: u64,
}

/// See the module.
pub(super) struct Seeker {
    client: Client,
    mine: Vec<Mine>,
}

impl Seeker {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            mine: Vec::new(),
        }
    }

    /// Writes until the load ends.
    pub(super) async fn write(mut self) {
        while !self.client.controls.is_stopped() {
            let next = self.client.due(PACE_MS);
            self.change().await;
            sleep_until(next).await;
        }
    }

    /// Searches until the load ends.
    pub(super) async fn search(mut self) {
        while !self.client.controls.is_stopped() {
            let next = self.client.due(SEARCH_PACE_MS);
            if let Some(word) = self.word() {
                self.look_for(&word).await;
            }
            sleep_until(next).await;
        }
    }

    async fn change(&mut self) {
        if self.mine.len() < 3 {
            return self.create().await;
        }
        // The remainder of a length fits.
        let place = self.client.random.below(self.mine.len() as u64) as usize;
        match self.client.random.below(100) {
            0..=39 if self.mine.len() < MINE => self.create().await,
            40..=74 => self.patch(place).await,
            _ => self.delete(place).await,
        }
    }

    /// The fields of a note that is like no other.
    fn fields(&mut self) -> Map<String, Value> {
        let word = names::word(&self.client.value());
        let group = names::group_word(&self.client.workspace.tag, self.client.random.below(names::NOTE_GROUPS));
        // The remainder of a length fits.
        let kind = names::NOTE_KINDS[self.client.random.below(names::NOTE_KINDS.len() as u64) as usize];
        let text = format!("a note of {} about {word} and {group} again", self.client.workspace.tag);
        self.client.controls.wrote(self.client.workspace.place, word);
        let fields = json!({ names::NOTE_TEXT: text, names::NOTE_KIND: kind });
        fields.as_object().cloned().unwrap_or_default()
    }

    async fn create(&mut self) {
        let (id, fields) = (new_id(&mut self.client.random), self.fields());
        let ask = Ask {
            method: "POST",
            path: format!("/records/{}", names::NOTES),
            body: Some(json!({ "id": id, "fields": fields })),
            key: Some(&id),
            again: true,
        };
        let begun = self.client.begin();
        let told = self.client.ask(&ask).await;
        let version = version_of(&told);
        if let Some(version) = version {
            self.mine.push(Mine { id: id.clone(), version });
        }
        self.client.end(
            &begun,
            craft(&id, Act::Create(fields), version),
            told.outcome(),
            told.position,
        );
    }

    async fn patch(&mut self, place: usize) {
        let (id, fields, key) = (self.mine[place].id.clone(), self.fields(), self.client.value());
        let ask = Ask {
            method: "PATCH",
            path: format!("/records/{}/{id}", names::NOTES),
            body: Some(json!({ "fields": fields })),
            key: Some(&key),
            again: true,
        };
        let begun = self.client.begin();
        let told = self.client.ask(&ask).await;
        let version = version_of(&told);
        match (told.outcome(), version) {
            (Outcome::Ok, Some(version)) => self.mine[place].version = version,
            (Outcome::Failed, _) => {}
            // What may or may not have been changed is left alone.
            _ => drop(self.mine.swap_remove(place)),
        }
        self.client
            .end(&begun, craft(&id, Act::Patch(fields), version), told.outcome(), told.position);
    }

    async fn delete(&mut self, place: usize) {
        let Mine { id, version } = self.mine.swap_remove(place);
        let begun = self.client.begin();
        let (outcome, position) = super::claim::delete(&mut self.client, format!("/records/{}/{id}", names::NOTES)).await;
        if outcome == Outcome::Failed {
            self.mine.push(Mine { id: id.clone(), version });
        }
        let made = (outcome == Outcome::Ok).then_some(version + 1);
        self.client.end(&begun, craft(&id, Act::Delete, made), outcome, position);
    }

    /// A word that one note has or had, that many have, or that one of another tenant has.
    fn word(&mut self) -> Option<String> {
        let place = self.client.workspace.place;
        let (controls, random) = (self.client.controls.clone(), &mut self.client.random);
        match random.below(100) {
            0..=34 => Some(names::group_word(
                &self.client.workspace.tag,
                random.below(names::NOTE_GROUPS),
            )),
            35..=44 => controls.word_of_another(place, random.draw()),
            45..=74 => controls.word(place, random.below(NEWEST)),
            _ => controls.word(place, random.draw()),
        }
    }

    async fn look_for(&mut self, word: &str) {
        self.client.anywhere();
        let is_strong = self.client.random.below(2) == 0;
        let with_facets = self.client.random.below(2) == 0;
        let consistency = if is_strong { "&consistency=strong" } else { "" };
        let facets = if with_facets {
            format!("&facets={}", names::NOTE_KIND)
        } else {
            String::new()
        };
        let ask = Ask {
            method: "GET",
            path: format!("/search?q={word}&limit={PAGE}{facets}{consistency}"),
            body: None,
            key: None,
            again: true,
        };
        let begun = self.client.begin();
        let told = self.client.ask(&ask).await;
        let answer = told.good.as_ref();
        let action = Action::Search {
            word: word.to_owned(),
            strong: is_strong,
            found: answer.map(found).unwrap_or_default(),
            whole: answer.is_some_and(|answer| answer["next_cursor"].is_null() && answer["building"] == false),
            total: answer.and_then(total),
            facets: answer.filter(|_| with_facets).map(facets_of),
        };
        self.client.end(&begun, action, told.read_outcome(), told.position);
    }
}

/// The records of an answer to a search, as they are.
pub(crate) fn found(answer: &Value) -> Vec<Found> {
    let text = |record: &Value, name: &str| record["fields"][name].as_str().unwrap_or_default().to_owned();
    let one = |item: &Value| {
        let record = &item["record"];
        Found {
            collection: record["collection"].as_str().unwrap_or_default().to_owned(),
            id: record["id"].as_str().unwrap_or_default().to_owned(),
            version: record["version"].as_u64().unwrap_or(0),
            text: text(record, names::NOTE_TEXT),
            kind: text(record, names::NOTE_KIND),
        }
    };
    answer["items"].as_array().into_iter().flatten().map(one).collect()
}

/// How many it says there are.
pub(crate) fn total(answer: &Value) -> Option<Total> {
    Some(Total {
        count: answer["total"]["value"].as_u64()?,
        exact: answer["total"]["relation"] == "eq",
    })
}

/// How many it says there are of each kind.
pub(crate) fn facets_of(answer: &Value) -> Vec<(String, u64)> {
    let kinds = answer["facets"][names::NOTE_KIND].as_array();
    let one = |facet: &Value| Some((facet["value"].as_str()?.to_owned(), facet["count"].as_u64()?));
    kinds.into_iter().flatten().filter_map(one).collect()
}

fn version_of(told: &Told) -> Option<u64> {
    told.good.as_ref()?["version"].as_u64()
}

fn craft(id: &str, act: Act, version: Option<u64>) -> Action {
    Action::Craft {
        collection: names::NOTES.to_owned(),
        id: id.to_owned(),
        act,
        version,
        refused: None,
    }
}
