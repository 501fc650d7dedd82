//! Lists by filter and order, served by one index: what a board of tasks asks for (W4).

use rig::http::{Request, find};
use rig::load::Script;
use rig::random::Random;

use crate::tasks::{ASSIGNEES, PAGE, Place, assignee_of, expect, status_of};

/// A collection with the same records as the one that is written to, and an index for a filter and an order.
pub const BOARD: &str = "board";
/// Bytes of a time in whole seconds.
const TIME_BYTES: usize = "2026-01-01T00:00:00Z".len();

/// Lists the 50 records of a random assignee in their status, the youngest first.
pub struct Filtered {
    place: Place,
    path: String,
    random: Random,
    assignee: String,
}

impl Filtered {
    /// Pages of [`PAGE`] records.
    pub fn new(place: Place, seed: u64) -> Self {
        let path = place.path(BOARD);
        Self {
            place,
            path,
            random: Random::new(seed),
            assignee: String::new(),
        }
    }
}

impl Script for Filtered {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        // Each assignee has records in one status alone: there are a multiple as many of the ones as of the others.
        let number = self.random.below(ASSIGNEES);
        let (assignee, status) = (assignee_of(number), status_of(number));
        let filter = format!("assignee%20%3D%3D%20%22{assignee}%22%20%26%26%20status%20%3D%3D%20%22{status}%22");
        let path = format!("{}?filter={filter}&order=-created_at&limit={PAGE}", self.path);
        self.assignee = format!("\"assignee\":\"{assignee}\"");
        Request {
            method: "GET",
            path: &path,
            token: &self.place.token,
            headers: "",
            body: b"",
        }
        .write(out);
        0
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        expect(status, 200, body)?;
        // One pass over the body: what the loader takes, the replicas do not have. All times are whole seconds, so that texts order
        // as they do.
        let (mut rest, mut found, mut before): (_, _, Option<&[u8]>) = (body, 0, None);
        while let Some(created) = after(rest, b"\"created_at\":\"") {
            let time = &created[..created.len().min(TIME_BYTES)];
            if before.is_some_and(|before| before <= time) {
                return Err("wrong_order".to_owned());
            }
            let Some(next) = after(created, self.assignee.as_bytes()) else {
                break;
            };
            (rest, found, before) = (next, found + 1, Some(time));
        }
        if found == PAGE {
            Ok(())
        } else {
            Err(format!("{found}_records_of_{PAGE}"))
        }
    }
}

/// What follows the first occurrence of a text.
fn after<'b>(body: &'b [u8], text: &[u8]) -> Option<&'b [u8]> {
    find(body, text).map(|at| &body[at + text.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::PRELOADED;

    fn page(assignee: &str, times: impl Iterator<Item = u64>) -> Vec<u8> {
        let record = |time| {
            format!(
                "{{\"created_at\":\"2026-01-01T00:{:02}:{:02}Z\",{assignee}}},",
                time / 60,
                time % 60
            )
        };
        times.map(record).collect::<String>().into_bytes()
    }

    #[test]
    fn a_page_must_be_whole_and_the_youngest_first() {
        let place = Place {
            tenant: "bench".to_owned(),
            token: "secret".to_owned(),
        };
        let mut list = Filtered::new(place, 1);
        let mut out = Vec::new();
        list.request(&mut out);
        assert!(find(&out, b"?filter=assignee%20%3D%3D%20%22u-0").is_some());
        let assignee = list.assignee.clone();
        assert_eq!(list.check(200, &page(&assignee, (0..50).rev())), Ok(()));
        assert_eq!(list.check(200, &page(&assignee, 0..50)), Err("wrong_order".to_owned()));
        let short = list.check(200, &page(&assignee, (0..49).rev()));
        assert_eq!(short, Err("49_records_of_50".to_owned()));
    }

    #[test]
    fn each_assignee_has_a_page_in_its_status() {
        for assignee in 0..ASSIGNEES {
            let own = (0..PRELOADED).filter(|number| number % ASSIGNEES == assignee);
            assert_eq!(own.filter(|number| status_of(*number) == status_of(assignee)).count(), PAGE);
        }
    }
}
