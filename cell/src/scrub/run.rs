//! The course of a scrub at the leader, and when one begins by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::body::control::{Scrub, ScrubbedReplica};
use api::error::{Code, Error};
use api::ids::Id;
use api::service::Timing;
use storage::Space;
use storage::table::LastScrub;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::ask::{HAND_OVER, Told, mark_odd};
use super::begin::{LastRow, ScrubBegin};
use super::pins::{Found, Held};
use super::verdict::{self, Verdict, agrees, majority};
use crate::machine::reader::Reader;
use crate::machine::rows::Actor;
use crate::node::platform::Platform;
use crate::node::relay::UNKNOWN;
use crate::node::replica::{Proposal, Replica};
use crate::node::slot::Slot;
use crate::records::time::{format_stamp, now_micros};
use crate::service::error::not_leader;

/// Between two scrubs of a cell that nobody asks for, in microseconds. Raised: damage that nobody reads is found later. Lowered: more
/// reading.
const EVERY_MICROS: u64 = 24 * 3_600 * 1_000_000;
/// How long after the start of a node, at most, a cell is scrubbed that is due: so that not all of them are at once.
const SPREAD: Duration = Duration::from_secs(3_600);
/// How often it is looked whether a cell is due.
const LOOK: Duration = Duration::from_secs(10);
/// Between two questions to the replicas: doubles from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a replica may take to come to the scrub, or to come back.
const ABSENT: Duration = Duration::from_secs(60);
/// How long all of it may take: the replicas hold what they hash, and their files cannot use freed pages again.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// The status of a scrub that is at work.
const RUNNING: &str = "running";

/// Begins scrubs that are due, for as long as the platform is there.
pub(crate) async fn watch(platform: Arc<Platform>) {
    let start = Instant::now();
    loop {
        sleep(LOOK).await;
        let slots: Vec<_> = platform.slots().collect();
        for slot in slots.iter().filter(|slot| start.elapsed() >= spread(slot.number)) {
            let Some(replica) = slot.get().filter(|replica| replica.group.is_leader()) else {
                continue;
            };
            if platform.members(slot.number).len() > 1
                && is_due(&replica)
                && platform.scrub_strangers(slot).await.is_empty()
                && let Err(error) = platform.scrub_begin(slot).await
            {
                tracing::warn!(cell = %slot.name, %error, "a scrub could not be begun");
            }
        }
    }
}

/// When after the start of a node a cell's turn comes.
fn spread(group: u64) -> Duration {
    let share = group.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    SPREAD.mul_f64(share as f64 / f64::from(u32::MAX))
}

fn is_due(replica: &Replica) -> bool {
    match replica.store.begin_read().row(&LastScrub { space: Space::SYSTEM }) {
        Ok(Some(LastRow::V1(last))) => now_micros().saturating_sub(last.stamp) >= EVERY_MICROS,
        Ok(None) => true,
        Err(_) => false,
    }
}

