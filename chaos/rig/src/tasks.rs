//! The records that are written and read, and the scripts of a connection: create, point read, mix, list.
//!
//! A task is about 300 bytes of JSON, with two secondary indexes (`status` and `assignee`). Everything follows from numbers, so
//! that a reply can be checked without a table of what was sent.

mod ledger;
mod mix;

pub use ledger::Ledger;
pub use mix::Mix;

use crate::http::{Request, find};
use crate::load::Script;
use crate::random::Random;

/// The collection that is written to.
pub const COLLECTION: &str = "tasks";
/// Bytes of a create's body.
pub const BODY_BYTES: usize = 300;
/// Assignees: with [`PRELOADED`] records, 50 have each.
pub const ASSIGNEES: u64 = 200;
/// Records that are there before point reads and lists.
pub const PRELOADED: u64 = 10_000;
/// Records of a page in the list workload.
pub const PAGE: usize = 50;

/// The states of a task.
pub const STATUSES: [&str; 5] = ["backlog", "todo", "in_progress", "in_review", "done"];
const FILLER: &str = "the quick brown fox jumps over the lazy dog while seven wizards watch from a nearby hill and take notes of it all \
    because nobody else will, and then they go home to write a report that somebody is going to read some day, perhaps, or not ";
/// Milliseconds since the epoch at which the first preloaded record was created, as its id says too: 2026-01-01.
const FIRST_ID_MILLIS: u64 = 1_767_225_600_000;

/// Where a connection's requests go.
#[derive(Clone, Debug)]
pub struct Place {
    /// The tenant's slug.
    pub tenant: String,
    /// Its token.
    pub token: String,
}

impl Place {
    /// Where its records of a collection are.
    pub fn path(&self, collection: &str) -> String {
        format!("/v1/tenants/{}/records/{collection}", self.tenant)
    }
}

