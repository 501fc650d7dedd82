//! The tenants that are watched.

use std::time::Duration;

use anyhow::Result;
use rig::cluster::Cluster;
use rig::load::{self, Outcome, Pacing, Plan, Refused, Script};

use crate::setup;
use crate::tasks::{COLLECTION, Create, List, Mix, PRELOADED, Place, Read};

/// Connections of all victims: bounds what is outstanding.
const CONNECTIONS: usize = 128;
/// Connections that find what the machine serves.
const CAPACITY_CONNECTIONS: usize = 64;
/// Load before the window.
const WARMUP: Duration = Duration::from_secs(1);
/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a record's fields.
const RECORD_BYTES: usize = 300;
/// Names of the classes: victims by number.
const NAMES: [&str; 20] = [
    "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20",
];

/// See the module.
pub(super) struct Victims {
    places: Vec<Place>,
    targets: Vec<std::net::SocketAddr>,
}

/// What was seen of them in a phase.
pub(super) struct Seen {
    pub(super) outcome: Outcome,
    /// Successes of each.
    pub(super) successes: Vec<u64>,
}

impl Victims {
    /// Makes them, each with the records that reads and lists ask for.
    pub(super) fn settle(cluster: &Cluster, count: usize) -> Result<Self> {
        let places = setup::runtime()?.block_on(async {
            let mut places = Vec::new();
            for number in 0..count.min(NAMES.len()) {
                let tenant = setup::tenant(cluster, &format!("victim-{number}"), false).await?;
                setup::import(&tenant, COLLECTION, PRELOADED, RECORD_BYTES).await?;
                places.push(setup::place(&tenant, false).await?);
            }
            anyhow::Ok(places)
        })?;
        Ok(Self {
            places,
            targets: cluster.addresses(),
        })
    }

    /// Requests a second that the machine serves them.
    pub(super) fn capacity(&self, seconds: u64) -> Result<f64> {
        let found = self.drive(Pacing::Closed, CAPACITY_CONNECTIONS, Duration::from_secs(seconds))?;
        Ok(found.rate())
    }

    /// Asks at a rate and sees what comes of it.
    pub(super) fn watch(&self, rate: f64, window: Duration) -> Result<Seen> {
        let outcome = self.drive(Pacing::Open { rate }, CONNECTIONS, window)?;
        let successes = outcome.by_class.iter().map(|(_, latency)| latency.len()).collect();
        Ok(Seen { outcome, successes })
    }

    fn drive(&self, pacing: Pacing, connections: usize, window: Duration) -> Result<Outcome> {
        let plan = Plan {
            targets: self.targets.clone(),
            refused: Refused::Fails,
            connections,
            pacing,
            warmup: WARMUP,
            window,
            timeout: TIMEOUT,
            classes: NAMES[..self.places.len()].to_vec(),
            probe: None,
            slot: None,
        };
        let run = setup::moment();
        load::drive(&plan, |connection| self.script(connection, run))
    }

    /// Each request of a connection is of a random victim.
    fn script(&self, connection: usize, run: u64) -> Box<dyn Script> {
        let seed = connection as u64 + 1;
        let of = |(number, place): (usize, &Place)| -> (u64, Box<dyn Script>) {
            let prefix = format!("v{number}-{run:x}-{connection}");
            let parts: Vec<(u64, Box<dyn Script>)> = vec![
                (7, Box::new(Read::new(place.clone(), "", PRELOADED, seed))),
                (2, Box::new(Create::new(place.clone(), prefix, 0))),
                (1, Box::new(List::new(place.clone(), seed))),
            ];
            (1, Box::new(Mix::new(parts, seed + number as u64)))
        };
        Box::new(Mix::new(self.places.iter().enumerate().map(of).collect(), seed))
    }
}
