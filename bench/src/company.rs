//! The load of a whole company: many tenants of very different size in one cell, nine reads for a write, at a fixed rate.
//!
//! How often a tenant is asked falls with its rank as 1/rank (Zipf). Records are spread evenly: who is asked often is not who has much.

use std::time::Duration;

use anyhow::{Result, ensure};
use rig::cluster::Cluster;
use rig::load::{self, Pacing, Plan, Refused, Script, summarize};
use rig::random::Random;

use crate::report::{Measured, Row};
use crate::setup;
use crate::tasks::{BODY_BYTES, COLLECTION, Create, Place, Read};

/// Load before the window.
const WARMUP: Duration = Duration::from_secs(5);
/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Reads of ten requests.
const READS_OF_TEN: u64 = 9;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Tenants
    #[arg(long, default_value_t = 500)]
    pub tenants: usize,
    /// Records of all of them
    #[arg(long, default_value_t = 1_000_000)]
    pub records: u64,
    /// Requests a second, open loop
    #[arg(long, default_value_t = 7_500.0)]
    pub rate: f64,
    /// Seconds
    #[arg(long, default_value_t = 300)]
    pub seconds: u64,
    /// Connections: bounds what is outstanding
    #[arg(long, default_value_t = 256)]
    pub outstanding: usize,
}

/// Brings tenants and records in, and asks. One row.
pub fn run(cluster: &Cluster, size: &Size) -> Result<Vec<Row>> {
    ensure!(size.tenants > 0, "a company has a tenant");
    let each = (size.records / size.tenants as u64).max(1);
    let places = setup::runtime()?.block_on(async {
        let mut places = Vec::new();
        for number in 0..size.tenants {
            let tenant = setup::tenant(cluster, &format!("company-{number}"), false).await?;
            setup::import(&tenant, COLLECTION, each, BODY_BYTES).await?;
            places.push(setup::place(&tenant, false).await?);
        }
        crate::bulk::settled(cluster).await?;
        anyhow::Ok(places)
    })?;
    let plan = Plan {
        targets: cluster.addresses(),
        refused: Refused::Fails,
        connections: size.outstanding,
        pacing: Pacing::Open { rate: size.rate },
        warmup: WARMUP,
        window: Duration::from_secs(size.seconds),
        timeout: TIMEOUT,
        classes: vec!["read", "create"],
        probe: Some(setup::probe(cluster)?),
        slot: None,
    };
    let outcome = load::drive(&plan, |connection| Box::new(Company::new(&places, each, connection)))?;
    let title = format!(
        "{} requests/s of {} tenants with {} records, 90 % strong reads",
        size.rate,
        size.tenants,
        each * size.tenants as u64
    );
    println!(
        "{title}: {:.0}/s {} failures {:?}",
        outcome.rate(),
        summarize(&outcome.latency),
        outcome.errors
    );
    Ok(vec![Row::new(
        &title,
        Some(size.outstanding),
        vec![Measured::of(&outcome, true)],
    )])
}

/// Requests of one connection.
struct Company {
    tenants: Vec<(Read, Create)>,
    /// The sum of 1/rank up to each tenant, in millionths.
    shares: Vec<u64>,
    random: Random,
    asked: (usize, bool),
}

impl Company {
    fn new(places: &[Place], records: u64, connection: usize) -> Self {
        let seed = connection as u64 + 1;
        let scripts = |place: &Place| {
            let read = Read::new(place.clone(), "", records, seed);
            (read, Create::new(place.clone(), format!("company-{connection}"), 0))
        };
        let mut sum = 0;
        let shares = (1..=places.len() as u64).map(|rank| {
            sum += 1_000_000 / rank;
            sum
        });
        Self {
            shares: shares.collect(),
            tenants: places.iter().map(scripts).collect(),
            random: Random::new(seed),
            asked: (0, true),
        }
    }
}

impl Script for Company {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        let drawn = self.random.below(self.shares.last().copied().unwrap_or(1));
        let tenant = self.shares.partition_point(|share| *share <= drawn);
        let reads = self.random.below(10) < READS_OF_TEN;
        self.asked = (tenant, reads);
        let (read, create) = &mut self.tenants[tenant];
        if reads {
            read.request(out)
        } else {
            create.request(out)
        };
        usize::from(!reads)
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        let (tenant, reads) = self.asked;
        let (read, create) = &mut self.tenants[tenant];
        if reads {
            read.check(status, body)
        } else {
            create.check(status, body)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_many_tenants_is_asked_as_often_as_its_rank_says() {
        let place = |number: usize| Place {
            tenant: format!("t{number}"),
            token: "secret".to_owned(),
        };
        let places: Vec<Place> = (0..100).map(place).collect();
        let mut company = Company::new(&places, 10, 0);
        let (mut counts, mut writes) = ([0u32; 100], 0);
        for _ in 0..10_000 {
            let mut out = Vec::new();
            writes += company.request(&mut out);
            counts[company.asked.0] += 1;
        }
        // The harmonic number of 100 is 5.19: the first has 19 % of all, the second half of that.
        assert!((1_700..2_150).contains(&counts[0]), "{}", counts[0]);
        assert!((800..1_150).contains(&counts[1]), "{}", counts[1]);
        assert!((850..1_150).contains(&writes), "{writes}");
    }
}
