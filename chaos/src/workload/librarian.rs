//! Files: a client of each tenant that makes, changes and deletes files of its own, one request after the other, so that every version of a
//! file is known; and one that reads any of them meanwhile, whole and in part, at any node.
//!
//! A file after a request of which nobody knows what became of it is left alone.

use serde_json::{Value, json};
use tokio::time::sleep_until;

use super::ask::{Ask, Parcel, Told};
use super::client::Client;
use crate::history::{Action, Deed, Outcome};

/// The mean time from one change to the next, in milliseconds.
const PACE_MS: u64 = 600;
/// Most files of its own. Raised: more has to be read back. Lowered: each has more versions.
const MINE: usize = 12;
/// Versions after which a file is deleted: more are not kept for ever.
const VERSIONS: u64 = 15;
/// A file of its own.
pub(super) struct Mine {
    pub(super) name: String,
    pub(super) id: String,
    /// Its newest version.
    pub(super) version: u64,
}

/// See the module.
pub(super) struct Librarian {
    pub(super) client: Client,
    mine: Vec<Mine>,
}

impl Librarian {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            mine: Vec::new(),
        }
    }

    /// Changes files until the load ends.
    pub(super) async fn run(mut self) {
        while !self.client.controls.is_stopped() {
            let next = self.client.due(PACE_MS);
            self.step().await;
            sleep_until(next).await;
        }
    }

    async fn step(&mut self) {
        self.client.anywhere();
        if self.mine.len() < 2 {
            return self.create().await;
        }
        // The remainder of a length fits.
        let place = self.client.random.below(self.mine.len() as u64) as usize;
        if self.mine[place].version >= VERSIONS {
            return self.delete(place).await;
        }
        match self.client.random.below(100) {
            0..=24 if self.mine.len() < MINE => self.create().await,
            25..=37 if self.mine.len() < MINE => self.upload(None).await,
            38..=55 => self.replace(place).await,
            56..=65 => self.upload(Some(place)).await,
            66..=75 => self.restore(place).await,
            76..=83 => self.attach(place).await,
            _ => self.delete(place).await,
        }
    }

    async fn create(&mut self) {
        let (name, content) = (self.client.value(), self.content());
        let bytes = content.make();
        let parcel = Parcel {
            method: "POST",
            path: format!("/files?name={name}"),
            headers: format!("idempotency-key: {name}\r\ncontent-type: application/x-noise\r\n"),
            body: &bytes,
            again: true,
        };
        let begun = self.client.begin();
        let told = self.client.send(&parcel).await;
        let file = file_of(&told);
        if let Some((id, version)) = &file {
            self.took(&name, id, *version);
        }
        let action = shelve(
            &name,
            file.clone().map(|(id, _)| id),
            Deed::Create(content),
            file.map(|(_, version)| version),
        );
        self.client.end(&begun, action, told.outcome(), told.position);
    }

    /// A new file, or a new version of one, in pieces.
    async fn upload(&mut self, place: Option<usize>) {
        let content = self.content();
        let mine = place.map(|place| (self.mine[place].name.clone(), self.mine[place].id.clone()));
        let name = mine.as_ref().map_or_else(|| self.client.value(), |(name, _)| name.clone());
        let begun = self.client.begin();
        let sent = self
            .send_in_pieces(&name, mine.as_ref().map(|(_, id)| id.as_str()), &content)
            .await;
        let (outcome, id) = match sent {
            Ok(id) => (Outcome::Ok, Some(id)),
            Err(outcome) => (outcome, None),
        };
        match (place, &id, outcome) {
            (None, Some(id), _) => self.took(&name, id, 1),
            (Some(place), Some(_), _) => self.mine[place].version += 1,
            (Some(place), None, Outcome::Unknown) => drop(self.mine.swap_remove(place)),
            _ => {}
        }
        let deed = if mine.is_some() {
            Deed::Renew(content)
        } else {
            Deed::Upload(content)
        };
        let id = id.or(mine.map(|(_, id)| id));
        self.client.end(&begun, shelve(&name, id, deed, None), outcome, None);
    }

    async fn replace(&mut self, place: usize) {
        let content = self.content();
        let (name, id, bytes) = (self.mine[place].name.clone(), self.mine[place].id.clone(), content.make());
        let parcel = Parcel {
            method: "PUT",
            path: format!("/files/{id}/content"),
            headers: String::new(),
            body: &bytes,
            again: false,
        };
        let begun = self.client.begin();
        let told = self.client.send(&parcel).await;
        let version = file_of(&told).map(|(_, version)| version);
        self.settle(place, told.outcome(), version);
        let action = shelve(&name, Some(id), Deed::Replace(content), version);
        self.client.end(&begun, action, told.outcome(), told.position);
    }

    async fn restore(&mut self, place: usize) {
        let (name, id, newest) = (
            self.mine[place].name.clone(),
            self.mine[place].id.clone(),
            self.mine[place].version,
        );
        let (version, key) = (1 + self.client.random.below(newest), self.client.value());
        let ask = Ask {
            method: "POST",
            path: format!("/files/{id}/versions/{version}/restore"),
            body: None,
            key: Some(&key),
            again: true,
        };
        let begun = self.client.begin();
        let told = self.client.ask(&ask).await;
        let made = told.good.as_ref().and_then(|body| body["version"].as_u64());
        self.settle(place, told.outcome(), made);
        self.client.end(
            &begun,
            shelve(&name, Some(id), Deed::Restore(version), made),
            told.outcome(),
            told.position,
        );
    }

    /// To a project, which nobody deletes.
    async fn attach(&mut self, place: usize) {
        let (name, id) = (self.mine[place].name.clone(), self.mine[place].id.clone());
        let projects = &self.client.workspace.projects;
        // The remainder of a length fits.
        let project = projects[self.client.random.below(projects.len() as u64) as usize].clone();
        let key = self.client.value();
        let ask = Ask {
            method: "PATCH",
            path: format!("/files/{id}"),
            body: Some(json!({ "attached_to": { "collection": "projects", "record": project } })),
            key: Some(&key),
            again: true,
        };
        let begun = self.client.begin();
        let told = self.client.ask(&ask).await;
        let version = self.mine[place].version;
        self.settle(place, told.outcome(), Some(version));
        let action = shelve(&name, Some(id), Deed::Attach(project), None);
        self.client.end(&begun, action, told.outcome(), told.position);
    }

    async fn delete(&mut self, place: usize) {
        let Mine { name, id, .. } = self.mine.swap_remove(place);
        let begun = self.client.begin();
        let (outcome, position) = super::claim::delete(&mut self.client, format!("/files/{id}")).await;
        let kept = self.client.controls.shelf(self.client.workspace.place);
        if let (Outcome::Failed, Some((_, _, version))) = (outcome, kept.iter().find(|(known, _, _)| *known == name)) {
            self.mine.push(Mine {
                name: name.clone(),
                id: id.clone(),
                version: *version,
            });
        }
        self.client
            .end(&begun, shelve(&name, Some(id), Deed::Delete, None), outcome, position);
    }

    /// What came of a change of a file of its own: one that may or may not have been changed is left alone.
    fn settle(&mut self, place: usize, outcome: Outcome, version: Option<u64>) {
        match (outcome, version) {
            (Outcome::Ok, Some(version)) => {
                let mine = &mut self.mine[place];
                mine.version = version;
                let (name, id) = (mine.name.clone(), mine.id.clone());
                self.client
                    .controls
                    .put_on_shelf(self.client.workspace.place, &name, &id, version);
            }
            (Outcome::Failed, _) => {}
            _ => drop(self.mine.swap_remove(place)),
        }
    }

    fn took(&mut self, name: &str, id: &str, version: u64) {
        self.mine.push(Mine {
            name: name.to_owned(),
            id: id.to_owned(),
            version,
        });
        self.client
            .controls
            .put_on_shelf(self.client.workspace.place, name, id, version);
    }
}

/// Id and version that a reply says a file has.
fn file_of(told: &Told) -> Option<(String, u64)> {
    told.good.as_ref()?;
    let body: Value = serde_json::from_slice(&told.bytes).ok()?;
    Some((body["id"].as_str()?.to_owned(), body["version"].as_u64()?))
}

fn shelve(file: &str, id: Option<String>, deed: Deed, version: Option<u64>) -> Action {
    Action::Shelve {
        file: file.to_owned(),
        id,
        deed,
        version,
    }
}