/// The id of preloaded record `number`: a UUID of version 7 whose time grows with the number.
pub fn id_of(number: u64) -> String {
    let random = Random::new(number).draw();
    let (time, low) = (FIRST_ID_MILLIS + number, 0x8000_0000_0000_0000 | (random >> 2));
    let (a, b) = (time >> 16, time & 0xffff);
    format!(
        "{a:08x}-{b:04x}-7{:03x}-{:04x}-{:012x}",
        random & 0xfff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// The assignee of a record.
pub fn assignee_of(number: u64) -> String {
    format!("u-{:04}", number % ASSIGNEES)
}

/// The status of a record.
pub fn status_of(number: u64) -> &'static str {
    STATUSES[(number % STATUSES.len() as u64) as usize]
}

/// Appends the fields of a task as a JSON object's inside, padded so that it takes `bytes` in all.
fn write_fields(out: &mut Vec<u8>, key: &str, number: u64, bytes: usize) {
    let start = out.len();
    let status = status_of(number);
    let head = format!(
        "\"key\":\"{key}\",\"title\":\"task {number} of the benchmark\",\"status\":\"{status}\",\"assignee\":\"{}\",\"points\":{},\"description\":\"",
        assignee_of(number),
        number % 13
    );
    out.extend_from_slice(head.as_bytes());
    let missing = bytes.saturating_sub(out.len() - start + 1);
    out.extend(FILLER.bytes().cycle().take(missing));
    out.push(b'"');
}

/// Appends a line of an import: record `number` with so many bytes of fields; with an id and a time of creation of its own, a second
/// apart, where `with_id`.
pub fn write_line(out: &mut Vec<u8>, key: &str, number: u64, bytes: usize, with_id: bool) {
    out.push(b'{');
    if with_id {
        let created = FIRST_ID_MILLIS / 1_000 + number;
        out.extend_from_slice(format!("\"id\":\"{}\",\"created_at\":{created},", id_of(number)).as_bytes());
    }
    write_fields(out, key, number, bytes - 2);
    out.extend_from_slice(b"}\n");
}

/// Judges a status; the error is the status and the problem's code.
pub fn expect(status: u16, wanted: u16, body: &[u8]) -> Result<(), String> {
    if status == wanted {
        return Ok(());
    }
    let code = find(body, b"\"code\":\"").map_or("", |at| {
        let rest = std::str::from_utf8(&body[at + 8..]).unwrap_or_default();
        rest.split('"').next().unwrap_or_default()
    });
    Err(format!("{status} {code}").trim_end().to_owned())
}

/// Creates a task at each request (W1). The reply must be 201 and hold the key that was sent.
pub struct Create {
    place: Place,
    path: String,
    /// Distinguishes this connection of this run from all others.
    prefix: String,
    number: u64,
    key: String,
    body: Vec<u8>,
    /// Where acknowledged keys are kept; then each create has an idempotency key as well.
    ledger: Option<Ledger>,
}

impl Create {
    /// `prefix` must be unique to the connection and run.
    pub fn new(place: Place, prefix: String, start: u64) -> Self {
        let path = place.path(COLLECTION);
        Self {
            place,
            path,
            prefix,
            number: start,
            key: String::new(),
            body: Vec::with_capacity(BODY_BYTES),
            ledger: None,
        }
    }

    /// The same, of which each create has an idempotency key, and is noted when it is acknowledged.
    #[must_use]
    pub fn noted(self, ledger: &Ledger) -> Self {
        let ledger = Some(ledger.clone());
        Self { ledger, ..self }
    }
}

impl Script for Create {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        self.number += 1;
        self.key = format!("\"{}-{}\"", self.prefix, self.number);
        self.body.clear();
        self.body.extend_from_slice(b"{\"fields\":{");
        write_fields(&mut self.body, self.key.trim_matches('"'), self.number, BODY_BYTES - 13);
        self.body.extend_from_slice(b"}}");
        let headers = match &self.ledger {
            Some(_) => format!("idempotency-key: {}\r\n", self.key.trim_matches('"')),
            None => String::new(),
        };
        Request {
            method: "POST",
            path: &self.path,
            token: &self.place.token,
            headers: &headers,
            body: &self.body,
        }
        .write(out);
        0
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        expect(status, 201, body)?;
        if find(body, self.key.as_bytes()).is_some() {
            if let Some(ledger) = &self.ledger {
                ledger.note(self.key.trim_matches('"'));
            }
            Ok(())
        } else {
            Err("wrong_key".to_owned())
        }
    }
}

/// Reads a preloaded record by its id at each request (W2).
pub struct Read {
    place: Place,
    path: String,
    query: &'static str,
    records: u64,
    random: Random,
    id: String,
}

impl Read {
    /// `query` is empty (strong) or `?consistency=local`; `records` are there.
    pub fn new(place: Place, query: &'static str, records: u64, seed: u64) -> Self {
        let path = place.path(COLLECTION);
        Self {
            place,
            path,
            query,
            records,
            random: Random::new(seed),
            id: String::new(),
        }
    }
}

impl Script for Read {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        self.id = id_of(self.random.below(self.records));
        let path = format!("{}/{}{}", self.path, self.id, self.query);
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
        if find(body, self.id.as_bytes()).is_some() {
            Ok(())
        } else {
            Err("wrong_id".to_owned())
        }
    }
}

/// Lists the 50 records of a random assignee through its index (W4).
pub struct List {
    place: Place,
    path: String,
    random: Random,
    assignee: String,
}

impl List {
    /// Pages of [`PAGE`] records.
    pub fn new(place: Place, seed: u64) -> Self {
        let path = place.path(COLLECTION);
        Self {
            place,
            path,
            random: Random::new(seed),
            assignee: String::new(),
        }
    }
}

