//! One page of a list, written as JSON while its rows are read.
//!
//! A page of fifty records is some twenty kilobytes. Each record goes from its row into the buffer that the reply is sent from, and nothing is
//! copied in between: that is a third of what a list would cost otherwise (docs/performance).

use api::body::record::{Page, Record as Body};
use api::body::rendered::Rendered;
use api::error::Error;
use serde::Serialize;

use super::render::Answered;
use crate::service::error::internal;

/// What the buffer has for each record that may come, in bytes, and for how many at most.
const RECORD_BYTES: usize = 512;
const RECORDS: usize = 64;

/// A page that is being written.
pub(super) struct PageText {
    json: Vec<u8>,
    records: usize,
}

/// What comes after the records.
#[derive(Serialize)]
struct Rest<'a> {
    next_cursor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

impl PageText {
    /// A page of at most so many records.
    pub(super) fn new(limit: usize) -> Self {
        let mut json = Vec::with_capacity(limit.min(RECORDS) * RECORD_BYTES);
        json.extend_from_slice(b"{\"items\":[");
        Self { json, records: 0 }
    }

    /// How many records it has.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// How long it is, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.json.len()
    }

    /// Writes the next record.
    pub(super) fn push<S: AsRef<str>>(&mut self, record: &Answered<'_, S>) -> Result<(), Error> {
        if self.records > 0 {
            self.json.push(b',');
        }
        self.records += 1;
        serde_json::to_writer(&mut self.json, record).map_err(|error| internal(&error))
    }

    /// The whole page.
    pub(super) fn finish(mut self, next_cursor: Option<&str>, count: Option<u64>) -> Result<Rendered<Page<Body>>, Error> {
        self.json.extend_from_slice(b"],");
        let start = self.json.len();
        serde_json::to_writer(&mut self.json, &Rest { next_cursor, count }).map_err(|error| internal(&error))?;
        // The members go into the page's own object.
        self.json.remove(start);
        Ok(Rendered::written(self.json))
    }
}
