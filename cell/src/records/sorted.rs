//! Lists in an order that no index has: what the ranges hold is read, sorted and cut.
//!
//! That is right for lists of some thousands of records, and is refused beyond, with the index that would help. A record sorts by the
//! order-preserving bytes of its values, turned over where the order descends, and by its id; the bytes of the last record of a page are
//! its cursor, so that it stays right while records change.
//!
//! CAVEATS: texts sort by their first [`TEXT_BYTES`] bytes.

use api::error::Error;
use storage::{Direction, Element};
use uuid::Uuid;

use super::budget::Budget;
use super::page::PageText;
use super::query::{PAGE_BYTES, Reading};
use super::render;
use super::schema::Part;
use super::value::Record;
use crate::service::error::internal;

/// Most records that are sorted. Raised: longer lists need no index, and take longer.
const SORTED: usize = 20_000;
/// How much of a text counts, in bytes.
const TEXT_BYTES: usize = 256;

/// A page, and what the last of its records sorts by where there may be more.
type Items = (PageText, Option<Vec<u8>>);

impl Reading<'_> {
    /// A page of what comes after a place; none: a glance was not enough.
    pub(super) fn sorted(
        &self,
        sort: &[(Part, Direction)],
        after: Option<Vec<u8>>,
        limit: usize,
        wanted: render::Wanted<'_>,
        budget: &mut Budget,
    ) -> Result<Option<Items>, Error> {
        let open = self.sieve.is_open(self.plan);
        let too_long = || {
            self.asked.no_index(
                self.collection,
                "no index serves this order, and there are too many records to sort them",
            )
        };
        let mut found: Vec<(Vec<u8>, Uuid)> = Vec::new();
        for range in &self.plan.ranges {
            for row in self.snapshot.scan(range.clone(), Direction::Forward) {
                let (key, value) = row.map_err(|error| internal(&error))?;
                if budget.is_over_at_next() {
                    return Ok(None);
                }
                let (id, row) = self.row(&key, value)?;
                let record = self.record(id, &row)?;
                let kept = open || self.sieve.keeps(id, &record);
                if budget.is_spent() || found.len() == SORTED {
                    return Err(too_long());
                }
                if !kept {
                    continue;
                }
                let place = place(sort, id, &record);
                if after.as_ref().is_none_or(|after| place > *after) {
                    found.push((place, id));
                }
            }
        }
        found.sort_unstable();
        self.cut(found, limit, wanted).map(Some)
    }

    /// The first of what was found.
    fn cut(&self, found: Vec<(Vec<u8>, Uuid)>, limit: usize, wanted: render::Wanted<'_>) -> Result<Items, Error> {
        let (mut page, mut last) = (PageText::new(limit), None);
        for (sorts_by, id) in found {
            if page.records() == limit || page.bytes() > PAGE_BYTES {
                return Ok((page, last));
            }
            let row = self.snapshot.get(&self.place(id).key()).map_err(|error| internal(&error))?;
            let row = row.ok_or_else(|| internal(&"a record that was found is not there"))?;
            let record = self.record(id, &row)?;
            page.push(&self.show(id, &record, wanted)?)?;
            last = Some(sorts_by);
        }
        Ok((page, None))
    }
}

/// What a record sorts by.
fn place<S: AsRef<str>>(sort: &[(Part, Direction)], id: Uuid, record: &Record<S>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    for (part, direction) in sort {
        let start = bytes.len();
        short(part.element(record)).write_ordered(&mut bytes);
        if *direction == Direction::Backward {
            bytes[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }
    bytes.extend_from_slice(id.as_bytes());
    bytes
}

/// A value with as much of a text as counts.
fn short(element: Element) -> Element {
    match element {
        Element::Text(text) if text.len() > TEXT_BYTES => {
            let end = text.floor_char_boundary(TEXT_BYTES);
            Element::Text(text[..end].to_owned())
        }
        other => other,
    }
}
