//! What goes into files, and reads of files that somebody else changes: whole and in part, at any node, also of what is gone.

use tokio::time::sleep_until;

use super::ask::Parcel;
use super::librarian::Librarian;
use crate::content::{self, CHUNK_BYTES, Content};
use crate::history::{Action, Glimpse, Outcome};

/// The mean time from one read to the next.
const READ_PACE_MS: u64 = 500;
/// Longest content, in chunks.
const MOST_CHUNKS: u64 = 3;
/// Out of a hundred contents with whole chunks, those whose chunks are common ones.
const COMMON_PERCENT: u64 = 50;

impl Librarian {
    /// Reads files until the load ends.
    pub(super) async fn read(mut self) {
        while !self.client.controls.is_stopped() {
            let next = self.client.due(READ_PACE_MS);
            if let Some((name, id, version)) = self.borrow() {
                self.peek(&name, &id, version).await;
            }
            sleep_until(next).await;
        }
    }

    /// A content that nobody has.
    pub(super) fn content(&mut self) -> Content {
        let random = &mut self.client.random;
        let bytes = match random.below(100) {
            0..=44 => 1 + random.below(1_000),
            45..=79 => 1 + random.below(64 << 10),
            80..=89 => 1 + random.below(CHUNK_BYTES),
            90..=94 => CHUNK_BYTES * (1 + random.below(MOST_CHUNKS)),
            _ => 1 + random.below(MOST_CHUNKS * CHUNK_BYTES),
        };
        let common = if random.below(100) < COMMON_PERCENT {
            random.draw()
        } else {
            0
        };
        Content {
            tag: self.client.workspace.tag.clone(),
            mark: self.client.value(),
            bytes,
            common,
        }
    }

    /// A file that somebody has, and sometimes one that is gone.
    fn borrow(&mut self) -> Option<(String, String, u64)> {
        let mut shelf = self.client.controls.shelf(self.client.workspace.place);
        if shelf.is_empty() {
            return None;
        }
        // The remainder of a length fits.
        Some(shelf.swap_remove(self.client.random.below(shelf.len() as u64) as usize))
    }

    /// Reads what a file has now, or a version that it has had for some time.
    async fn peek(&mut self, name: &str, id: &str, newest: u64) {
        self.client.anywhere();
        let random = &mut self.client.random;
        let version = (random.below(3) == 0).then(|| 1 + random.below(newest));
        let range = (random.below(2) == 0).then(|| {
            let from = if random.below(2) == 0 {
                random.below(64)
            } else {
                CHUNK_BYTES - random.below(64)
            };
            (from, from + random.below(64 << 10))
        });
        let query = version.map_or_else(String::new, |version| format!("?version={version}"));
        let parcel = Parcel {
            method: "GET",
            path: format!("/files/{id}/content{query}"),
            headers: range.map_or_else(String::new, |(from, to)| format!("range: bytes={from}-{to}\r\n")),
            body: b"",
            again: true,
        };
        let begun = self.client.begin();
        let told = self.client.send(&parcel).await;
        let absent = matches!(told.refusal, Some((404, _)));
        let seen = told.good.is_some().then(|| Glimpse {
            bytes: told.bytes.len() as u64,
            digest: content::digest(&told.bytes),
        });
        let outcome = if absent { Outcome::Ok } else { told.read_outcome() };
        let action = Action::Peek {
            file: name.to_owned(),
            version,
            range,
            seen,
        };
        self.client.end(&begun, action, outcome, told.position);
    }
}