impl Platform {
    /// Begins a scrub of a cell that this node leads, unless one is at work; what is known of it.
    pub(crate) async fn scrub_begin(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<Scrub, Error> {
        let replica = slot.take_part()?;
        if !replica.group.is_leader() {
            return Err(not_leader(replica.group.leader().map(|node| node.0)));
        }
        let strangers = self.scrub_strangers(slot).await;
        if let Some((node, _)) = strangers.iter().find(|(_, why)| why == UNKNOWN) {
            let detail = format!("{} has a version without scrubs: upgrade it first", self.node_name(*node));
            return Err(Error::new(Code::Unavailable, detail));
        }
        let id = Uuid::now_v7();
        let scrub = Scrub {
            id: Id(id),
            cell: slot.name.to_string(),
            status: RUNNING.to_owned(),
            position: None,
            started_at: format_stamp(now_micros()),
            ended_at: None,
            replicas: Vec::new(),
        };
        if let Some(running) = slot.scrub_started(&scrub) {
            return Ok(running);
        }
        let proposal = Proposal {
            command: ScrubBegin { id },
            schema: None,
            access: None,
        };
        let proposed = replica
            .propose(Space::SYSTEM, Actor::System, None, proposal, &Timing::default())
            .await;
        if let Err(error) = proposed {
            slot.scrub_forgotten(id);
            return Err(error);
        }
        let (platform, slot) = (Arc::clone(self), Arc::clone(slot));
        tokio::spawn(async move { platform.scrub_follow(&slot, id).await });
        Ok(scrub)
    }

    /// The last scrub that this node led, or leads.
    pub(crate) fn scrub_last(&self, slot: &Slot) -> Result<Scrub, Error> {
        slot.scrub().ok_or_else(|| {
            let detail = format!("no scrub of {} is known to its leader", slot.name);
            Error::new(Code::NotFound, detail)
        })
    }

    /// Asks until all replicas have an answer, judges, and acts on it.
    async fn scrub_follow(&self, slot: &Slot, id: Uuid) {
        let start = Instant::now();
        let mut pause = PAUSE.0;
        let found = loop {
            let found = self.scrub_found(slot, id).await;
            slot.scrub_told(id, |scrub| self.show_found(scrub, &found, false));
            let running = found.values().any(|found| *found == Found::Running);
            let absent = found.values().any(|found| *found == Found::Nothing);
            if start.elapsed() >= PATIENCE || !(running || (absent && start.elapsed() < ABSENT)) {
                break found;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        };
        let verdict = verdict::judge(&found);
        match &verdict {
            Verdict::Equal => tracing::info!(cell = %slot.name, scrub = %id, "all replicas hold the same"),
            Verdict::Incomplete => tracing::warn!(cell = %slot.name, scrub = %id, ?found, "not all replicas could be compared"),
            Verdict::Undecided => tracing::error!(
                cell = %slot.name, scrub = %id, ?found,
                "REPLICAS DIFFER and no majority agrees: nobody is rebuilt; an operator has to decide which one is right"
            ),
            Verdict::Odd(nodes) => {
                tracing::error!(cell = %slot.name, scrub = %id, ?nodes, ?found, "replicas are damaged and are rebuilt");
                // Itself first: the others rebuild from the leader, which must be one of the majority then.
                let (own, others): (Vec<u64>, Vec<u64>) = nodes.iter().partition(|node| **node == self.me.number);
                for node in own.into_iter().chain(others) {
                    self.scrub_odd(slot, id, node, &found).await;
                }
            }
        }
        slot.scrub_told(id, |scrub| {
            self.show_found(scrub, &found, true);
            scrub.status = status_of(&verdict).to_owned();
            scrub.ended_at = Some(format_stamp(now_micros()));
        });
    }

    /// Has a replica rebuilt that differs from the majority. One that found its own damage is at it already.
    async fn scrub_odd(&self, slot: &Slot, id: Uuid, node: u64, found: &BTreeMap<u64, Found>) {
        let Some(own @ Found::Done(_)) = found.get(&node) else {
            return;
        };
        let told = Told {
            id,
            found: own.clone(),
            why: format!("the scrub {id} found that this replica holds something else than the majority"),
        };
        let done = match slot.get() {
            Some(replica) if node == self.me.number => {
                let right = majority(found);
                let successor = found
                    .iter()
                    .find(|(_, found)| agrees(found, right))
                    .map(|(node, _)| raft::NodeId(*node));
                if let Ok(Err(error)) = timeout(HAND_OVER, replica.group.hand_over(successor)).await {
                    tracing::warn!(cell = %slot.name, %error, "the damaged leader could not hand over; the others elect one");
                }
                mark_odd(&replica, &told).await
            }
            _ => self.tell_odd(slot, node, &told).await.map_err(|error| error.detail),
        };
        if let Err(error) = done {
            tracing::error!(cell = %slot.name, node, error, "a damaged replica could not be told so; the next scrub finds it again");
        }
    }

    /// Puts what the replicas found into the report.
    fn show_found(&self, scrub: &mut Scrub, found: &BTreeMap<u64, Found>, ended: bool) {
        let right = majority(found);
        let index = |found: &Found| match found {
            Found::Done(held) => Some(held.index),
            _ => None,
        };
        scrub.position = right.map(|(index, ..)| index).or_else(|| found.values().find_map(index));
        let replica = |(node, found): (&u64, &Found)| {
            show_replica(self.node_name(*node), found, right.is_some(), agrees(found, right), ended)
        };
        scrub.replicas = found.iter().map(replica).collect();
    }
}

fn status_of(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Equal => "equal",
        Verdict::Odd(_) => "damaged",
        Verdict::Undecided => "undecided",
        Verdict::Incomplete => "incomplete",
    }
}

fn show_replica(node: String, found: &Found, decided: bool, agrees: bool, ended: bool) -> ScrubbedReplica {
    let held: Option<&Held> = match found {
        Found::Done(held) => Some(held),
        _ => None,
    };
    let (status, detail) = match found {
        Found::Done(_) if !ended => (RUNNING, None),
        Found::Done(_) if agrees => ("equal", None),
        Found::Done(_) if decided => ("damaged", Some("it holds something else than the majority".to_owned())),
        Found::Done(_) => ("different", None),
        Found::Damaged(what) => ("damaged", Some(what.clone())),
        Found::Nothing | Found::Running if !ended => (RUNNING, None),
        Found::Nothing => ("missing", Some("it did not come to the scrub in time".to_owned())),
        Found::Running => ("missing", Some("it did not end in time".to_owned())),
        Found::Failed(why) => ("missing", Some(why.clone())),
    };
    ScrubbedReplica {
        node,
        status: status.to_owned(),
        hash: held.map(|held| blake3::Hash::from(held.hash).to_hex().to_string()),
        keys: held.map(|held| held.keys),
        blocks: held.map(|held| held.blocks),
        detail,
    }
}
