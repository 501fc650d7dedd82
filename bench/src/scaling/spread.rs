//! Creates or point reads of which each goes to a tenant at random.

use std::sync::Arc;

use rig::load::Script;
use rig::random::Random;

use crate::run::Workload;
use crate::tasks::{Create, Place, Read};

/// The requests of one connection. Unlike a script for each tenant, it takes no memory for tenants that are not asked: there may be ten
/// thousand of them for each of many connections.
pub struct Spread {
    workload: Workload,
    places: Arc<[Place]>,
    records: u64,
    name: String,
    number: u64,
    random: Random,
    asked: Option<Box<dyn Script>>,
}

impl Spread {
    /// Creates, or strong reads, of these tenants, of which there is one at least and each has so many preloaded records. `name`: no
    /// other connection and run has it.
    pub fn new(workload: Workload, places: Arc<[Place]>, records: u64, name: String, connection: usize) -> Self {
        Self {
            workload,
            places,
            records,
            name,
            number: 0,
            random: Random::new(connection as u64 + 1),
            asked: None,
        }
    }
}

impl Script for Spread {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        let place = &self.places[usize::try_from(self.random.below(self.places.len() as u64)).unwrap_or(0)];
        let script: Box<dyn Script> = match self.workload {
            Workload::Create => Box::new(Create::new(place.clone(), self.name.clone(), self.number)),
            _ => Box::new(Read::new(place.clone(), "", self.records, self.random.draw())),
        };
        self.number += 1;
        self.asked.insert(script).request(out)
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        match &mut self.asked {
            Some(script) => script.check(status, body),
            None => Err("nothing_was_asked".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rig::http::find;

    use super::*;

    fn places(count: usize) -> Arc<[Place]> {
        let place = |number| Place {
            tenant: format!("t{number}"),
            token: "secret".to_owned(),
        };
        (0..count).map(place).collect()
    }

    #[test]
    fn every_tenant_is_asked_and_no_key_comes_twice() {
        let mut spread = Spread::new(Workload::Create, places(5), 10, "s".to_owned(), 0);
        let (mut tenants, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..200 {
            let mut out = Vec::new();
            spread.request(&mut out);
            let text = String::from_utf8(out).unwrap();
            tenants.insert(text.split('/').nth(3).unwrap().to_owned());
            let key = text.split("\"key\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            assert_eq!(spread.check(201, format!("\"{key}\"").as_bytes()), Ok(()));
            assert!(spread.check(201, b"{}").is_err());
            assert!(keys.insert(key));
        }
        assert_eq!(tenants.len(), 5);
    }

    #[test]
    fn a_read_asks_for_a_record_that_is_there() {
        let mut spread = Spread::new(Workload::ReadStrong, places(1), 2, "s".to_owned(), 3);
        assert!(spread.check(200, b"").is_err(), "nothing was asked yet");
        for _ in 0..20 {
            let mut out = Vec::new();
            spread.request(&mut out);
            let ids = [0, 1].map(crate::tasks::id_of);
            assert!(ids.iter().any(|id| find(&out, id.as_bytes()).is_some()));
        }
    }
}