impl Script for List {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        let assignee = assignee_of(self.random.below(ASSIGNEES));
        let path = format!("{}?assignee={assignee}&limit={PAGE}", self.path);
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
        let (mut found, mut at) = (0, 0);
        while let Some(next) = find(&body[at..], self.assignee.as_bytes()) {
            found += 1;
            at += next + self.assignee.len();
        }
        if found == PAGE {
            Ok(())
        } else {
            Err(format!("{found}_records_of_{PAGE}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            tenant: "bench".to_owned(),
            token: "secret".to_owned(),
        }
    }

    fn body_of(request: &[u8]) -> &[u8] {
        &request[find(request, b"\r\n\r\n").unwrap() + 4..]
    }

    #[test]
    fn a_create_is_300_bytes_of_json_and_its_key_is_wanted_back() {
        let mut create = Create::new(place(), "w1-0-3".to_owned(), 0);
        for _ in 0..1_000 {
            let mut out = Vec::new();
            create.request(&mut out);
            let body = body_of(&out);
            assert_eq!(body.len(), BODY_BYTES, "{}", String::from_utf8_lossy(body));
            let value: serde_json::Value = serde_json::from_slice(body).unwrap();
            let key = format!("w1-0-3-{}", create.number);
            assert_eq!(value["fields"]["key"], key.as_str());
            let reply = format!("{{\"fields\":{{\"key\":\"{key}\"}}}}");
            assert_eq!(create.check(201, reply.as_bytes()), Ok(()));
            assert_eq!(create.check(201, b"{\"key\":\"w1-0-3-0\"}"), Err("wrong_key".to_owned()));
        }
        let problem = br#"{"title":"x","code":"too_many_requests"}"#;
        assert_eq!(create.check(429, problem), Err("429 too_many_requests".to_owned()));
    }

    #[test]
    fn a_noted_create_has_a_key_and_is_noted_once_it_is_acknowledged() {
        let ledger = Ledger::default();
        let mut create = Create::new(place(), "n".to_owned(), 0).noted(&ledger);
        for status in [201, 503, 201] {
            let mut out = Vec::new();
            create.request(&mut out);
            let key = create.key.clone();
            assert!(find(&out, format!("idempotency-key: {}\r\n", key.trim_matches('"')).as_bytes()).is_some());
            let _ = create.check(status, key.as_bytes());
        }
        assert_eq!(ledger.keys(), ["n-1", "n-3"]);
    }

    #[test]
    fn ids_are_ordered_uuids_of_version_7() {
        let ids: Vec<String> = (0..1_000).map(id_of).collect();
        assert!(ids.is_sorted());
        for id in ids {
            let parsed: api::ids::Id = id.parse().unwrap();
            assert_eq!((parsed.0.get_version_num(), parsed.0.to_string()), (7, id));
        }
    }

    #[test]
    fn import_lines_are_objects_with_the_ids_that_reads_ask_for() {
        let mut out = Vec::new();
        (0..100).for_each(|number| write_line(&mut out, "k", number, BODY_BYTES, true));
        for (number, line) in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
            let value: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert_eq!(value["id"], id_of(number as u64).as_str());
            assert_eq!(value["assignee"], assignee_of(number as u64).as_str());
        }
    }

    #[test]
    fn each_assignee_has_a_page_of_preloaded_records() {
        assert_eq!(PRELOADED / ASSIGNEES, PAGE as u64);
        let mut list = List::new(place(), 1);
        list.request(&mut Vec::new());
        let record = format!("{{{}}},", list.assignee);
        assert_eq!(list.check(200, record.repeat(50).as_bytes()), Ok(()));
        assert_eq!(
            list.check(200, record.repeat(49).as_bytes()),
            Err("49_records_of_50".to_owned())
        );
    }

    #[test]
    fn a_mix_has_its_shares() {
        let read = Read::new(place(), "", PRELOADED, 1);
        let create = Create::new(place(), "m".to_owned(), 0);
        let mut mix = Mix::new(vec![(9, Box::new(read)), (1, Box::new(create))], 2);
        let writes: usize = (0..10_000).map(|_| mix.request(&mut Vec::new())).sum();
        assert!((800..1_200).contains(&writes), "{writes}");
    }
}
