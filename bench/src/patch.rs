//! Patches of records that were imported.

use rig::http::{Request, find};
use rig::load::Script;
use rig::random::Random;

use crate::tasks::{COLLECTION, Place, expect, id_of};

/// Gives a random record other points at each request. The reply must hold the record with these.
pub struct Patch {
    place: Place,
    path: String,
    records: u64,
    random: Random,
    id: String,
    points: u64,
}

impl Patch {
    /// `records` are there.
    pub fn new(place: Place, records: u64, seed: u64) -> Self {
        Self {
            path: place.path(COLLECTION),
            place,
            records,
            random: Random::new(seed),
            id: String::new(),
            points: 0,
        }
    }
}

impl Script for Patch {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        self.id = id_of(self.random.below(self.records));
        self.points = self.random.below(1_000);
        let (path, body) = (
            format!("{}/{}", self.path, self.id),
            format!("{{\"fields\":{{\"points\":{}}}}}", self.points),
        );
        Request {
            method: "PATCH",
            path: &path,
            token: &self.place.token,
            headers: "",
            body: body.as_bytes(),
        }
        .write(out);
        0
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        expect(status, 200, body)?;
        let wanted = format!("\"points\":{}", self.points);
        if find(body, self.id.as_bytes()).is_some() && find(body, wanted.as_bytes()).is_some() {
            Ok(())
        } else {
            Err("wrong_record".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_wants_its_own_record_back() {
        let place = Place {
            tenant: "bench".to_owned(),
            token: "secret".to_owned(),
        };
        let mut patch = Patch::new(place, 1_000, 1);
        for _ in 0..100 {
            let mut out = Vec::new();
            patch.request(&mut out);
            assert!(find(&out, patch.id.as_bytes()).is_some());
            let reply = format!("{{\"id\":\"{}\",\"fields\":{{\"points\":{}}}}}", patch.id, patch.points);
            assert_eq!(patch.check(200, reply.as_bytes()), Ok(()));
            assert_eq!(patch.check(200, b"{}"), Err("wrong_record".to_owned()));
        }
    }
}
