//! What the leader of a scrub asks the other replicas, and what they answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::body::control::Scrub;
use api::error::Error;
use bytes::Bytes;
use raft::NodeId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::pins::Found;
use crate::machine::envelope::{open, seal};
use crate::node::platform::Platform;
use crate::node::relay::{UNKNOWN, What};
use crate::node::replica::Replica;
use crate::node::slot::Slot;

/// A replica is told that it is the odd one out.
#[derive(Serialize, Deserialize)]
pub(crate) struct Told {
    /// The scrub.
    pub(crate) id: Uuid,
    /// What it holds there, by the one who tells: it must know that of itself.
    pub(crate) found: Found,
    /// Why that is wrong.
    pub(crate) why: String,
}

impl Platform {
    /// What came out of a scrub at each replica of a group. Who does not answer took no part so far.
    pub(crate) async fn scrub_found(&self, slot: &Slot, id: Uuid) -> BTreeMap<u64, Found> {
        let asked = self.members(slot.number).into_iter().map(|number| async move {
            let found = match number == self.me.number {
                true => self.scrub_found_here(slot.number, id),
                false => {
                    let payload = Bytes::from(seal(&id));
                    let answer = self.ask(NodeId(number), What::ScrubFound, slot.number, &payload).await;
                    answer.ok().and_then(|bytes| open(&bytes).ok()).unwrap_or(Found::Nothing)
                }
            };
            (number, found)
        });
        futures_util::future::join_all(asked).await.into_iter().collect()
    }

    /// What came out of it here. A replica that is on its way back from damage, or came back from it meanwhile, says so.
    pub(crate) fn scrub_found_here(&self, group: u64, id: Uuid) -> Found {
        let slot = self.slot(group);
        let Some(slot) = slot else { return Found::Nothing };
        match slot.get() {
            Some(replica) => match replica.store.damaged() {
                Some(what) => Found::Damaged(what),
                None => match (replica.pins.found(id), slot.why_taken_out(id)) {
                    // It was damaged, and has been rebuilt since.
                    (Found::Nothing, Some(what)) => Found::Damaged(what),
                    (found, _) => found,
                },
            },
            None => Found::Damaged(slot.stopped().unwrap_or_default()),
        }
    }

    /// The other replicas of a group that cannot be asked about scrubs, and why: they are away, or of a version that has none.
    pub(crate) async fn scrub_strangers(&self, slot: &Slot) -> Vec<(u64, String)> {
        let nobody = Bytes::from(seal(&Uuid::nil()));
        let others = self
            .members(slot.number)
            .into_iter()
            .filter(|number| *number != self.me.number);
        let asked = others.map(|number| {
            let nobody = &nobody;
            async move {
                let answer = self.ask(NodeId(number), What::ScrubFound, slot.number, nobody).await;
                answer.err().map(|error| (number, error.detail))
            }
        });
        futures_util::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// Serves a question about scrubs from another node.
    pub(crate) async fn serve_scrub(self: &Arc<Self>, what: u8, group: u64, payload: &[u8]) -> Result<Bytes, String> {
        let slot = self.slot(group);
        let slot = slot.ok_or("the node has no replica of the group")?;
        let shown = |scrub: Result<Scrub, Error>| {
            let scrub = scrub.map_err(|error| error.detail)?;
            serde_json::to_vec(&scrub).map(Bytes::from).map_err(|error| error.to_string())
        };
        match what {
            what if what == What::ScrubBegin as u8 => shown(self.scrub_begin(&slot).await),
            what if what == What::ScrubLast as u8 => shown(self.scrub_last(&slot)),
            what if what == What::ScrubFound as u8 => {
                let id = open(payload).map_err(|error| error.to_string())?;
                Ok(seal(&self.scrub_found_here(group, id)).into())
            }
            what if what == What::ScrubOdd as u8 => {
                let replica = slot.get().ok_or("the replica is not there")?;
                let told: Told = open(payload).map_err(|error| error.to_string())?;
                mark_odd(&replica, &told).await.map(|()| Bytes::new())
            }
            _ => Err(UNKNOWN.to_owned()),
        }
    }

    /// Tells a replica that it is the odd one out. It marks itself as damaged, and repairs itself.
    pub(crate) async fn tell_odd(&self, slot: &Slot, number: u64, told: &Told) -> Result<(), Error> {
        self.ask(NodeId(number), What::ScrubOdd, slot.number, &Bytes::from(seal(told)))
            .await
            .map(drop)
    }
}

/// Marks this replica as damaged, if it holds what it is said to hold.
pub(crate) async fn mark_odd(replica: &Replica, told: &Told) -> Result<(), String> {
    if replica.pins.found(told.id) != told.found {
        return Err("the replica has found something else since".to_owned());
    }
    let (store, why) = (replica.store.clone(), told.why.clone());
    let marked = tokio::task::spawn_blocking(move || store.mark_damaged(&why)).await;
    marked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// How long a leader that is the odd one out has to hand over.
pub(crate) const HAND_OVER: Duration = Duration::from_secs(5);
